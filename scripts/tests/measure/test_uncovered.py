# SPDX-License-Identifier: GPL-2.0
from __future__ import annotations

from measure.uncovered import Covered, Reason, reasons, rows, told
from mutants.scope import files
from tests import fixture

LISTED = """# SPDX-License-Identifier: GPL-2.0

# About parameters

mm/a.c one 2
\tFor two
\tlines.
mm/b.c two 1
\tFor one.
"""


class UncoveredTest(fixture.Case):
    def known(self, text: str = LISTED) -> dict[tuple[str, str], Reason]:
        fixture.lay(self.root, {"uncovered": text})
        return reasons(self.root / "uncovered")

    def test_reasons_are_read(self) -> None:
        self.assertEqual(self.known(), {("mm/a.c", "one"): Reason(2, "For two lines."),
                                        ("mm/b.c", "two"): Reason(1, "For one.")})

    def test_what_is_neither_is_refused(self) -> None:
        for text in ("mm/a.c one\n", "mm/a.c one two\n"):
            with self.assertRaises(ValueError):
                self.known(text)

    def test_a_reason_is_for_so_many_lines_at_the_most(self) -> None:
        known = self.known()
        self.assertEqual(Covered("mm/a.c", "one", 9, [7]).why(known), "For two lines.")
        self.assertEqual(Covered("mm/a.c", "one", 9, [7, 8]).why(known), "For two lines.")
        self.assertEqual(Covered("mm/a.c", "one", 9, [7, 8, 9]).why(known), "")
        self.assertEqual(Covered("mm/c.c", "one", 9, [7]).why(known), "")

    def test_numbers_are_told_as_ranges(self) -> None:
        self.assertEqual(told([3, 1, 2, 7, 9, 10]), "1-3, 7, 9-10")
        self.assertEqual(told([]), "")

    def test_only_functions_have_rows_that_do_not_run_as_a_whole(self) -> None:
        self.assertEqual(rows([Covered("mm/a.c", "one", 9, [4, 5]), Covered("mm/a.c", "two", 3, []),
                               Covered("mm/b.c", "one", 2, [2])], self.known()), [
            "mm/a.c: 10 of 12 lines run, and 1 of 2 functions as a whole",
            "mm/a.c one: 2 of 9 lines not run: 4-5 (For two lines.)",
            "mm/b.c: 1 of 2 lines run, and 0 of 1 functions as a whole",
            "mm/b.c one: 1 of 2 lines not run: 2 (nobody has said why)"])

    def test_ours_are_about_files_that_are_counted(self) -> None:
        self.assertLessEqual({path for path, _ in reasons()}, set(files()))
        self.assertEqual([key for key, reason in reasons().items() if not reason.text], [])
