# SPDX-License-Identifier: GPL-2.0
from __future__ import annotations

import tempfile
import unittest
from pathlib import Path

from base.outcome import Fail
from races import kcsan

REPORT = """[    4.1] ==================================================================
[    4.1] BUG: KCSAN: data-race in folio_add_lru / scan_movable_pages.constprop.0
[    4.1]\x20
[    4.1] write to 0xffffea0004000000 of 8 bytes by task 42 on cpu 0:
[    4.1]  scan_movable_pages.constprop.0+0x12/0x80
[    4.1]  offline_pages+0x1/0x2
[    4.1]\x20
[    4.1] read to 0xffffea0004000000 of 8 bytes by task 43 on cpu 1:
[    4.1]  folio_add_lru+0x1/0x2
[    4.1]\x20
[    4.1] value changed: 0x0000000000000001 -> 0x0000000000000003
[    4.1] ==================================================================
"""
UNKNOWN = """==================================================================
BUG: KCSAN: data-race in vmstat_update+0x10/0x20

race at unknown origin, with read to 0xffff88 of 4 bytes by interrupt on cpu 1:
 vmstat_update+0x10/0x20
 process_one_work+0x1/0x2

==================================================================
"""


class KcsanTest(unittest.TestCase):
    def test_a_report_has_the_functions_that_access_the_data(self) -> None:
        self.assertEqual([report.functions for report in kcsan.reports(REPORT + UNKNOWN)],
                         [("folio_add_lru", "scan_movable_pages"), ("vmstat_update",)])

    def test_a_report_that_is_cut_short_counts(self) -> None:
        self.assertEqual([report.functions for report in kcsan.reports(
            "".join(REPORT.splitlines(True)[:7]))], [("scan_movable_pages",)])

    def test_what_is_not_kcsan_is_no_report(self) -> None:
        self.assertEqual(kcsan.reports("=====\nBUG: kernel NULL pointer\n f+0x1/0x2\n====\n"), [])

    def test_ours_come_first_and_explained_ones_do_not_count(self) -> None:
        found = kcsan.findings(UNKNOWN * 3 + REPORT, {"scan_movable_pages"}, {})
        self.assertEqual([(each.report.name, each.times, each.counts) for each in found],
                         [("folio_add_lru / scan_movable_pages", 1, True),
                          ("vmstat_update", 3, False)])
        found = kcsan.findings(REPORT, {"scan_movable_pages"},
                               {"* / scan_movable_pages": "it is only a hint"})
        self.assertFalse(found[0].counts)
        self.assertIn("explained", found[0].row())
        self.assertIn("it is only a hint", found[0].row())

    def test_explanations_have_reasons(self) -> None:
        with tempfile.TemporaryDirectory() as held:
            file = Path(held) / "explained"
            file.write_text("# comment\n\na / b\n  it is\n  harmless\n")
            self.assertEqual(kcsan.explained(file), {"a / b": "it is harmless"})
            file.write_text("a / b\n")
            with self.assertRaisesRegex(Fail, "no reason"):
                kcsan.explained(file)

    def test_those_that_there_are_can_be_read(self) -> None:
        kcsan.explained()
