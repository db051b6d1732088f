# SPDX-License-Identifier: GPL-2.0
"""Boots kernels with a mutant alive, and reads from the console which case notices.

kunit.py would do as well, but only at the end of a boot, and with a process
of its own for each.
"""

from __future__ import annotations

import dataclasses
import os
import re
import signal
import subprocess
import threading
import time
from concurrent.futures import CancelledError
from pathlib import Path
from statistics import median
from typing import Dict, List, Sequence, Set, Type

from base.outcome import Exit, Fail
from base.process import spawn
from guest.boot import PATIENCE, qemu
from guest.build import Kernel
from guest.verdict import BEGIN, CRASH, THE_END, WARNING

CASE = re.compile(r"^ {4}(not )?ok \d+ (\w+)(.*# SKIP)?")
SUITE = re.compile(r"^ {4}# Subtest: (\w+)")
SUITE_END = re.compile(r"^(not )?ok \d+ (\w+)")
RAN = re.compile(r"mutants that ran: (\d+) ([0-9a-f]+)$")  # see mutant.c
FIRST_WORDS = "Linux version"
# Mutants are hardly to blame for what happens before the cases: so many tries.
TRIES = 3
# How long a mutant may take, and say nothing: so many times what it took the
# last boots that came to their end, and so many seconds more. One that spins is
# told by the processor's time, which depends little on what else the machine does.
FACTOR, MORE, MORE_SILENCE, MORE_WORK, LAST = 6.0, 5.0, 2.0, 0.5, 8
# Seconds between two looks at a console. QEMU writes a letter at a time; who
# waits for each takes a tenth of a processor, and more from QEMU.
POLL = 0.02
OK, NOT_OK, SKIP = "ok", "not ok", "skip"


@dataclasses.dataclass
class Run:
    """What a boot printed, as far as it matters; one line after the other is fed in."""

    order: Sequence[str] = ()  # the cases, as a kernel without a mutant runs them
    cases: Dict[str, str] = dataclasses.field(default_factory=dict)
    first: str = ""  # the first case that went wrong
    how: str = ""  # ... and how: it failed, or the kernel warned, crashed or hung
    reason: str = ""
    booted: bool = False  # the kernel began
    started: bool = False  # ... and so did the cases
    ended: bool = False
    hung: bool = False
    seconds: float = 0.0
    silence: float = 0.0  # the longest time without a word
    work: float = 0.0  # ... and the most of the processor's
    last: str = ""  # line that is not empty
    ran: Set[int] = dataclasses.field(default_factory=set)  # mutants whose code did
    _suite: str = ""

    def feed(self, line: str) -> None:
        self.last = line or self.last
        self.booted = self.booted or FIRST_WORDS in line
        self.started = self.started or line.startswith(BEGIN)
        found = CASE.match(line)
        if found:
            name = f"{self._suite}.{found.group(2)}"
            self.cases[name] = SKIP if found.group(3) else NOT_OK if found.group(1) else OK
            if found.group(1):
                self.blame("case", "", name)
        elif SUITE.match(line):
            self._suite = line.split()[-1]
        elif SUITE_END.match(line) and line.startswith("not ok"):
            self.blame("case", "the suite failed", self._suite)
        elif CRASH.search(line):
            self.blame("crash", line.strip())
        elif self.started and WARNING.match(line):
            self.blame("warning", line.strip())
        elif RAN.search(line):
            self._note_what_ran(line)
        elif line.startswith(THE_END):
            self.ended = True

    def _note_what_ran(self, line: str) -> None:
        first, flags = RAN.findall(line)[0]
        self.ran.update(int(first) + place for place, flag in enumerate(bytes.fromhex(flags))
                        if flag)

    def blame(self, how: str, reason: str, case: str = "") -> None:
        """The first trouble counts. If no case tells of it, it is the one that was running."""
        if not self.how:
            running = [name for name in self.order if name not in self.cases]
            self.first = case or (running[0] if running else "after the last case")
            self.how, self.reason = how, reason

    @property
    def is_told(self) -> bool:
        """Is all known about the first trouble?"""
        return bool(self.how)

    def see_that_all_ran(self) -> None:
        """A case that did not run is one that went wrong."""
        for name in self.order:
            if name not in self.cases:
                self.blame("case", "it did not run", name)

    def hang(self, reason: str) -> None:
        """It has to be stopped, though something else may have gone wrong before."""
        self.hung = True
        self.blame("hang", reason)

    @property
    def failed(self) -> List[str]:
        return [name for name, result in self.cases.items() if result == NOT_OK]


def processor_time(process: int) -> float:
    """Seconds that a process has had, all of its threads together."""
    # The clock that clock_getcpuclockid(3) names; Python does not have it.
    return time.clock_gettime(~process << 3 | 2)


def command(kernel: Kernel, image: Path, number: int, more: Sequence[str] = ()) -> List[str]:
    return qemu(kernel, image, ("-m", "1024"), f"mutant={number}", "printk.time=0", *more)


class Guests:
    """Boots, of which several may run at a time; `stop` ends all of them at once."""

    def __init__(self, kernel: Kernel, first_only: bool, stop: threading.Event,
                 make: Type[Run] = Run) -> None:
        self.kernel = kernel
        self.make = make  # what is to be fed with the console
        self.first_only = first_only  # end a guest at the first case that goes wrong
        self.stop = stop
        self.order: List[str] = []
        self.limit = self.silence = self.work = float(PATIENCE)
        self.ended: Sequence[Run] = ()

    def expect(self, runs: Sequence[Run]) -> None:
        """From now on, boots are to run the same cases, and hang if they take far longer."""
        self.order = list(runs[0].cases)
        self.learn(runs)

    def learn(self, runs: Sequence[Run]) -> None:
        """How long boots take: that changes with what else the machine has to do.

        A mutant may be slow all by itself, so the median counts.
        """
        self.ended = (*self.ended, *runs)[-LAST:]
        self.limit = FACTOR * median(run.seconds for run in self.ended) + MORE
        self.silence = FACTOR * median(run.silence for run in self.ended) + MORE_SILENCE
        self.work = FACTOR * median(run.work for run in self.ended) + MORE_WORK

    def boot(self, image: Path, number: int, more: Sequence[str] = ()) -> Run:
        """With `more` on the kernel's command line."""
        for _ in range(TRIES):
            run = self._boot(command(self.kernel, image, number, more))
            if run.started:
                break
        if not run.booted:  # so that no kernel had a say
            raise Fail(Exit.MISSING, f"QEMU did not start a kernel: {run.last or run.reason}",
                       "see that QEMU is installed whole and that the machine has memory left, "
                       "and run the same command again")
        return run

    def _boot(self, words: List[str]) -> Run:
        run = self.make(self.order)
        begin = time.monotonic()
        # Ctrl-C is for this program alone: a guest that heeds it might look as if it crashed.
        with spawn(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=False,
                   process_group=0) as guest:
            try:
                self._listen(run, guest, begin + self.limit)
            finally:
                if run.hung or self.first_only and run.how or self.stop.is_set():
                    guest.kill()
        run.seconds = time.monotonic() - begin
        if self.stop.is_set():
            raise CancelledError
        if run.ended and self.order:
            self.learn([run])
        elif not run.ended and not run.how and guest.returncode == -signal.SIGKILL:
            raise Fail(Exit.MISSING, "QEMU was killed while the kernel ran",
                       "see in the host's log who did it (was there memory enough?), and run "
                       "the same command again")
        elif not run.ended:
            run.blame("crash", "the kernel never got to its end")
        return run

    def _listen(self, run: Run, guest: subprocess.Popen[bytes], deadline: float) -> None:
        """Feed the run with what the guest says, until all is known."""
        assert guest.stdout
        console = guest.stdout.fileno()
        os.set_blocking(console, False)
        silence, work, rest = self.silence, self.work, b""
        heard, worked = time.monotonic(), 0.0
        while not (self.first_only and run.is_told or self.stop.wait(POLL)):
            now, spent = time.monotonic(), processor_time(guest.pid)
            try:
                said = os.read(console, 1 << 16)
            except BlockingIOError:
                if now - heard > silence or spent - worked > work:
                    run.hang(f"no word for {now - heard:.1f} s")
            else:
                if not said:
                    return
                run.silence = max(run.silence, now - heard)
                run.work = max(run.work, spent - worked)
                heard, worked = now, spent
                *lines, rest = (rest + said).split(b"\n")
                for line in lines:
                    run.feed(line.decode(errors="replace").rstrip("\r"))
            if now > deadline:
                run.hang("not at its end in time")
            if run.hung:
                return
