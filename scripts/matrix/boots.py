# SPDX-License-Identifier: GPL-2.0
"""Boots a kernel whose KUnit shuffles suites and cases, in more guests than there are processors.

KUnit runs suites as they are linked and cases as they are listed. So the kernel
is that of `suite kunit`, but for KUnit's executor, which is compiled anew with
soak.patch; the number of a boot is the seed. In every other boot, threads
allocate and free memory beside the suites.
"""

from __future__ import annotations

import json
import signal
import subprocess
import threading
import time
from concurrent.futures import CancelledError
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Callable, Dict, List, Tuple

from base import jobs
from base.files import BUILD, digest, digest_of_files, fresh, write
from base.outcome import Exit, Fail
from base.process import CPUS, spawn
from base.project import UML
from guest import boot as guests
from guest import build as kernels
from guest.build import KUNIT_PY
from guest import kvm
from guest.setup import Setup, loses_end
from guest.verdict import Verdict, before_any_case, judge, suites
from matrix.flakes import Ended
from mutants.kernel import Workshop, patched
from series.worktree import Source, prepare

HOME = BUILD / "soak"
PATCH = Path(__file__).resolve().parent / "soak.patch"
GUESTS = 3 * CPUS  # at a time
PATIENCE = 900  # seconds, as each has a third of a processor
POLL = 0.1
MANY_CPUS, MEMORY = (2, 4, 8), (512, 1024, 2048)


@dataclass(frozen=True)
class Boot:
    """One of them: its number says all that is not the same for each."""

    number: int
    cpus: int
    memory: int  # MiB
    key: str

    @property
    def how(self) -> str:
        return f"-smp {self.cpus} -m {self.memory} {' '.join(self.words)}"

    @property
    def words(self) -> Tuple[str, ...]:
        """On the kernel's command line."""
        return f"kunit.shuffle={self.number}", f"kunit.load={self.number % 2}"


def command(kernel: kernels.Kernel, image: Path, one: Boot) -> List[str]:
    return guests.qemu(kernel, image, ("-m", str(one.memory), "-smp", str(one.cpus)),
                       guests.TIMES, *one.words)


class Soak:
    """The caller has the lock of the build."""

    def __init__(self, source: Source, setup: Setup, folder: Path) -> None:
        if setup.arch == UML:
            raise Fail(Exit.BAD_INPUT, "User Mode Linux has neither processors nor memory of its "
                       "own", "name an architecture that QEMU emulates")
        self.folder = folder  # of consoles that tell of something
        self.stop = threading.Event()
        tree = prepare(source)
        self.kernel = kernels.describe(tree.path, setup)
        kernels.build(self.kernel)
        workshop = Workshop(self.kernel, HOME / self.kernel.out.name, [], self.stop)
        self.image, _ = workshop.image(patched(tree, PATCH))

    def boot(self, number: int) -> Boot:
        cpus = MANY_CPUS if self.kernel.has("CONFIG_SMP") else (1,)
        memory = MEMORY[number // len(cpus) % len(MEMORY)]
        return Boot(number, cpus[number % len(cpus)], memory, f"{self.image.name} {number}")

    def run(self, count: int, tell: Callable[[Ended], None]) -> Dict[int, Ended]:
        """By number, those of earlier runs among them; `tell` hears of those that are not clean."""
        work = [self.boot(number) for number in range(1, count + 1)]

        def heard(_: Boot, held: Dict[str, Any], known: bool) -> None:
            if not known and Exit[held["code"]] is not Exit.OK:
                tell(Ended.of(held))
        kept = jobs.campaign("boots", work, jobs.Store(HOME / "results", self._context()),
                             jobs.Pool(lambda one: self.start(one).kept(), self.stop.set, GUESTS),
                             heard)
        return {one.number: Ended.of(kept[one.key]) for one in work}

    def replay(self, number: int) -> Ended:
        return self.start(self.boot(number))

    def _context(self) -> str:
        """What results hold for, beside kernel and number: the way to boot and to judge."""
        return digest(digest_of_files([*Path(guests.__file__).parent.glob("*.py"),
                                       Path(__file__)]).encode(),
                      kvm.accelerator(self.kernel.setup.arch).encode())

    def start(self, one: Boot) -> Ended:
        """Boot; and again what ended before the first case, as the machine may be to blame."""
        begin = time.monotonic()
        place = fresh(HOME / "guests" / str(one.number))
        earlier: List[str] = []
        while True:
            verdict, log = self._boot(one, place)
            if not before_any_case(verdict, log) or len(earlier) + 1 >= guests.TRIES[verdict.code]:
                break
            earlier.append(verdict.reason)
        console = self.folder / f"boot-{one.number}.log"
        if verdict.code is not Exit.OK:
            write(console, log.encode(errors="surrogateescape"))
        return Ended(one.number, one.how, verdict.code, verdict.reason,
                     {f"{suite.name}.{case.name}": case.state
                      for suite in suites(log) for case in suite.cases},
                     round(time.monotonic() - begin, 1), tuple(earlier),
                     "" if verdict.code is Exit.OK else str(console))

    def _boot(self, one: Boot, place: Path) -> Tuple[Verdict, str]:
        console, results = place / "test.log", place / "results.json"
        deadline = time.monotonic() + PATIENCE
        hung = False
        # Ctrl-C is for this program alone: a guest that heeds it might look as if it crashed.
        with open(console, "wb") as log, \
                spawn(command(self.kernel, self.image, one), stdout=log,
                      stderr=subprocess.STDOUT, process_group=0) as guest:
            while guest.poll() is None and not hung and not self.stop.wait(POLL):
                hung = time.monotonic() > deadline
            if guest.poll() is None:
                guest.kill()
        if self.stop.is_set():
            raise CancelledError
        if not hung and guest.returncode < 0:
            raise Fail(Exit.MISSING, "QEMU was killed, or crashed, while the kernel ran "
                       f"({signal.Signals(-guest.returncode).name})",
                       "see in the host's log who did it (was there memory enough?), and run the "
                       "same command again")
        return self._judged(console, results, hung)

    def _judged(self, console: Path, results: Path, hung: bool) -> Tuple[Verdict, str]:
        """kunit.py reads the console, as it does for `suite kunit`."""
        status = guests.read_results(self.kernel, self.kernel.tree / KUNIT_PY, console, results)
        log = console.read_text(errors="replace")
        return judge(status, json.loads(results.read_text()), log, hung,
                     loses_end=loses_end(self.kernel.setup.arch)), log
