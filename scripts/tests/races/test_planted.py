# SPDX-License-Identifier: GPL-2.0
from __future__ import annotations

import unittest
from pathlib import Path
from typing import Dict, List, Tuple, Type
from unittest import mock

from base.outcome import Exit, Fail
from guest import build, kvm
from guest.build import Kernel
from guest.setup import Setup
from history import bugs as queue
from history import campaign as campaigns
from history.bugs import Bug
from mutants.guests import Run
from mutants.kernel import DoesNotBuild
from races import planted, search
from races.planted import Planted, Result, Search
from series.worktree import prepare
from tests import fixture
from tests.history.some import bug

BUG = Bug(Path("a.patch"), "a", 2026, "mm/a.c", "planted", "It is harmful.")
MISSED = Bug(Path("b.patch"), "b", 2026, "mm/b.c", "planted", "It is harmful.",
             excuse="nobody can")
FIGURES = "    # stands: 10 schedules of 80 points and 15 actors in 250 ms; 3 more are not legal"
FAILURE = ("    # stands: EXPECTATION FAILED at mm/a.c:1\nschedule=op:get@scan.1,put fails: page 3 "
           "is not free (found by schedule 42)")


def fed(*lines: str) -> Search:
    run = Search()
    for line in "\n".join(lines).splitlines():
        run.feed(line)
    return run


class SearchTest(unittest.TestCase):
    def test_the_first_failure_and_the_time_until_then_count(self) -> None:
        run = fed(FIGURES, FAILURE, FIGURES, FAILURE.replace("42", "7"), FIGURES)
        self.assertEqual((run.schedule, run.why, run.number, run.ran_ms),
                         ("op:get@scan.1,put", "page 3 is not free", 42, 500))

    def test_a_crash_tells_the_schedule_too(self) -> None:
        run = fed(FIGURES, "schedule: op:get@scan.1: the kernel crashed")
        self.assertEqual((run.schedule, run.number), ("op:get@scan.1", 0))

    def test_a_crash_is_told_with_its_schedule(self) -> None:
        crash = "Oops: general protection fault, probably for non-canonical address 0xdead"
        self.assertFalse(fed(crash).is_told)
        self.assertTrue(fed(crash, "schedule: op:get@scan.1: the kernel crashed").is_told)
        self.assertTrue(fed(crash, "---[ end trace 0000000000000000 ]---").is_told)
        self.assertTrue(fed("not ok 1 offline_skippable_races").is_told)
        self.assertFalse(fed(FIGURES).is_told)

    def test_the_smallest_schedule_is_told(self) -> None:
        run = fed("schedule: op:other@scan.1,get@test.1: does not end", FAILURE, FIGURES)
        self.assertEqual((run.schedule, run.number), ("op:get@scan.1,put", 42))


class ResultTest(unittest.TestCase):
    def test_an_end_without_a_schedule_is_no_find(self) -> None:
        result = Result(BUG, trouble="no schedule is named: no word for 35.0 s")
        self.assertFalse(result.found)
        self.assertIn("unknown", result.row())
        self.assertIn("no word", result.complaint())

    def test_a_race_has_to_be_found_unless_it_is_excused(self) -> None:
        self.assertIn("not found", Result(BUG).complaint())
        self.assertEqual(Result(MISSED).complaint(), "")
        self.assertEqual(Result(BUG, "op:a@b.1", "it leaks", 3, 1.0).complaint(), "")
        self.assertIn("Missed:", Result(MISSED, "op:a@b.1", "it leaks", 3, 1.0).complaint())

    def test_a_row_says_it_all(self) -> None:
        row = Result(BUG, "op:a@b.1", "it leaks", 3, 1.25).row()
        for part in ("found", "a ", "schedule 3, 1.2 s", "op:a@b.1", "missed by other suites"):
            self.assertIn(part, row)
        self.assertIn("noticed by s.c", Result(MISSED, noticed="s.c").row())

    def test_a_summary_counts(self) -> None:
        self.assertEqual(planted.summary([Result(BUG, "s", "w", 1), Result(MISSED),
                                          Result(BUG, "s", "w", 1, noticed="s.c")]),
                         "3 planted races: 2 found, of which other suites miss 1")

    def test_all_patches_can_be_read(self) -> None:
        self.assertGreaterEqual(len(queue.bugs(planted.RACES)), 15)


class FakeWorkshop:
    """A kernel is the first line of its source."""

    def __init__(self, *_: object) -> None:
        self.base = "base"

    def image(self, sources: Dict[str, str]) -> Tuple[Path, float]:
        first = sources["mm/code.c"].split("\n", 1)[0]
        if first == "unbuildable":
            raise DoesNotBuild("error: expected ;")
        return Path(first), 1.0


class FakeGuests:
    """`found` fails in a schedule, `noticed` in another suite as well."""

    booted: List[str] = []
    plain = ""  # how the kernel as it is fails

    def __init__(self, kernel: Kernel, _first_only: bool, _stop: object, make: Type[Run]) -> None:
        self.alone = planted.ALONE in kernel.guest["kernel_command_line"]
        self.make = make

    def expect(self, runs: List[Run]) -> None:
        assert runs[0].cases

    def boot(self, image: Path, _number: int) -> Run:
        name = self.plain if image.name == "vmlinux" else image.name
        self.booted.append(image.name)
        run = self.make((), {"suite.case": "ok"}, ended=True)
        if name == "noticed" or name == "found" and self.alone:
            run.blame("case", "", "suite.case")
            for line in (*FAILURE.splitlines(), FIGURES):
                run.feed(line)
        return run


class PlantedTest(fixture.Case):
    def setUp(self) -> None:
        super().setUp()
        FakeGuests.booted, FakeGuests.plain = [], ""
        kernel = Kernel(self.root, self.root, Setup(), {
            "kernel_command_line": "console=x", "kernel_path": "vmlinux"})
        self.replace(mock.patch.object(planted, "FOLDER", self.root / "planted"),
                     mock.patch.object(search, "describe", lambda *_: kernel),
                     mock.patch.object(build, "build", lambda _: True),
                     mock.patch.object(planted, "Workshop", FakeWorkshop),
                     mock.patch.object(planted, "Guests", FakeGuests),
                     mock.patch.object(campaigns, "prepare",
                                       lambda source: prepare(source, self.repo)),
                     mock.patch.object(kvm, "accelerator", lambda _: kvm.EMULATED),
                     mock.patch.object(planted, "result", lambda _: None),
                     mock.patch("base.jobs.say"), mock.patch("base.progress.say"))

    def run_all(self, *firsts: str) -> List[Result]:
        """Each race makes the first line of mm/code.c another."""
        return Planted(self.source(), Setup()).run([bug(
            self.root, name, fixture.CODE.replace("line 1\n", f"{name}\n", 1))
            for name in firsts])

    def test_outcomes(self) -> None:
        found, noticed, harmless, unbuildable = self.run_all("found", "noticed", "harmless",
                                                             "unbuildable")
        self.assertEqual((found.number, found.seconds, found.noticed), (42, 0.25, ""))
        self.assertEqual((noticed.found, noticed.noticed), (True, "suite.case (case)"))
        self.assertFalse(harmless.found)
        self.assertIn("expected ;", unbuildable.trouble)

    def test_a_rerun_tries_what_is_left(self) -> None:
        self.run_all("found")
        FakeGuests.booted = []
        self.assertTrue(self.run_all("found")[0].found)
        self.assertEqual(FakeGuests.booted, [])
        self.run_all("found", "harmless")
        self.assertEqual(FakeGuests.booted, ["vmlinux", "vmlinux", "harmless", "harmless"])

    def test_nothing_is_found_in_a_kernel_that_fails_anyhow(self) -> None:
        FakeGuests.plain = "noticed"
        with self.assertRaisesRegex(Fail, "suite.case") as caught:
            self.run_all("found")
        self.assertEqual(caught.exception.code, Exit.CASE_FAILED)
