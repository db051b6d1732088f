# SPDX-License-Identifier: GPL-2.0
from __future__ import annotations

import argparse
import unittest

import main
from base.outcome import Exit
from guest.setup import Setup
from guest.verdict import Verdict
from races import kcsan, wild


def parsed(*words: str) -> argparse.Namespace:
    return main.parser_of("races").parse_args(["--wild", *words])


def finding(ours: bool, reason: str = "") -> kcsan.Finding:
    return kcsan.Finding(kcsan.Report(("a", "b"), ""), 1, ours, reason)


RACE = Verdict(Exit.CASE_FAILED, "KCSAN: data-race in a / b", {"passed": 7})


class WildTest(unittest.TestCase):
    def test_the_kernel_hears_how_long(self) -> None:
        given, seconds = wild.arguments(parsed("--minutes", "1.5", "--seed", "3"))
        self.assertEqual(given, ["races.wild=90", "races.seed=3", "kunit.timeout=150"])
        self.assertGreater(seconds, 7 * 90)

    def test_what_is_no_time_is_refused(self) -> None:
        for text in ("0", "-1", "1h", ""):
            with self.subTest(text), self.assertRaises(Exception):
                parsed("--minutes", text)

    def test_only_races_that_are_ours_and_unexplained_count(self) -> None:
        self.assertEqual(wild.judged(RACE, [finding(False), finding(True, "why")]).code, Exit.OK)
        verdict = wild.judged(RACE, [finding(False), finding(True)])
        self.assertEqual(verdict.code, Exit.CASE_FAILED)
        self.assertIn("1 data races to be mended, such as a / b", verdict.reason)

    def test_what_else_is_wrong_stays_wrong(self) -> None:
        for other in (Verdict(Exit.CRASH, "Oops: 0", {}), Verdict(Exit.CASE_FAILED, "", {})):
            self.assertIs(wild.judged(other, [finding(False)]), other)

    def test_kasan_excludes_kcsan(self) -> None:
        self.assertTrue(wild.has_kcsan(Setup()))
        self.assertFalse(wild.has_kcsan(Setup(config="debug")))

    def test_figures_are_found(self) -> None:
        log = ("[    0.4]     # offlining_stands_every_schedule: 12 rounds in the wild, into which "
               "15 actors stepped 99 times, on 2 CPUs\n"
               "[    0.4]     # offlining_stands_every_schedule: the memory went offline 7 times\n")
        self.assertEqual(len(wild.FIGURES.findall(log)), 2)
