# SPDX-License-Identifier: GPL-2.0
from __future__ import annotations

import argparse
import unittest

import main
from races import races, search


def parsed(*words: str) -> argparse.Namespace:
    return main.parser_of("races").parse_args(words)


class RacesTest(unittest.TestCase):
    def test_all_schedules_run_by_default(self) -> None:
        self.assertIn("races.depth=2", races.parameters(parsed()))

    def test_a_schedule_is_replayed_alone(self) -> None:
        string = "offline_movable:get_lru@scan.1,put_lru"
        for text in (string, f"schedule={string}"):
            self.assertEqual(races.parameters(parsed("--replay", text)),
                             [f"races.schedule={string}"])

    def test_what_is_no_schedule_is_refused(self) -> None:
        for text in ("", "get_lru@scan.1", "offline_movable:get_lru panic=1"):
            with self.subTest(text), self.assertRaises(argparse.ArgumentTypeError):
                races.schedule(text)

    def test_the_figures_of_a_search_are_found(self) -> None:
        log = ("[    0.4]     # offlining_stands_every_schedule: 641 schedules of 80 points and "
               "15 actors in 900 ms; 3 more are not legal, and 4 equal others\n"
               "[    0.4]         ok 1 offline_movable\n")
        found = search.FIGURES.search(log)
        assert found
        self.assertTrue(found.group(1).startswith("641 schedules of 80 points"))
        self.assertEqual(found.group(2), "900")
