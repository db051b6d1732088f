# SPDX-License-Identifier: GPL-2.0
"""Breaks the kernel in every small way, one at a time, and sees that a case notices.

A kernel holds all mutants, and the command line says which one is alive; so
a mutant costs a boot. Results are kept as they come: cut short, the same
command goes on from there.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, Container, Dict, List, Sequence, Set

from base import jobs
from base.files import BUILD, digest, digest_of_files
from base.outcome import Exit, Fail
from base.progress import Progress, say
from guest import boot, kvm
from guest import build as kernels
from guest.requirements import COCCINELLE, programs
from guest.setup import Setup
from mutants import find
from mutants.find import OPERATORS, Mutant
from mutants.guests import Guests, Run
from mutants.kernel import DoesNotBuild, Workshop, digest_of
from mutants.result import (EQUIVALENT, NOT_RUN, SAME_CODE, STILLBORN, SURVIVED, Result, complaints,
                            each_is_mutated, equivalents, guilt, judged)
from mutants.scope import Scope, of_feature
from series.queue import queue_for
from series.worktree import Source

FOLDER = BUILD / "mutants"
NEEDS = (*COCCINELLE, *programs(("setpriv", "util-linux")))
PER_FUNCTION = 2  # of the sample


@dataclass(frozen=True)
class Job:
    """A mutant to try; it holds for one kernel."""

    mutant: Mutant
    number: int
    key: str


@dataclass(frozen=True)
class Machine:
    """A way to boot, and what runs in it."""

    words: Sequence[str]  # on the kernel's command line
    ran: Set[int]  # mutants, by their numbers
    functions: Set[str]  # those of which it runs more than the machines before


class Campaign:
    """Boots with one mutant after the other, on all processors. The caller has the lock."""

    def __init__(self, scope: Scope, setup: Setup, first: bool) -> None:
        self.scope, self.first = scope, first
        self.kernel = kernels.describe(scope.tree.path, setup)
        kernels.build(self.kernel)
        self.stop = threading.Event()
        queue = queue_for(scope.tree.version.rsplit(".", 1)[0])
        changes = {path: change for path, change in scope.changes.items()
                   if path.endswith(".h") or self._is_built(path)}
        for path in scope.changes.keys() - changes.keys():
            say(f"{path} is not part of this kernel: nothing in it is broken")
        self.workshop = Workshop(self.kernel, FOLDER, [
            path for path in dict.fromkeys((*changes, *queue.new_files()))
            if path.endswith(".c") and self._is_built(path)], self.stop)
        self.guests = Guests(self.kernel, first, self.stop)
        with Progress("looking for mutants"):
            found, keys = find.find(scope.tree.path, changes, FOLDER / "matches")
        self.mutants = [mutant for mutant in found if scope.has(mutant)]
        if not self.mutants:
            raise Fail(Exit.BAD_INPUT, f"{scope.what}: there is nothing to break",
                       "only C that is part of the kernel has mutants")
        if scope.complete:
            each_is_mutated(self.mutants, guilt())
        self.excused = equivalents(keys, scope.complete)
        self.image = Path()
        self.machines: List[Machine] = []
        self.unbuilt: Dict[str, str] = {}  # mutants that do not compile, and what gcc says

    def _is_built(self, path: str) -> bool:
        return (self.kernel.out / path).with_suffix(".o").exists()

    def build(self) -> None:
        """Build the kernel that has all mutants, and see that it passes with none alive."""
        shared = [(number, mutant) for number, mutant in enumerate(self.mutants, 1)
                  if not mutant.sources]
        with Progress("building the kernel with all mutants"):
            self.image, self.unbuilt = self.workshop.together(
                shared, {path: change.after for path, change in self.scope.changes.items()})
        with Progress("booting it with none alive"):
            for words in self.scope.command_lines:
                self._add_machine(words)

    def _add_machine(self, words: Sequence[str]) -> None:
        workers = self.kernel.setup.jobs  # as many at a time as there will be
        pool: jobs.Pool[int, Run] = jobs.Pool(lambda _: self.guests.boot(self.image, 0, words),
                                              self.stop.set, workers)
        runs = [found[1] for found in pool.run(range(workers)) if found and found[1]]
        for run in runs:
            run.see_that_all_ran()
            if run.how or not run.cases:
                raise Fail(Exit.CASE_FAILED, f"without a mutant, {run.first or 'no case'} fails: "
                           f"{run.reason or run.how}", "see that `make kunit` passes first, with "
                           f"the same options{''.join(f' --kernel_args={word}' for word in words)}")
        if self.machines:
            self.guests.learn(runs)
        else:
            self.guests.expect(runs)
        before = {number for machine in self.machines for number in machine.ran}
        ran = {number for run in runs for number in run.ran}
        self.machines.append(Machine(words, ran, {
            self.mutants[number - 1].function for number in ran - before if number}))

    def run(self, mutants: Sequence[Mutant]) -> List[Result]:
        """The results, those of earlier runs among them."""
        wanted = {mutant.key for mutant in mutants}
        work = [Job(mutant, number, self._key(mutant))
                for number, mutant in enumerate(self.mutants, 1) if mutant.key in wanted]
        results = jobs.campaign("mutants", work, jobs.Store(FOLDER / "results", self._context()),
                                jobs.Pool(self._try, self.stop.set, self.kernel.setup.jobs))
        return [Result.of(job.mutant, results[job.key]) for job in work]

    def _try(self, job: Job) -> Dict[str, Any]:
        mutant, number, image, built = job.mutant, job.number, self.image, 0.0
        if mutant.key in self.unbuilt:
            return Result(mutant, STILLBORN, reason=self.unbuilt[mutant.key]).kept()
        if mutant.sources:
            try:
                image, built = self.workshop.image(mutant.sources)
            except DoesNotBuild as error:
                return Result(mutant, STILLBORN, reason=str(error)[:500]).kept()
            number, machines = 0, self.machines[:1]
        else:
            machines = [machine for machine in self.machines if number in machine.ran]
        # One that does not run would do no more alive than in a boot without it.
        run = self._boot(image, number, machines[0]) if machines else Run()
        if not run.how and not mutant.sources and mutant.key not in self.excused \
                and self.workshop.is_same(mutant, self.scope.changes[mutant.path].after):
            return Result(mutant, EQUIVALENT, reason=SAME_CODE,
                          seconds=round(run.seconds, 2)).kept()
        if not machines:
            return Result(mutant, SURVIVED, reason=NOT_RUN).kept()
        for machine in machines[1:]:
            if not run.how and mutant.function in machine.functions:
                run = self._boot(image, number, machine)
        return Result(mutant, run.how or SURVIVED, run.first, tuple(run.failed), run.reason,
                      round(run.seconds, 2), round(built, 2)).kept()

    def _boot(self, image: Path, number: int, machine: Machine) -> Run:
        run = self.guests.boot(image, number, machine.words)
        run.see_that_all_ran()
        return run

    def _context(self) -> str:
        """What results hold for, beside the mutant: the way to boot and to judge."""
        return digest(digest_of_files([path for folder in (Path(boot.__file__).parent, OPERATORS)
                                       for path in folder.glob("*.py")]).encode(),
                      kvm.accelerator(self.kernel.setup.arch).encode(),
                      str(self.kernel.guest).encode(), str(self.first).encode(),
                      str(self.scope.command_lines).encode())

    def _key(self, mutant: Mutant) -> str:
        image = digest_of(mutant.sources) if mutant.sources else self.image.name
        return f"{self.workshop.base} {image} {mutant.key}"


def matching(mutants: Sequence[Mutant], pattern: str) -> List[Mutant]:
    """Those that are asked for."""
    found = [mutant for mutant in mutants if fnmatchcase(mutant.key, pattern)]
    if not found:
        raise Fail(Exit.BAD_INPUT, f"no mutant matches {pattern}",
                   "their keys are in build/mutants/report.json; a part of one needs a `*` "
                   "around it")
    return found


def part(mutants: Sequence[Mutant], number: int, count: int) -> List[Mutant]:
    """One of so many parts, each of which has mutants of all functions."""
    return list(mutants[number - 1::count])


def sample(mutants: Sequence[Mutant], excused: Container[str]) -> List[Mutant]:
    """A few of each function, spread over the operators, and the same ones each time."""
    functions: Dict[str, List[Mutant]] = {}
    for mutant in sorted(mutants, key=lambda mutant: digest(mutant.key.encode())):
        chosen = functions.setdefault(mutant.function, [])
        if not mutant.sources and mutant.key not in excused and len(chosen) < PER_FUNCTION \
                and mutant.operator not in {other.operator for other in chosen}:
            chosen.append(mutant)
    return [mutant for chosen in functions.values() for mutant in chosen]


def check(source: Source, setup: Setup) -> List[str]:
    """For `suite check`: what survives of a sample. That a case notices is enough."""
    campaign = Campaign(of_feature(source), setup, first=True)
    campaign.build()
    chosen = sample(campaign.mutants, campaign.excused)
    return complaints(judged(campaign.run(chosen), campaign.excused), campaign.excused)
