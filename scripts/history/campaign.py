# SPDX-License-Identifier: GPL-2.0
"""Puts past bugs back, one at a time, and sees which case notices.

Each costs the build of the file that it was in, and a boot. Results are kept
as they come: cut short, the same command goes on from there.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Callable, Dict, List, Sequence

from base import jobs
from base.files import BUILD, digest, digest_of_files
from base.outcome import Exit, Fail
from guest import boot, kvm
from guest import build as kernels
from guest.requirements import programs
from guest.setup import Setup
from history.bugs import Bug, bugs
from history.result import MISSED, NO_BUILD, NO_PATCH, Result, complaints
from mutants import guests, kernel
from mutants.guests import Guests, Run
from mutants.kernel import DoesNotBuild, Workshop, digest_of, patched
from series.worktree import Source, Tree, prepare

FOLDER = BUILD / "history"
NEEDS = programs(("setpriv", "util-linux"))


def told(setup: Setup) -> List[str]:
    """What is not as usual, as options of `suite kunit`."""
    return [f"--config={setup.config}",
            *(f"--kconfig_add={option}" for option in setup.kconfig_add)]


class Ground:
    """One configuration: its kernel, built, and how it fares without a bug."""

    def __init__(self, tree: Tree, setup: Setup, stop: threading.Event) -> None:
        self.kernel = kernels.describe(tree.path, setup)
        kernels.build(self.kernel)
        self.workshop = Workshop(self.kernel, FOLDER / self.kernel.out.name, [], stop)
        self.guests = Guests(self.kernel, False, stop)
        self.lock = threading.Lock()

    def boot(self, image: Path) -> Run:
        with self.lock:
            if not self.guests.order:
                self._learn()
        run = self.guests.boot(image, 0)
        run.see_that_all_ran()
        return run

    def _learn(self) -> None:
        """What cases there are, and how long they take; all have to pass."""
        run = self.guests.boot(self.kernel.image, 0)
        if run.how or not run.cases:
            raise Fail(Exit.CASE_FAILED, f"without a bug, {run.first or 'no case'} fails: "
                       f"{run.reason or run.how}", "see that `./suite kunit` passes "
                       f"first, with {' '.join(told(self.kernel.setup))}")
        self.guests.expect([run])


@dataclass(frozen=True)
class Job:
    """A bug to try: a ground, and the files that have it."""

    bug: Bug
    ground: Ground
    sources: Dict[str, str]
    key: str


class Campaign:
    """The caller has the lock of the build."""

    def __init__(self, source: Source, setup: Setup) -> None:
        self.setup = setup
        self.tree = prepare(source)
        self.stop = threading.Event()
        self.grounds: Dict[Setup, Ground] = {}

    def sources(self, bug: Bug) -> Dict[str, str]:
        """The files with the bug in them, as text; or why its patch does not apply."""
        return patched(self.tree, bug.patch)

    def run(self, wanted: Sequence[Bug], tell: Callable[[Result], None] = lambda _: None
            ) -> List[Result]:
        """The results, those of earlier runs among them."""
        results: Dict[str, Result] = {}
        work: List[Job] = []
        for bug in wanted:
            try:
                work.append(self._job(bug))
            except Fail as fail:
                if fail.code is not Exit.PATCH:
                    raise
                results[bug.name] = Result(bug, NO_PATCH, reason=fail.what)
                tell(results[bug.name])
        kept = jobs.campaign("bugs", work, jobs.Store(FOLDER / "results", self._context()),
                             jobs.Pool(self._try, self.stop.set, self.setup.jobs),
                             lambda job, held, _: tell(Result.of(job.bug, held)))
        results.update({job.bug.name: Result.of(job.bug, kept[job.key]) for job in work})
        return [results[bug.name] for bug in wanted]

    def _job(self, bug: Bug) -> Job:
        sources = self.sources(bug)
        setup = replace(self.setup, config=bug.config, kconfig_add=bug.options)
        if setup not in self.grounds:
            self.grounds[setup] = Ground(self.tree, setup, self.stop)
        ground = self.grounds[setup]
        return Job(bug, ground, sources,
                   f"{ground.workshop.base} {bug.name} {digest_of(sources)}")

    def _try(self, job: Job) -> Dict[str, Any]:
        try:
            image, built = job.ground.workshop.image(job.sources)
        except DoesNotBuild as error:
            return Result(job.bug, NO_BUILD, reason=str(error)[:500]).kept()
        run = job.ground.boot(image)
        return Result(job.bug, run.how or MISSED, run.first, tuple(run.failed), run.reason,
                      round(run.seconds, 2), round(built, 2)).kept()

    def _context(self) -> str:
        """What results hold for, beside kernel and bug: the way to boot and to judge."""
        return digest(digest_of_files([*Path(boot.__file__).parent.glob("*.py"), Path(__file__),
                                       Path(guests.__file__), Path(kernel.__file__)]).encode(),
                      kvm.accelerator(self.setup.arch).encode())


def sample(known: Sequence[Bug], config: str) -> List[Bug]:
    """One of mm and one of the drivers, and the same ones each time."""
    chosen: Dict[str, Bug] = {}
    for bug in sorted(known, key=lambda bug: digest(bug.name.encode())):
        if bug.config == config and not bug.options and not bug.excuse:
            chosen.setdefault(bug.path.split("/", maxsplit=1)[0], bug)
    return list(chosen.values())


def check(source: Source, setup: Setup) -> List[str]:
    """For `suite check`: all patches apply, and a sample of the bugs is noticed."""
    campaign, known = Campaign(source, setup), bugs()
    for bug in known:
        campaign.sources(bug)
    return complaints(campaign.run(sample(known, setup.config)))
