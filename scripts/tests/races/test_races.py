# SPDX-License-Identifier: GPL-2.0
from __future__ import annotations

import argparse
from fnmatch import fnmatchcase
from unittest import mock

import main
from base.files import REPO
from guest.build import Kernel
from guest.setup import Setup
from races import races, search
from tests import fixture


def parsed(*words: str) -> argparse.Namespace:
    return main.parser_of("races").parse_args(words)


class RacesTest(fixture.Case):
    def test_all_schedules_run_by_default(self) -> None:
        self.assertIn("races.depth=2", races.parameters(parsed()))

    def test_a_schedule_is_replayed_alone(self) -> None:
        string = "offline_movable:get_lru@scan.1,put_lru"
        for text in (string, f"schedule={string}"):
            self.assertEqual(races.parameters(parsed("--replay", text)),
                             [f"races.schedule={string}"])

    def test_a_suite_that_a_schedule_is_not_of_needs_no_guest(self) -> None:
        for words, expected in ("", races.races), ("--replay=offline_movable:", races.replayed):
            with mock.patch("races.races.verb.run") as run:
                races.main(parsed(*words.split()))
            self.assertIs(run.call_args.args[2], expected)

    def test_what_is_no_schedule_is_refused(self) -> None:
        for text in ("", "get_lru@scan.1", "offline_movable:get_lru panic=1"):
            with self.subTest(text), self.assertRaises(argparse.ArgumentTypeError):
                races.schedule(text)

    def test_each_suite_has_a_guest(self) -> None:
        for name in search.EACH:
            self.assertTrue(fnmatchcase(name, search.SUITES))
            self.assertTrue(any(f'.name = "{name}"' in path.read_text() for folder in (
                "mm/tests", "drivers/virtio/tests") for path in (REPO / folder).glob("*.c")))

    def test_a_guest_beside_another_has_a_folder_of_its_own(self) -> None:
        kernel = Kernel(self.kernel, self.root / "out", Setup(), {"kernel_path": "boot/image"})
        fixture.lay(self.root / "out", {".config": "CONFIG_KUNIT=y\n", "boot/image": "kernel"})
        other = races.beside(kernel, "virtio_mem_races")
        self.assertNotEqual(other.out, kernel.out)
        self.assertEqual(other.image.read_text(), "kernel")
        self.assertTrue(other.has("CONFIG_KUNIT"))
        self.assertTrue(other.state.is_dir())

    def test_the_figures_of_a_search_are_found(self) -> None:
        log = ("[    0.4]     # offlining_stands_every_schedule: 641 schedules of 80 points and "
               "15 actors in 900 ms; 3 more are not legal, and 4 equal others\n"
               "[    0.4]         ok 1 offline_movable\n")
        found = search.FIGURES.search(log)
        assert found
        self.assertTrue(found.group(1).startswith("641 schedules of 80 points"))
        self.assertEqual(found.group(2), "900")
