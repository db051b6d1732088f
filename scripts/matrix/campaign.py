# SPDX-License-Identifier: GPL-2.0
"""Builds the kernel of each row, once, and boots it: while one boots, the next is built.

Results are kept as they come: cut short, the same command goes on from there.
"""

from __future__ import annotations

import contextlib
import functools
import re
import shutil
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Callable, Dict, Generator, List, Optional, Sequence, Tuple, Union

from base import jobs
from base.files import BUILD, REPO, digest, digest_of_files
from base.outcome import Exit, Fail
from base.process import end_children, run
from guest import boot, kvm
from guest import build as kernels
from guest.requirements import for_kernels, missing
from guest.setup import MACHINES
from guest.verdict import suites
from matrix.result import Result
from matrix.rows import Row, sample
from series.git import git
from series.worktree import Source, Tree, prepare

HOME = BUILD / "matrix"
FOLDER = BUILD / "results" / "matrix"
# For one boot: a debug kernel with many emulated processors takes minutes on a busy machine.
PATIENCE = 900
Tell = Callable[[Result], None]


@dataclass(frozen=True)
class Job:
    """A row to run; the row itself, its tree and its compiler are all in the key."""

    row: Row
    tree: Tree
    key: str


@dataclass(frozen=True)
class Built:
    kernel: kernels.Kernel
    seconds: float


def lacking(row: Row) -> List[str]:
    """The programs without which a row cannot be run on this machine."""
    names = [need.name for need in missing(for_kernels(row.setup)) if need.needed]
    if not names and row.arch in MACHINES:
        qemu = f"qemu-system-{MACHINES[row.arch].qemu}"
        found = re.search(r"version (\d+)\.(\d+)", _version(qemu))
        if found and tuple(map(int, found.groups())) < row.since:
            names.append("{} {}.{}".format(qemu, *row.since))
    return names


def build(job: Job) -> Union[Built, Result]:
    """The kernel of a row, or why there is none."""
    begin = time.monotonic()
    try:
        kernel = kernels.describe(job.tree.path, job.row.setup)
        kernels.build(kernel)
        see_that_all_are_set(job.row, kernel)
    except Fail as fail:
        return Result(job.row, fail.code, fail.what)
    return Built(kernel, time.monotonic() - begin)


def see_that_all_are_set(row: Row, kernel: kernels.Kernel) -> None:
    """Kconfig drops options without a word, and a row without its options would be another."""
    there = (kernel.out / ".config").read_text().splitlines()
    lost = [option for option in row.options if not _holds(option, there)]
    if lost:
        raise Fail(Exit.BUILD, f"the kernel is not configured with {', '.join(lost)}",
                   "name in the row what it depends on")


def _holds(option: str, config: Sequence[str]) -> bool:
    """One that is not set may be left out of a .config, as its dependencies are not there."""
    if option.startswith("#"):
        return not any(line.startswith(f"{option.split()[1]}=") for line in config)
    return option in config


def start(row: Row, built: Built) -> Result:
    """Boot it; the console and all else is kept in a folder of the row's."""
    begin = time.monotonic()
    try:
        verdict = boot.boot(built.kernel, *row.boot, patience=PATIENCE)
    except Fail as fail:
        return Result(row, fail.code, fail.what, built=round(built.seconds, 1))
    log = boot.keep(built.kernel, FOLDER / row.name)
    return Result.ran(row, verdict, suites(log), log, built.seconds, time.monotonic() - begin)


class Rows:
    """An executor, for which what the machine did comes to nothing: `spoilt` has it by key."""

    def __init__(self) -> None:
        self.spoilt: Dict[str, Result] = {}

    def run(self, work: Sequence[Job]
            ) -> Generator[Optional[Tuple[Job, Optional[Dict[str, Any]]]], None, None]:
        pipeline: jobs.Pipeline[Job, Tuple[Job, Union[Built, Result]], Result] = jobs.Pipeline(
            lambda job: (job, build(job)), self._second, end_children)
        with contextlib.closing(pipeline.run(work)) as found:
            for job, result in found:
                if result.code is Exit.MISSING:
                    self.spoilt[job.key] = result
                yield job, None if result.code is Exit.MISSING else result.kept()

    @staticmethod
    def _second(half: Tuple[Job, Union[Built, Result]]) -> Result:
        job, built = half
        return start(job.row, built) if isinstance(built, Built) else built


class Matrix:
    """The caller has the lock of the build."""

    def __init__(self) -> None:
        self.trees: Dict[Source, Tree] = {}
        self.store = jobs.Store(HOME / "results", _context())

    def run(self, wanted: Sequence[Row], again: bool = False, tell: Tell = lambda _: None
            ) -> List[Result]:
        """The results, those of earlier runs among them, unless all are to be run again."""
        found: Dict[Row, Result] = {}
        for source in dict.fromkeys(row.source for row in wanted):
            rows = [row for row in wanted if row.source == source]
            try:
                self.trees[source] = prepare(source)
            except Fail as fail:  # no network, perhaps: the other kernels do without
                found.update((row, Result(row, fail.code, fail.what)) for row in rows)
                for row in rows:
                    tell(found[row])
            else:
                found.update(self._run(rows, again, tell))
        return [found[row] for row in wanted]

    def _run(self, wanted: Sequence[Row], again: bool, tell: Tell) -> Dict[Row, Result]:
        """Rows of one source."""
        work = [self.job(row) for row in wanted]
        for job in work if again else ():
            self.store.forget(job.key)
        rows = Rows()
        kept = jobs.campaign("rows", work, self.store, rows,
                             lambda job, held, _: tell(Result.of(job.row, held)))
        for spoilt in rows.spoilt.values():
            tell(spoilt)
        return {job.row: Result.of(job.row, kept[job.key]) if job.key in kept else
                rows.spoilt[job.key] for job in work}

    def known(self, row: Row) -> Optional[Result]:
        """What came of a row in an earlier run."""
        held = self.store.load(self.job(row).key) if row.source in self.trees else None
        return Result.of(row, held) if held else None

    def job(self, row: Row) -> Job:
        tree = self.trees[row.source]
        return Job(row, tree, f"{row.name} " + digest(*(text.encode() for text in (
            repr(row), tree.id, _version(row.setup.compiler)))))


@functools.lru_cache(maxsize=None)
def _version(program: str) -> str:
    return run([program, "--version"]).stdout if shutil.which(program) else ""


def _context() -> str:
    """What results hold for, beside a row and its tree: the way to boot and to judge."""
    return digest(digest_of_files([*Path(boot.__file__).parent.glob("*.py"), Path(__file__)
                                   ]).encode(), str(kvm.SHIM.read_bytes()).encode())


def check() -> List[str]:
    """For `suite check`: a sample of the rows that differs from commit to commit."""
    found = Matrix().run(sample(git(REPO, "rev-parse", "HEAD").strip()))
    return [line for result in found for line in result.complaint()]
