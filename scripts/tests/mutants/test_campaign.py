# SPDX-License-Identifier: GPL-2.0
from __future__ import annotations

import dataclasses
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Dict, List, Sequence
from unittest import mock

from base.outcome import Exit, Fail
from guest import kvm
from guest.build import Kernel
from guest.setup import Setup
from mutants import campaign as campaigns
from mutants.campaign import Campaign, Machine, matching, part, sample
from mutants.find import Change, Mutant
from mutants.guests import Run
from mutants.kernel import DoesNotBuild
from mutants.result import EQUIVALENT, NOT_RUN, STILLBORN, SURVIVED
from tests import fixture
from tests.mutants.some import plain

ORDER = ["scan.stops", "scan.ends"]


class ChosenTest(fixture.Case):
    def test_some_can_be_asked_for(self) -> None:
        mutants = [plain("f: == to !=: a == b"), plain("g: == to <: a[*] == b")]
        self.assertEqual(matching(mutants, "*"), mutants)
        self.assertEqual(matching(mutants, "g: *"), mutants[1:])
        with self.assertRaises(Fail) as caught:
            matching(mutants, "g")
        self.assertEqual(caught.exception.code, Exit.BAD_INPUT)

    def test_parts_make_a_whole(self) -> None:
        mutants = [plain(str(number)) for number in range(7)]
        parts = [part(mutants, number, 3) for number in (1, 2, 3)]
        self.assertEqual(sorted(sum(parts, []), key=lambda each: each.key), mutants)

    def test_a_sample_has_all_functions_and_several_operators(self) -> None:
        mutants = [plain(f"{function}{number}", function, f"op{number // 2}")
                   for function in "fgh" for number in range(6)]
        chosen = sample(mutants, {"f0"})
        self.assertEqual(chosen, sample(mutants[::-1], {"f0"}))
        self.assertEqual({each.function for each in chosen}, {"f", "g", "h"})
        for function in "fgh":
            operators = [each.operator for each in chosen if each.function == function]
            self.assertEqual(len(operators), len(set(operators)))


class CampaignTest(fixture.Case):
    """All but kernels and guests, of which each mutant has what `ends` says."""

    def setUp(self) -> None:
        super().setUp()
        self.tried: List[int] = []
        self.ends: Dict[int, Run] = {}
        self.same: List[Mutant] = []
        self.unbuilt: Dict[str, str] = {}
        self.machines = [Machine((), {1, 2}, {"f"})]
        self.ends_elsewhere = Run(ORDER, {ORDER[0]: "not ok"}, ORDER[0], "case", ended=True)
        self.mutants = [plain("one"), plain("two"), dataclasses.replace(
            plain("three"), sources={"mm/a.c": "int f("})]
        self.accelerator = kvm.EMULATED
        self.replace(mock.patch.object(campaigns, "FOLDER", self.root / "mutants"),
                     mock.patch.object(kvm, "accelerator", lambda _: self.accelerator),
                     mock.patch("base.jobs.say"), mock.patch("base.progress.say"))

    def campaign(self, first: bool = False, base: str = "base", image: str = "image") -> Campaign:
        def boot(_image: Path, number: int, words: Sequence[str]) -> Run:
            self.tried.append(number)
            if words:
                return self.ends_elsewhere
            return self.ends.get(number) or Run(ORDER, dict.fromkeys(ORDER, "ok"), ended=True)
        # What its __init__() and build() take a kernel for.
        made = Campaign.__new__(Campaign)
        made.__dict__.update(
            mutants=self.mutants, first=first, stop=threading.Event(), image=Path(image),
            kernel=Kernel(self.kernel, self.root, Setup(jobs=1), {}),
            guests=SimpleNamespace(boot=boot, order=ORDER),
            scope=SimpleNamespace(changes={"mm/a.c": Change.whole("")}, command_lines=((),)),
            excused={}, unbuilt=self.unbuilt, machines=self.machines,
            workshop=SimpleNamespace(base=base, is_same=lambda mutant, _: mutant in self.same,
                                     image=mock.Mock(side_effect=DoesNotBuild(
                                         "error: expected ;"))))
        return made

    def outcomes(self, made: Campaign, mutants: List[Mutant]) -> List[str]:
        return [result.outcome for result in made.run(mutants)]

    def test_outcomes(self) -> None:
        self.ends = {1: Run(ORDER, {ORDER[0]: "not ok"}, ORDER[0], "case", ended=True)}
        results = self.campaign().run(self.mutants)
        self.assertEqual([result.outcome for result in results], ["case", SURVIVED, STILLBORN])
        self.assertIn("expected ;", results[2].reason)

    def test_a_mutant_of_the_same_code_needs_no_excuse(self) -> None:
        self.same = self.mutants[1:2]
        self.ends = {1: Run(ORDER, {ORDER[0]: "not ok"}, ORDER[0], "case", ended=True)}
        self.assertEqual(self.outcomes(self.campaign(), self.mutants[:2]), ["case", EQUIVALENT])

    def test_a_mutant_that_the_kernel_does_not_have_is_not_tried(self) -> None:
        self.unbuilt = {"one": "no branch can be there"}
        self.assertEqual(self.outcomes(self.campaign(), self.mutants[:1]), [STILLBORN])
        self.assertEqual(self.tried, [])

    def test_a_mutant_whose_code_does_not_run_survives_and_takes_no_boot(self) -> None:
        self.machines = [Machine((), {2}, {"f"})]
        result, other = self.campaign().run(self.mutants[:2])
        self.assertEqual((result.outcome, result.reason), (SURVIVED, NOT_RUN))
        self.assertEqual((other.outcome, self.tried), (SURVIVED, [2]))

    def test_code_that_the_compiler_leaves_out_is_not_to_be_run(self) -> None:
        self.machines, self.same = [Machine((), {2}, {"f"})], self.mutants[:1]
        self.assertEqual(self.outcomes(self.campaign(), self.mutants[:1]), [EQUIVALENT])
        self.assertEqual(self.tried, [])

    def test_another_machine_may_notice(self) -> None:
        self.machines.append(Machine(("memmap",), {1, 2}, {self.mutants[1].function}))
        self.assertEqual(self.outcomes(self.campaign(), self.mutants[1:2]), ["case"])
        self.assertEqual(self.tried, [2, 2])
        self.machines[1] = Machine(("memmap",), {1, 2}, {"another"})
        self.assertEqual(self.outcomes(self.campaign(image="other"), self.mutants[1:2]),
                         [SURVIVED])

    def test_a_case_that_does_not_run_notices(self) -> None:
        self.ends = {1: Run(ORDER, {ORDER[0]: "ok"}, ended=True)}
        result, = self.campaign().run(self.mutants[:1])
        self.assertEqual((result.outcome, result.first), ("case", ORDER[1]))

    def test_a_rerun_tries_what_is_left(self) -> None:
        self.outcomes(self.campaign(), self.mutants[1:2])
        self.tried.clear()
        self.assertEqual(self.outcomes(self.campaign(), self.mutants),
                         [SURVIVED, SURVIVED, STILLBORN])
        self.assertEqual(self.tried, [1])

    def test_results_hold_for_a_kernel_and_a_way_to_boot_and_judge(self) -> None:
        self.outcomes(self.campaign(), self.mutants[:1])
        others: Sequence[Dict[str, Any]] = ({"first": True}, {"base": "other"},
                                            {"image": "other"})
        for more in others:
            self.tried.clear()
            self.outcomes(self.campaign(**more), self.mutants[:1])
            self.assertEqual(self.tried, [1], more)
        self.tried.clear()
        self.accelerator = kvm.KVM
        self.outcomes(self.campaign(), self.mutants[:1])
        with mock.patch.object(campaigns, "digest_of_files", lambda _: "other programs"):
            self.outcomes(self.campaign(), self.mutants[:1])
        self.assertEqual(self.tried, [1, 1])
        self.outcomes(self.campaign(), self.mutants[:1])
        self.assertEqual(self.tried, [1, 1])

    def test_a_machine_that_fails_stops_it_and_kills_no_mutant(self) -> None:
        made = self.campaign()
        no_memory = mock.Mock(side_effect=Fail(Exit.MISSING, "no memory", "get some"))
        with mock.patch.object(made.guests, "boot", no_memory), self.assertRaises(Fail):
            made.run(self.mutants[:1])
        self.assertTrue(made.stop.is_set())
        self.assertEqual(self.outcomes(self.campaign(), self.mutants[:1]), [SURVIVED])
