# SPDX-License-Identifier: GPL-2.0
from __future__ import annotations

import fixture  # first: it sets the path

import series
from overlay import Overlay, compute
from verdict import Exit, Fail


class OverlayTest(fixture.Case):
    def compute(self) -> Overlay:
        # Below a git repository on purpose: git must not look at that.
        return compute(self.kernel, series.Queue("7.3", self.repo).patches(),
                       self.repo / "build" / "overlay")

    def test_the_files_are_patched_beside_the_tree(self) -> None:
        done = self.compute()
        self.assertEqual(done.paths, ["lib/Kconfig.debug", "mm/code.c", "mm/tests/suite.c"])
        self.assertIn("line twenty", (done.folder / "mm/code.c").read_text())
        self.assertNotIn("line twenty", (self.kernel / "mm/code.c").read_text())
        self.assertEqual(done.notes, [])

    def test_an_offset_is_taken_and_noted(self) -> None:
        fixture.lay(self.kernel, {"mm/code.c": "new\n" + fixture.CODE})
        self.assertRegex(self.compute().notes[0], r"1\.patch: .*offset 1 line")

    def test_changed_context_is_refused_by_name(self) -> None:
        fixture.lay(self.kernel, {"mm/code.c": fixture.CODE.replace("line 18", "line x")})
        with self.assertRaises(Fail) as caught:
            self.compute()
        self.assertEqual(caught.exception.code, Exit.PATCH)
        self.assertRegex(caught.exception.what, r"^1\.patch does not apply .*mm/code\.c:17")

    def test_a_patch_the_tree_has_is_recognised(self) -> None:
        fixture.lay(self.kernel, {"mm/code.c": (self.compute().folder / "mm/code.c").read_text()})
        with self.assertRaises(Fail) as caught:
            self.compute()
        self.assertIn("already", caught.exception.remedy)

    def test_a_new_file_that_is_there_already_is_refused(self) -> None:
        fixture.lay(self.kernel, {"mm/tests/suite.c": "mine\n"})
        with self.assertRaises(Fail) as caught:
            self.compute()
        self.assertIn("mm/tests/suite.c: already exists", caught.exception.what)
