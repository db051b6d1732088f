# SPDX-License-Identifier: GPL-2.0
from __future__ import annotations

from pathlib import Path
from typing import Dict, List
from unittest import mock

import fixture  # first: it sets the path

import apply
import host
from verdict import Exit, Fail


class ApplyTest(fixture.Case):
    def apply(self) -> None:
        apply.apply(self.kernel, "x86_64", self.repo)

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
                         ["change lib/Kconfig.debug", "mm: add suites", "change mm/code.c",
                          "start"])
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

    def test_copies_that_were_cut_short_are_taken_back(self) -> None:
        copied: List[Path] = []

        def dies(source: Path, target: Path) -> None:
            if self.kernel in target.parents:
                copied.append(target)
                if len(copied) == 2:
                    raise SystemExit  # as kill -9 would: nothing is tidied up
            host.install(source, target)

        with mock.patch("apply.install", dies), self.assertRaises(SystemExit):
            self.apply()
        self.apply()
        self.assertIn("line twenty", (self.kernel / "mm/code.c").read_text())
        self.assertTrue((self.kernel / "mm/tests/suite.c").exists())
