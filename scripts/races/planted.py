# SPDX-License-Identifier: GPL-2.0
"""Puts each race of history/races/ in, one at a time, and has the schedules find it.

A second boot runs all other suites, in which one thing happens after the other,
to see that those miss it. Results are kept as they come: cut short, the same
command goes on from there.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Dict, List, Sequence, Type

from base import jobs
from base.files import BUILD, digest, digest_of_files, write
from base.locks import build_lock
from base.outcome import Exit, Fail
from base.progress import result
from guest import arguments, boot, kvm
from guest import build as kernels
from guest.build import Kernel
from guest.requirements import for_kernels, require
from guest.setup import Setup
from history import bugs as queue
from history.bugs import Bug
from history.campaign import NEEDS, Campaign
from mutants import guests, kernel
from mutants.guests import Guests, Run
from mutants.kernel import DoesNotBuild, Workshop, digest_of
from races import search
from series.worktree import Source

RACES = queue.FOLDER / "races"
FOLDER = BUILD / "planted"
PATIENCE = 600.0  # seconds for the first boot
MODULES = ("offline_skippable_races_kunit", "virtio_mem_races_kunit")
ALONE = f"kunit.filter_glob={search.SUITES} races.depth={search.ALL}"
OTHERS = f"kunit.filter={','.join(f'module!={module}' for module in MODULES)}"
TRACE_END = "---[ end trace"
UNKNOWN = "unknown"  # a race that cannot be tried, or whose boot ends without a schedule


@dataclass
class Search(Run):
    """A boot of the suites that have schedules."""

    schedule: str = ""  # the first one that fails
    why: str = ""
    number: int = 0  # how many ran until then in its operation, or 0 if nobody says
    ran_ms: int = 0  # the time of all operations until then
    _over: bool = False  # no more is of interest
    _traced: bool = False  # a crash has said all that it says

    @property
    def is_told(self) -> bool:
        """The kernel names the schedule behind what tells of a crash."""
        return bool(self.how) and (self.how != "crash" or bool(self.schedule) or self._traced)

    def feed(self, line: str) -> None:
        super().feed(line)
        failure, figures = search.FAILURE.search(line), search.FIGURES.search(line)
        last_words = search.LAST_WORDS.search(line)
        if failure and not self.number:
            self.schedule, self.why = failure.group(1), failure.group(2)
            self.number = int(failure.group(3))
        elif last_words and not self.schedule:
            self.schedule, self.why = last_words.group(1), last_words.group(2)
        self._traced = self._traced or TRACE_END in line
        if figures and not self._over:
            self.ran_ms += int(figures.group(2))
            self._over = bool(self.schedule)


@dataclass(frozen=True)
class Result:
    """What came of a race that was planted."""

    bug: Bug
    schedule: str = ""
    why: str = ""
    number: int = 0
    seconds: float = 0.0
    noticed: str = ""  # the first case of the other suites that notices it
    trouble: str = ""  # why it was not tried

    def kept(self) -> Dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name != "bug"}

    @property
    def found(self) -> bool:
        return bool(self.schedule)

    def row(self) -> str:
        if self.trouble:
            return f"{UNKNOWN} {self.bug.name}: {self.trouble}"
        if not self.found:
            how = self.bug.excuse or self.bug.harm
        else:
            after = f"schedule {self.number}, " if self.number else ""
            how = f"{after}{self.seconds:.1f} s, {self.schedule}: {self.why}"
        others = f"noticed by {self.noticed}" if self.noticed else "missed by other suites"
        return f"{'found' if self.found else 'missed':<7}{self.bug.name:<33} {how}; {others}"

    def complaint(self) -> str:
        """How that is not what the patch says, if it is not."""
        if self.trouble:
            return f"{self.bug.name} is {UNKNOWN}: {self.trouble}"
        if self.found and self.bug.excuse:
            return f"{self.bug.name} is found: take `Missed:` out of its patch"
        return "" if self.found or self.bug.excuse else f"{self.bug.name} is not found"


@dataclass(frozen=True)
class Job:
    bug: Bug
    sources: Dict[str, str]
    key: str


def told(kernel_: Kernel, words: str) -> Kernel:
    """The same kernel with more on its command line."""
    line = f"{kernel_.guest['kernel_command_line']} {words}"
    return dataclasses.replace(
        kernel_, more_qemu=(*kernel_.more_qemu, ("kernel_command_line", line)))


class Planted:
    """The caller has the lock of the build."""

    def __init__(self, source: Source, setup: Setup) -> None:
        self.setup = setup
        self.campaign = Campaign(source, setup)
        self.stop = threading.Event()
        self.kernel = search.describe(self.campaign.tree, setup)
        kernels.build(self.kernel)
        self.workshop = Workshop(self.kernel, FOLDER / self.kernel.out.name, [], self.stop)

    def guests(self, words: str, first_only: bool, make: Type[Run]) -> Guests:
        """Boots of some suites, which have to pass as the kernel is."""
        made = Guests(told(self.kernel, words), first_only, self.stop, make)
        made.limit = made.silence = made.work = PATIENCE
        run = made.boot(self.kernel.image, 0)
        if run.how or not run.cases:
            raise Fail(Exit.CASE_FAILED, f"without a race, {run.first or 'no case'} fails: "
                       f"{run.reason or run.how}", "see that `./suite races` passes first")
        made.expect([run])
        return made

    def run(self, wanted: Sequence[Bug]) -> List[Result]:
        """The results, those of earlier runs among them; each is told as it comes."""
        work = []
        for bug in wanted:
            sources = self.campaign.sources(bug)
            work.append(Job(bug, sources,
                            f"{self.workshop.base} {bug.name} {digest_of(sources)}"))
        store = jobs.Store(FOLDER / "results", self._context())
        if any(store.load(job.key) is None for job in work):
            self.alone = self.guests(ALONE, True, Search)
            self.others = self.guests(OTHERS, True, Run)
        kept = jobs.campaign("races", work, store, jobs.Pool(self._try, self.stop.set, self.setup.jobs),
                             lambda job, held, _: result(Result(job.bug, **held).row()))
        return [Result(job.bug, **kept[job.key]) for job in work]

    def _try(self, job: Job) -> Dict[str, Any]:
        try:
            image, _ = self.workshop.image(job.sources)
        except DoesNotBuild as error:
            return Result(job.bug, trouble=str(error)[:500]).kept()
        alone, others = self.alone.boot(image, 0), self.others.boot(image, 0)
        assert isinstance(alone, Search)
        seconds = alone.ran_ms / 1000 if alone.number else alone.seconds
        noticed = f"{others.first} ({others.how})" if others.how else ""
        # The machine may be to blame for that, so it is no find.
        trouble = f"no schedule is named: {alone.reason or alone.first}" \
            if alone.how and not alone.schedule else ""
        return Result(job.bug, alone.schedule, alone.why, alone.number, round(seconds, 2),
                      noticed, trouble).kept()

    def _context(self) -> str:
        """What results hold for, beside kernel and race: the way to boot and to judge."""
        return digest(digest_of_files([*Path(boot.__file__).parent.glob("*.py"), Path(__file__),
                                       Path(search.__file__), Path(guests.__file__),
                                       Path(kernel.__file__)]).encode(),
                      kvm.accelerator(self.setup.arch).encode())


def summary(results: Sequence[Result]) -> str:
    found = [result_ for result_ in results if result_.found]
    return (f"{len(results)} planted races: {len(found)} found, of which other suites miss "
            f"{sum(not result_.noticed for result_ in found)}")


def main(args: argparse.Namespace) -> Exit:
    setup, source = arguments.setup(args), arguments.source(args)
    with build_lock("suite races --planted"):
        require([*for_kernels(setup), *NEEDS], not args.no_install)
        results = Planted(source, setup).run(queue.bugs(RACES))
    complaints = [complaint for each in results for complaint in [each.complaint()] if complaint]
    write(FOLDER / "report.json", json.dumps(
        [{"race": each.bug.name, **each.kept()} for each in results], indent=1).encode() + b"\n")
    for line in (*complaints, summary(results)):
        result(line)
    return Exit.CASE_FAILED if complaints else Exit.OK
