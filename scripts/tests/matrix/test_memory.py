# SPDX-License-Identifier: GPL-2.0
from __future__ import annotations

import unittest
from typing import List, Optional

from base.outcome import Exit
from matrix.memory import is_free, least
from matrix.result import Result, Tally
from matrix.rows import Row


def ran(row: Row, passed: int = 2, code: Exit = Exit.OK) -> Result:
    return Result(row, code, suites=(Tally("scan", passed, {}, {}, 0.1),))


class LeastMemoryTest(unittest.TestCase):
    def setUp(self) -> None:
        self.tried: List[int] = []

    def least(self, enough: int, full: int = 1024) -> Optional[int]:
        def look(row: Row) -> Result:
            self.tried.append(row.memory)
            return ran(row) if row.memory >= enough else ran(row, 1)
        return least(ran(Row("a", memory=full)), look)

    def test_it_is_the_smallest_size_with_which_as_many_cases_pass(self) -> None:
        for enough, found in (1, 256), (256, 256), (257, 384), (700, 768), (1024, 1024):
            self.assertEqual(self.least(enough), found)

    def test_it_is_found_by_halves(self) -> None:
        self.least(300)
        self.assertEqual(self.tried, [512, 384, 256])

    def test_a_row_may_have_more_memory_or_less(self) -> None:
        self.assertEqual(self.least(1500, 4096), 1536)
        self.assertEqual(self.least(100, 128), 128)

    def test_one_that_does_not_boot_has_too_little(self) -> None:
        self.assertEqual(least(ran(Row("a")), lambda row: ran(row, 0, Exit.CRASH)), 1024)

    def test_what_nobody_looked_at_is_not_known(self) -> None:
        self.assertIsNone(least(ran(Row("a")), lambda _: None))
        self.assertIsNone(least(ran(Row("a")), lambda row: ran(row, 0, Exit.MISSING)))

    def test_memory_that_qemu_is_told_is_as_it_is(self) -> None:
        self.assertTrue(is_free(Row("a")))
        self.assertFalse(is_free(Row("a", qemu="-object memory-backend-ram,id=a,size=512M")))
        self.assertFalse(is_free(Row("a", arch="um")))
