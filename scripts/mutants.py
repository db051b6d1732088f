#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Breaks the feature in every small way, one at a time, and sees that a case notices.

A kernel holds all mutants, and the command line says which one is alive; so
a mutant costs a boot. Results are kept as they come: cut short, the same
command goes on from there.
"""

from __future__ import annotations

import dataclasses
import json
import os
from concurrent.futures import FIRST_COMPLETED, CancelledError, ThreadPoolExecutor, wait
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Container, Dict, List, Optional, Sequence, Tuple

import kernel as kernels
import mutant_report
import mutate
import series
import tools
from host import BUILD, digest, write
from mutant_kernel import DoesNotBuild, Guests, Workshop
from mutant_result import STILLBORN, SURVIVED, Result, complaints, equivalents, judged, summary
from mutate import Mutant
from options import Options, from_environment
from progress import Progress, say
from tree import build_lock, prepare
from verdict import Exit, Fail, run_verb

FOLDER = BUILD / "mutants"
TOOLS = (("spatch", "coccinelle"),)
WORKERS = len(os.sched_getaffinity(0))
PER_FUNCTION = 2  # of the sample


class Campaign:
    """Boots with one mutant after the other, on all processors."""

    def __init__(self, options: Options) -> None:
        tools.require(options, TOOLS)
        tree = prepare(options)
        self.kernel = kernels.describe(tree, options)
        kernels.build(self.kernel)
        patches = series.queue_for(series.version_of(tree)[0])
        with Progress("looking for mutants"):
            self.changes, self.mutants = mutate.find(tree, patches.patches()[0], FOLDER)
        self.workshop = Workshop(self.kernel, FOLDER, [
            path for path in (*self.changes, *patches.new_files())
            if path.endswith(".c") and (self.kernel.out / path).with_suffix(".o").exists()])
        self.guests = Guests(self.kernel, options.first)
        self.excused = equivalents(self.mutants)
        self.numbers = {mutant.key: number for number, mutant in enumerate(self.mutants, 1)}
        self.image = Path()

    def build(self) -> None:
        """Build the kernel that has all mutants, and see that it passes with none alive."""
        shared = [(number, mutant) for number, mutant in enumerate(self.mutants, 1)
                  if not mutant.sources]
        with Progress("building the kernel with all mutants"):
            self.image = self.workshop.together(
                shared, {path: change.after for path, change in self.changes.items()})
        # As many at a time as there will be.
        with ThreadPoolExecutor(WORKERS) as pool:
            runs = list(pool.map(lambda _: self.guests.boot(self.image, 0), range(WORKERS)))
        for run in runs:
            if run.how or not run.cases:
                raise Fail(Exit.CASE_FAILED, f"without a mutant, {run.first or 'no case'} fails: "
                           f"{run.reason or run.how}", "make kunit passes first; see what it says")
        self.guests.expect(runs)

    def run(self, mutants: Sequence[Mutant]) -> List[Result]:
        """The results, those of earlier runs among them."""
        results = {mutant.key: found for mutant in mutants
                   for found in [self._known(mutant)] if found}
        left = [mutant for mutant in mutants if mutant.key not in results]
        if results:
            say(f"{len(results)} of {len(mutants)} mutants are known from an earlier run")
        with ThreadPoolExecutor(WORKERS) as pool, \
                Progress(f"{len(left)} mutants", len(left)) as progress:
            jobs = [pool.submit(self._one, mutant) for mutant in left]
            try:
                waiting = set(jobs)
                while waiting:
                    done, waiting = wait(waiting, 0.2, FIRST_COMPLETED)
                    progress.update(len(jobs) - len(waiting))
                    for job in done:
                        results[job.result().mutant.key] = job.result()
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                self.guests.stop()
                raise
        return [results[mutant.key] for mutant in mutants]

    def _one(self, mutant: Mutant) -> Result:
        number, image, built = self.numbers[mutant.key], self.image, 0.0
        if mutant.sources:
            try:
                image, built = self.workshop.image(mutant.sources)
            except DoesNotBuild as error:
                return self._keep(Result(mutant, STILLBORN, reason=str(error)[:500]))
            number = 0
        run = self.guests.boot(image, number)
        missing = [name for name in self.guests.order if name not in run.cases]
        if missing:
            run.blame("case", "it did not run", missing[0])
        return self._keep(Result(mutant, run.how or SURVIVED, run.first, tuple(run.failed),
                                 run.reason, round(run.seconds, 2), round(built, 2)))

    def _file(self, mutant: Mutant) -> Path:
        """Where a result is kept: it holds for one kernel, and one way to boot it."""
        image = digest(*(part.encode(mutate.ENCODING) for pair in mutant.sources.items()
                         for part in pair)) if mutant.sources else self.image.name
        name = digest(self.workshop.base.encode(), image.encode(), mutant.key.encode(),
                      str(self.guests.first_only).encode())
        return FOLDER / "results" / f"{name[:24]}.json"

    def _keep(self, result: Result) -> Result:
        if self.guests.stopped:  # so it may have been cut short
            raise CancelledError
        write(self._file(result.mutant), json.dumps(
            {**dataclasses.asdict(result), "mutant": result.mutant.key}, indent=1).encode())
        return result

    def _known(self, mutant: Mutant) -> Optional[Result]:
        file = self._file(mutant)
        if not file.exists():
            return None
        held = json.loads(file.read_text())
        return Result(mutant, held["outcome"], held["first"], tuple(held["failed"]),
                      held["reason"], held["seconds"], held["built"])


def matching(mutants: Sequence[Mutant], pattern: str) -> List[Mutant]:
    """Those that MUTANTS= asks for."""
    found = [mutant for mutant in mutants if fnmatchcase(mutant.key, pattern)]
    if not found:
        raise Fail(Exit.BAD_INPUT, f"no mutant matches MUTANTS={pattern}",
                   "their keys are in build/mutants/report.json; a part of one needs a `*` "
                   "around it")
    return found


def sample(mutants: Sequence[Mutant], excused: Container[str]) -> List[Mutant]:
    """A few of each function, spread over the operators, and the same ones each time."""
    functions: Dict[str, List[Mutant]] = {}
    for mutant in sorted(mutants, key=lambda mutant: digest(mutant.key.encode())):
        chosen = functions.setdefault(mutant.function, [])
        if not mutant.sources and mutant.key not in excused and len(chosen) < PER_FUNCTION \
                and mutant.operator not in {other.operator for other in chosen}:
            chosen.append(mutant)
    return [mutant for chosen in functions.values() for mutant in chosen]


def check(options: Options) -> List[str]:
    """For `make check`: what survives of a sample. That a case notices is enough."""
    campaign = Campaign(dataclasses.replace(options, first=True))
    campaign.build()
    chosen = sample(campaign.mutants, campaign.excused)
    return complaints(judged(campaign.run(chosen), campaign.excused), campaign.excused)


def main() -> Exit:
    options = from_environment(os.environ)
    with build_lock("make mutants"):
        campaign = Campaign(options)
        wanted = matching(campaign.mutants, options.mutants)
        campaign.build()
        results = judged(campaign.run(wanted), campaign.excused)
    found = complaints(results, campaign.excused)
    for complaint in found:
        print(complaint)
    lines = summary(results, WORKERS)
    mutant_report.save(FOLDER, {"summary": lines}, results, campaign.changes,
                       campaign.guests.order)
    print("\n".join(lines))
    print(f"see {os.path.relpath(FOLDER / 'index.html')}")
    return Exit.CASE_FAILED if found else Exit.OK


if __name__ == "__main__":
    run_verb(main)
