# SPDX-License-Identifier: GPL-2.0
from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Dict, List, Optional
from unittest import mock

from base.outcome import Exit, Fail
from series import am
from tests import fixture


class AmTest(fixture.Case):
    def apply(self) -> None:
        am.apply(self.kernel, "x86_64", self.repo)

    def refused(self) -> Fail:
        with self.assertRaises(Fail) as caught:
            self.apply()
        return caught.exception

    def content(self) -> Dict[str, bytes]:
        return {str(path.relative_to(self.kernel)): path.read_bytes()
                for path in self.kernel.rglob("*") if path.is_file() and ".git/" not in str(path)}

    def test_a_git_tree_gets_a_commit_for_each_patch(self) -> None:
        fixture.make_git(self.kernel)
        self.apply()
        self.assertEqual(fixture.git(self.kernel, "log", "--format=%s").splitlines(),
                         ["change lib/Kconfig.debug", "change mm/code.c", "start"])
        self.assertEqual(fixture.git(self.kernel, "status", "--porcelain"), "")
        self.assertIn("already", self.refused().what)

    def test_a_plain_tree_gets_the_files(self) -> None:
        self.apply()
        self.assertIn("line twenty", (self.kernel / "mm/code.c").read_text())
        self.assertEqual(self.refused().code, Exit.BAD_INPUT)

    def test_a_plain_tree_inside_a_git_tree_gets_the_files_too(self) -> None:
        fixture.git(self.root, "init", "-q")
        self.apply()
        self.assertIn("line twenty", (self.kernel / "mm/code.c").read_text())

    def test_uncommitted_changes_are_not_mixed_in(self) -> None:
        fixture.make_git(self.kernel)
        fixture.lay(self.kernel, {"mm/other.c": "mine\n"})
        fail = self.refused()
        self.assertEqual(fail.code, Exit.BAD_INPUT)
        self.assertIn("mm/other.c", fail.what)

    def test_an_am_under_way_is_left_alone(self) -> None:
        fixture.make_git(self.kernel)
        (self.kernel / ".git/rebase-apply").mkdir()
        self.assertIn("am --abort", self.refused().remedy)

    def test_a_conflict_leaves_all_as_it_was(self) -> None:
        for is_git in (False, True):
            fixture.lay(self.kernel, {"lib/Kconfig.debug": "something else\n"})
            if is_git:
                fixture.make_git(self.kernel)
            before = self.content()
            fail = self.refused()
            self.assertEqual(fail.code, Exit.PATCH)
            self.assertRegex(fail.what, r"2\.patch.*lib/Kconfig\.debug")
            self.assertEqual(self.content(), before)

    def test_an_untracked_file_in_the_way_is_kept(self) -> None:
        fixture.make_git(self.kernel)
        fixture.lay(self.kernel, {"mm/tests/suite.c": "mine\n"})
        self.assertEqual(self.refused().code, Exit.PATCH)
        self.assertEqual((self.kernel / "mm/tests/suite.c").read_text(), "mine\n")
        self.assertEqual(fixture.git(self.kernel, "log", "--format=%s"), "start\n")

    def test_files_that_were_cut_short_are_taken_back(self) -> None:
        written: List[Path] = []
        put = am._put

        def dies(path: Path, data: Optional[bytes]) -> None:
            written.append(path)
            if len(written) == 2:
                raise SystemExit  # as kill -9 would: nothing is tidied up
            put(path, data)

        with mock.patch("series.am._put", dies), self.assertRaises(SystemExit):
            self.apply()
        self.apply()
        self.assertIn("line twenty", (self.kernel / "mm/code.c").read_text())
        self.assertTrue((self.kernel / "mm/tests/suite.c").exists())

    def test_the_users_settings_change_nothing(self) -> None:
        suite = b"one\r\ntwo \xe4\t \r\n"
        (self.repo / "mm/tests/suite.c").write_bytes(suite)
        fixture.make_git(self.kernel)
        hook = self.kernel / ".git/hooks/applypatch-msg"
        fixture.lay(self.kernel, {".git/hooks/applypatch-msg": "#!/bin/sh\nexit 1\n"})
        hook.chmod(0o755)
        for name, value in (("apply.whitespace", "error-all"), ("core.autocrlf", "true"),
                            ("am.threeWay", "true"), ("am.keepcr", "false"),
                            ("commit.gpgSign", "true"), ("format.signOff", "true")):
            fixture.git(self.kernel, "config", name, value)
        self.apply()
        made = subprocess.run(["git", "-C", str(self.kernel), "cat-file", "blob",
                               "HEAD:mm/tests/suite.c"], stdout=subprocess.PIPE, check=True)
        self.assertEqual(made.stdout, suite)
        self.assertEqual(fixture.git(self.kernel, "log", "-1", "--format=%B").strip(),
                         "change lib/Kconfig.debug")
