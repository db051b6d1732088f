# SPDX-License-Identifier: GPL-2.0
from __future__ import annotations

import os
from pathlib import Path
from typing import Dict
from unittest import mock

from base.outcome import Exit, Fail
from series import worktree
from series.git import Repository
from series.snapshot import snapshot
from tests import fixture


class WorktreeTest(fixture.Case):
    def prepare(self) -> Path:
        return worktree.prepare(self.source(), self.repo).path

    def times(self, folder: Path) -> Dict[str, int]:
        return {str(path.relative_to(folder)): path.stat().st_mtime_ns
                for path in folder.rglob("*") if path.is_file()}

    def changed(self, made: Path, before: Dict[str, int]) -> Dict[str, int]:
        return {name: when for name, when in self.times(made).items() if before.get(name) != when}

    def refused(self) -> Fail:
        with self.assertRaises(Fail) as caught:
            self.prepare()
        self.assertEqual(caught.exception.code, Exit.BAD_INPUT)
        return caught.exception

    def test_a_tree_has_the_series_and_the_kdir_is_as_it_was(self) -> None:
        made = self.prepare()
        self.assertIn("line twenty", (made / "mm/code.c").read_text())
        self.assertEqual((made / "mm/tests/suite.c").read_text(), "suite\n")
        self.assertEqual((self.kernel / "mm/code.c").read_text(), fixture.CODE)
        self.assertFalse((self.kernel / "mm/tests").exists())

    def test_the_fetched_kernel_goes_the_same_way(self) -> None:
        pristine = Repository(self.root / "cache/offline-skippable-kunit/linux-7.3.git")
        tree = snapshot(self.kernel, pristine, "kdir")
        pristine.git("update-ref", "refs/heads/main",
                     pristine.git("commit-tree", tree, "-m", "linux").strip())
        made = worktree.prepare(worktree.Source("7.3"), self.repo)
        self.assertEqual((made.path.name, made.version), ("linux-7.3", "7.3.4"))
        self.assertIn("line twenty", (made.path / "mm/code.c").read_text())

    def test_a_tree_with_fixes_is_another_one(self) -> None:
        fixture.lay(self.repo / "patches/v7.3/fixes", {
            "series": "fix.patch\n",
            "fix.patch": fixture.mail("mm/other.c", "other\n", "mended\n")})
        made, mended = self.prepare(), worktree.prepare(
            worktree.Source("7.3", self.kernel, fixes=True), self.repo).path
        self.assertEqual(mended.name, f"{made.name}-fixes")
        self.assertEqual((mended / "mm/other.c").read_text(), "mended\n")
        self.assertEqual((made / "mm/other.c").read_text(), "other\n")

    def test_nothing_changed_writes_nothing(self) -> None:
        made = self.prepare()
        before = self.times(made)
        self.prepare()
        self.assertEqual(self.changed(made, before), {})

    def test_a_change_writes_that_file_alone(self) -> None:
        made = self.prepare()
        before = self.times(made)
        fixture.lay(self.repo, {"mm/tests/suite.c": "changed\n"})
        self.prepare()
        self.assertEqual(list(self.changed(made, before)), ["mm/tests/suite.c"])

    def test_an_edit_in_kdir_is_new_even_if_it_is_old(self) -> None:
        made = self.prepare()
        before = self.times(made)
        fixture.lay(self.kernel, {"mm/other.c": "edited\n"})
        os.utime(self.kernel / "mm/other.c", (1, 1))
        self.prepare()
        self.assertGreaterEqual(self.changed(made, before)["mm/other.c"], max(before.values()))

    def test_an_edit_in_kdir_of_a_patched_file_is_patched(self) -> None:
        made = self.prepare()
        fixture.lay(self.kernel, {"mm/code.c": "new\n" + fixture.CODE})
        self.prepare()
        self.assertEqual((made / "mm/code.c").read_text()[:11], "new\nline 1\n")
        self.assertIn("line twenty", (made / "mm/code.c").read_text())

    def test_what_leaves_kdir_or_the_series_goes(self) -> None:
        made = self.prepare()
        (self.kernel / "mm/other.c").unlink()
        fixture.lay(self.repo, {"patches/v7.3/series": "2.patch\n"})
        self.prepare()
        self.assertFalse((made / "mm/other.c").exists())
        self.assertEqual((made / "mm/code.c").read_text(), fixture.CODE)

    def test_edits_in_the_made_tree_survive(self) -> None:
        made = self.prepare()
        fixture.lay(made, {"mm/other.c": "mine\n", "mm/code.c": "mine\n"})
        fixture.lay(self.repo, {"mm/tests/suite.c": "changed\n"})
        self.prepare()
        self.assertEqual((made / "mm/other.c").read_text(), "mine\n")
        self.assertEqual((made / "mm/code.c").read_text(), "mine\n")
        self.assertEqual((made / "mm/tests/suite.c").read_text(), "changed\n")

    def test_edits_that_the_series_would_overwrite_are_refused(self) -> None:
        made = self.prepare()
        fixture.lay(made, {"mm/code.c": "mine\n"})
        fixture.lay(self.kernel, {"mm/code.c": "new\n" + fixture.CODE})
        fixture.lay(self.repo, {"mm/tests/suite.c": "changed\n"})
        self.assertIn("mm/code.c", self.refused().what)
        self.assertEqual((made / "mm/tests/suite.c").read_text(), "suite\n")
        (made / "mm/code.c").unlink()  # the remedy
        self.prepare()
        self.assertIn("line twenty", (made / "mm/code.c").read_text())

    def test_a_file_that_was_only_touched_is_no_edit(self) -> None:
        made = self.prepare()
        os.utime(made / "mm/code.c")
        fixture.lay(self.kernel, {"mm/code.c": "new\n" + fixture.CODE})
        self.prepare()
        self.assertEqual((made / "mm/code.c").read_text()[:4], "new\n")

    def test_a_checkout_that_is_cut_short_goes_on(self) -> None:
        made = self.prepare()
        fixture.lay(self.repo, {"mm/tests/suite.c": "changed\n"})
        fixture.lay(self.kernel, {"mm/other.c": "edited\n"})

        def dies(checkout: worktree.Checkout, _old: str, _new: str) -> None:
            # Half of a file is written when somebody pulls the plug.
            fixture.lay(made, {"mm/tests/suite.c": "chan", "mm/other.c": "edited\n"})
            checkout.index.with_name(f"{checkout.index.name}.lock").touch()
            raise SystemExit

        with mock.patch.object(worktree.Checkout, "_merge", dies), self.assertRaises(SystemExit):
            self.prepare()
        self.prepare()
        self.assertEqual((made / "mm/tests/suite.c").read_text(), "changed\n")
        self.assertEqual((made / "mm/other.c").read_text(), "edited\n")

    def test_a_first_checkout_that_is_cut_short_is_done_again(self) -> None:
        made = self.prepare()
        (self.repo / "build/git").joinpath(
            next((self.repo / "build/git").glob("*.git")).name, f"{made.name}.at").unlink()
        fixture.lay(made, {"mm/code.c": "half"})
        self.prepare()
        self.assertIn("line twenty", (made / "mm/code.c").read_text())

    def test_a_patch_that_fails_leaves_the_tree_alone(self) -> None:
        made = self.prepare()
        before = self.times(made)
        fixture.lay(self.kernel, {"lib/Kconfig.debug": "something else\n"})
        with self.assertRaises(Fail) as caught:
            self.prepare()
        self.assertEqual(caught.exception.code, Exit.PATCH)
        self.assertEqual(self.changed(made, before), {})

    def test_a_kdir_that_has_the_series_is_not_built_in_either(self) -> None:
        fixture.lay(self.kernel, {"lib/Kconfig.debug": "config OFFLINE_SKIPPABLE_KUNIT_TEST\n"})
        made = self.prepare()
        self.assertNotEqual(made, self.kernel)
        self.assertEqual((made / "mm/code.c").read_text(), fixture.CODE)

    def test_a_kdir_may_have_a_space_and_a_colon(self) -> None:
        self.kernel = self.kernel.rename(self.root / "my linux: 7")
        for in_git in (False, True):
            if in_git:
                fixture.make_git(self.kernel)
            self.assertIn("line twenty", (self.prepare() / "mm/code.c").read_text())

    def test_but_this_repository_may_not(self) -> None:
        self.repo = self.repo.rename(self.root / "my repo")
        self.assertIn("space or a colon", self.refused().what)

    def test_a_kdir_that_is_none_is_refused(self) -> None:
        self.kernel = self.root / "no such"
        self.assertIn("is not there", self.refused().what)
        self.kernel = self.root
        self.assertIn("not a kernel tree", self.refused().what)
