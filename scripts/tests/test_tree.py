# SPDX-License-Identifier: GPL-2.0
from __future__ import annotations

import os
from pathlib import Path
from typing import Callable, Dict, Tuple
from unittest import mock

import fixture  # first: it sets the path

import host
import tree
from verdict import Exit, Fail


class TreeTest(fixture.Case):
    def prepare(self, **given: str) -> Path:
        return tree.prepare(self.options(**given), self.repo)

    def mirrored(self) -> Path:
        return self.prepare()

    def both(self) -> Tuple[Callable[[], Path], Callable[[], Path]]:
        """The two ways to a tree of ours."""
        return self.mirrored, self.fetched

    def fetched(self) -> Path:
        with mock.patch("fetch.source", return_value=self.kernel):
            return self.prepare(KDIR="")

    def times(self, folder: Path) -> Dict[str, int]:
        return {str(path.relative_to(folder)): path.stat().st_mtime_ns
                for path in folder.rglob("*") if path.is_file()}

    def changed(self, made: Path, before: Dict[str, int]) -> Dict[str, int]:
        return {name: when for name, when in self.times(made).items() if before.get(name) != when}

    def test_a_tree_has_the_series_and_the_kdir_is_as_it_was(self) -> None:
        made = self.prepare()
        self.assertIn("line twenty", (made / "mm/code.c").read_text())
        self.assertEqual((made / "mm/tests/suite.c").read_text(), "suite\n")
        self.assertEqual((self.kernel / "mm/code.c").read_text(), fixture.CODE)
        self.assertFalse((self.kernel / "mm/tests").exists())

    def test_nothing_changed_writes_nothing(self) -> None:
        for make in self.both():
            before = self.times(make())
            self.assertEqual(self.changed(make(), before), {})

    def test_a_new_test_writes_that_file_alone(self) -> None:
        for make in self.both():
            before = self.times(make())
            fixture.lay(self.repo, {"mm/tests/suite.c": f"{make}\n"})
            self.assertEqual(list(self.changed(make(), before)), ["mm/tests/suite.c"])

    def test_an_edit_in_kdir_is_mirrored_as_new_even_if_it_is_old(self) -> None:
        made = self.prepare()
        before = self.times(made)
        fixture.lay(self.kernel, {"mm/other.c": "edited\n"})
        os.utime(self.kernel / "mm/other.c", (1, 1))
        self.prepare()
        self.assertGreater(self.changed(made, before)["mm/other.c"], max(before.values()) - 1)

    def test_an_edit_in_kdir_of_a_patched_file_is_patched(self) -> None:
        made = self.prepare()
        fixture.lay(self.kernel, {"mm/code.c": "new\n" + fixture.CODE})
        self.prepare()
        self.assertEqual((made / "mm/code.c").read_text()[:11], "new\nline 1\n")
        self.assertIn("line twenty", (made / "mm/code.c").read_text())

    def test_kdir_in_git_is_mirrored_without_what_git_ignores(self) -> None:
        fixture.lay(self.kernel, {".gitignore": "*.o\n", "mm/other.o": "", "new.c": "new\n",
                                  ".config": ""})
        fixture.make_git(self.kernel)
        (self.kernel / "mm/other.c").unlink()
        made = self.prepare()
        self.assertEqual([(made / name).exists() for name in ("mm/other.o", "mm/other.c", "new.c")],
                         [False, False, True])

    def test_links_are_mirrored_as_links(self) -> None:
        (self.kernel / "folder").symlink_to("mm")
        (self.kernel / "file").symlink_to("mm/other.c")
        for make in self.both():
            made = make()
            self.assertEqual([os.readlink(made / name) for name in ("folder", "file")],
                             ["mm", "mm/other.c"])

    def test_what_is_deleted_in_kdir_goes(self) -> None:
        made = self.prepare()
        (self.kernel / "mm/other.c").unlink()
        self.prepare()
        self.assertFalse((made / "mm/other.c").exists())

    def test_a_file_that_leaves_the_series_is_as_it_was_before(self) -> None:
        for make in self.both():
            made = make()
            fixture.lay(self.repo, {"patches/v7.3/series": "# new files\n2.patch\n",
                                    "lib/more.c": "more\n"})
            (self.repo / "mm/tests/suite.c").unlink()
            make()
            self.assertEqual((made / "mm/code.c").read_text(), fixture.CODE)
            self.assertFalse((made / "mm/tests/suite.c").exists())
            (self.repo / "lib/more.c").unlink()
            fixture.git(self.repo, "checkout", "-q", ".")

    def test_edits_in_the_made_tree_survive(self) -> None:
        made = self.fetched()
        fixture.lay(made, {"mm/other.c": "mine\n", "mm/code.c": "mine\n"})
        self.fetched()
        self.assertEqual((made / "mm/other.c").read_text(), "mine\n")
        self.assertEqual((made / "mm/code.c").read_text(), "mine\n")

    def test_edits_that_the_series_would_overwrite_are_refused(self) -> None:
        made = self.fetched()
        fixture.lay(made, {"mm/code.c": "mine\n"})
        fixture.lay(self.repo, {"mm/tests/suite.c": "changed\n"})
        with self.assertRaises(Fail) as caught:
            self.fetched()
        self.assertIn("mm/code.c", caught.exception.what)
        self.assertEqual((made / "mm/tests/suite.c").read_text(), "suite\n")
        (made / "mm/code.c").unlink()  # the remedy
        self.fetched()
        self.assertIn("line twenty", (made / "mm/code.c").read_text())

    def test_a_run_that_is_cut_short_goes_on(self) -> None:
        made = self.fetched()
        fixture.lay(self.repo, {"mm/tests/suite.c": "changed\n", "lib/more.c": "more\n"})
        real = host.install
        with mock.patch("tree.install", side_effect=[real, KeyboardInterrupt]), \
                self.assertRaises(KeyboardInterrupt):
            self.fetched()
        self.fetched()
        self.assertEqual((made / "mm/tests/suite.c").read_text(), "changed\n")
        self.assertEqual((made / "lib/more.c").read_text(), "more\n")

    def test_a_patch_that_fails_leaves_the_tree_alone(self) -> None:
        made = self.fetched()
        before = self.times(made)
        fixture.lay(self.repo, {"mm/other.c": "no new file\n"})
        with self.assertRaises(Fail) as caught:
            self.fetched()
        self.assertEqual(caught.exception.code, Exit.PATCH)
        self.assertEqual(self.changed(made, before), {})

    def test_a_kdir_that_has_the_series_is_used_itself(self) -> None:
        fixture.lay(self.kernel, {"lib/Kconfig.debug": tree.MARK})
        self.assertEqual(self.prepare(), self.kernel)
        fixture.lay(self.kernel, {".config": ""})
        with self.assertRaises(Fail) as caught:
            self.prepare()
        self.assertIn("mrproper", caught.exception.remedy)

    def test_a_kdir_that_is_none_is_refused(self) -> None:
        for path in (self.root / "no such", self.repo):
            with self.subTest(path=path), self.assertRaises(Fail) as caught:
                self.prepare(KDIR=str(path))
            self.assertEqual(caught.exception.code, Exit.BAD_INPUT)
        fixture.lay(self.kernel, {"Makefile": fixture.MAKEFILE.replace("7", "5")})
        with self.assertRaises(Fail) as caught:
            self.prepare()
        self.assertIn("no patches for linux 5.3", caught.exception.what)
