# SPDX-License-Identifier: GPL-2.0
from __future__ import annotations

import unittest
from unittest import mock

from base.progress import Progress, coloured


class ProgressTest(unittest.TestCase):
    def test_the_estimate_follows_from_the_share_done(self) -> None:
        progress = Progress("work", 100)
        progress.start -= 30
        progress.done = 25
        self.assertEqual(progress.line(), "work: 25%, about 1.5 min left")

    def test_without_a_total_there_is_no_estimate(self) -> None:
        progress = Progress("work")
        progress.done = 25
        self.assertEqual(progress.line(), "work: 0 s so far")

    def test_a_log_has_no_colours(self) -> None:
        with mock.patch("sys.stdout.isatty", return_value=False):
            self.assertEqual(coloured("PASS", "green"), "PASS")
