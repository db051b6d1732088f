# SPDX-License-Identifier: GPL-2.0
from __future__ import annotations

from typing import Dict
from unittest import mock

from base.outcome import Exit, Fail
from series.git import Repository
from series.overlay import Overlay
from series.snapshot import snapshot
from tests import fixture

GLUE = fixture.KCONFIG.replace("config LAST\n",
                               "config OFFLINE_SKIPPABLE_KUNIT_TEST\n\nconfig LAST\n")


class OverlayTest(fixture.Case):
    def setUp(self) -> None:
        super().setUp()
        self.overlay = Overlay(Repository(self.root / "ours.git"), self.repo)

    def base(self) -> str:
        return snapshot(self.kernel, self.overlay.ours, "kdir")

    def lay(self) -> str:
        return self.overlay.lay(self.base(), "the tree")

    def text(self, tree: str, path: str) -> str:
        return self.overlay.ours.text(tree, path)

    def refused(self) -> Fail:
        with self.assertRaises(Fail) as caught:
            self.lay()
        return caught.exception

    def pristine(self, files: Dict[str, str]) -> Repository:
        """A fetched kernel, as the cache would have it."""
        fixture.lay(self.root / "pristine", files)
        ours = Repository(self.root / "pristine.git")
        tree = snapshot(self.root / "pristine", ours, "kdir")
        ours.git("update-ref", "refs/heads/main", ours.git("commit-tree", tree, "-m",
                                                           "linux").strip())
        return ours

    def test_the_tree_is_patched_and_the_files_are_as_they_were(self) -> None:
        base, laid = self.base(), self.lay()
        self.assertEqual(self.overlay.ours.changed(base, laid),
                         ["lib/Kconfig.debug", "mm/code.c", "mm/tests/suite.c"])
        self.assertIn("line twenty", self.text(laid, "mm/code.c"))
        self.assertNotIn("line twenty", (self.kernel / "mm/code.c").read_text())
        self.assertEqual(self.overlay.notes, [])

    def fix(self) -> None:
        fixture.lay(self.repo / "patches/v7.3/fixes", {
            "series": "fix.patch\n",
            "fix.patch": fixture.mail("mm/other.c", "other\n", "mended\n")})

    def test_fixes_come_on_top_if_they_are_asked_for(self) -> None:
        self.fix()
        self.assertEqual(self.text(self.lay(), "mm/other.c"), "other\n")
        self.overlay = Overlay(self.overlay.ours, self.repo, fixes=True)
        laid = self.lay()
        self.assertEqual(self.text(laid, "mm/other.c"), "mended\n")
        self.assertEqual(self.text(laid, "mm/tests/suite.c"), "suite\n")

    def test_fixes_come_to_a_tree_that_has_the_series(self) -> None:
        self.fix()
        fixture.lay(self.kernel, {"lib/Kconfig.debug": GLUE})
        base = self.base()
        self.overlay = Overlay(self.overlay.ours, self.repo, fixes=True)
        self.assertEqual(self.overlay.ours.changed(base, self.lay()), ["mm/other.c"])

    def test_an_offset_is_taken_and_noted(self) -> None:
        fixture.lay(self.kernel, {"mm/code.c": "new\n" + fixture.CODE})
        self.lay()
        self.assertEqual(self.overlay.notes, [])
        self.assertRegex(self.overlay.offsets[0], r"1\.patch: .*offset 1 line")

    def test_changed_context_is_refused_by_name(self) -> None:
        fixture.lay(self.kernel, {"mm/code.c": fixture.CODE.replace("line 18", "line x")})
        fail = self.refused()
        self.assertEqual(fail.code, Exit.PATCH)
        self.assertRegex(fail.what, r"^1\.patch of v7\.3 does not apply .*mm/code\.c:17")

    def test_or_merged_by_what_the_patch_was_made_from(self) -> None:
        fixture.lay(self.kernel, {"mm/code.c": fixture.CODE.replace("line 18\n", "other\n")})
        with mock.patch("series.source.source", return_value=self.pristine(fixture.KERNEL)):
            laid = self.lay()
        self.assertIn("line 17\nother\nline 19\nline twenty\n", self.text(laid, "mm/code.c"))
        self.assertEqual(self.overlay.notes, ["1.patch does not apply as it is, and was merged "
                                              "into the tree: mm/code.c"])

    def test_what_the_tree_has_is_its_own(self) -> None:
        fixture.lay(self.kernel, {"mm/code.c": fixture.CODE.replace("line 20\n", "line twenty\n"),
                                  "mm/tests/suite.c": "its own\n"})
        laid = self.lay()
        self.assertEqual(self.text(laid, "mm/tests/suite.c"), "its own\n")
        self.assertEqual(self.text(laid, "lib/Kconfig.debug"), GLUE)

    def test_a_tree_that_has_the_series_is_left_alone(self) -> None:
        fixture.lay(self.kernel, {"lib/Kconfig.debug": GLUE})
        self.assertEqual(self.lay(), self.base())

    def test_contents_come_through_byte_by_byte(self) -> None:
        (self.repo / "mm/tests/suite.c").write_bytes(b"a\r\n\xe4\n")
        (self.kernel / "mm/other.c").write_bytes(b"\xff\r\n")
        laid = self.lay()
        self.assertEqual(self.overlay.ours.file(laid, "mm/tests/suite.c"), b"a\r\n\xe4\n")
        self.assertEqual(self.overlay.ours.file(laid, "mm/other.c"), b"\xff\r\n")

    def test_another_version_takes_the_nearest_queue_and_says_so(self) -> None:
        fixture.lay(self.kernel, {"Makefile": fixture.MAKEFILE.replace("= 3", "= 1")})
        for _ in range(2):  # found out, and remembered
            self.lay()
            self.assertEqual(self.overlay.notes, ["linux 7.1.4 has no queue of its own: it takes "
                                                  "that of 7.3"])

    def test_a_conflict_shows_both_sides(self) -> None:
        code = fixture.CODE.replace("line 3\n", "static int\tf_of(int a,\n")
        fixture.lay(self.kernel, {"mm/code.c": code.replace("line 20\n", "its own\n")})
        with mock.patch("series.source.source", return_value=self.pristine(fixture.KERNEL)):
            fail = self.refused()
        self.assertEqual(fail.code, Exit.PATCH)
        self.assertIn("mm/code.c:20, in f_of()\n  the tree has\n    | its own\n"
                      "  the patch has\n    | line twenty", fail.what)

    def test_a_file_that_is_gone_is_named(self) -> None:
        (self.kernel / "mm/code.c").unlink()
        with mock.patch("series.source.source", return_value=self.pristine(fixture.KERNEL)):
            self.assertIn("mm/code.c", self.refused().what)

    def test_what_is_no_kernel_is_refused(self) -> None:
        (self.kernel / "Kbuild").unlink()
        self.assertIn("not a Linux kernel", self.refused().what)
