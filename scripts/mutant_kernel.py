# SPDX-License-Identifier: GPL-2.0
"""Builds kernels with mutants in them, and boots them.

The tree and the build folder of `make kunit` stay as they are. In a copy of
the build folder, the objects of the files that are mutated are compiled from
other sources, by the very commands that kbuild noted down; to make, they are
up to date then, and all that is left to do is to link.
"""

from __future__ import annotations

import dataclasses
import os
import re
import select
import shutil
import subprocess
import threading
import time
from pathlib import Path
from statistics import median
from typing import Dict, List, Sequence, Tuple

import accel
import kernel as kernels
import kunit
from host import digest, fresh, is_full, need_space, run, spawn, write
from mutate import ENCODING, OPERATORS, Mutant, instrument
from verdict import Exit, Fail, no_space

CASE = re.compile(r"^ {4}(not )?ok \d+ (\w+)(.*# SKIP)?")
SUITE = re.compile(r"^ {4}# Subtest: (\w+)")
SUITE_END = re.compile(r"^(not )?ok \d+ (\w+)")
# How long a mutant may take, and say nothing: so many times what it took the
# last boots that came to their end, and so many seconds more.
FACTOR, MORE, MORE_SILENCE, LAST = 6.0, 5.0, 2.0, 8
OK, NOT_OK, SKIP = "ok", "not ok", "skip"


@dataclasses.dataclass
class Run:
    """What a boot printed, as far as it matters; one line after the other is fed in."""

    order: Sequence[str] = ()  # the cases, as a kernel without a mutant runs them
    cases: Dict[str, str] = dataclasses.field(default_factory=dict)
    first: str = ""  # the first case that went wrong
    how: str = ""  # ... and how: it failed, or the kernel warned, crashed or hung
    reason: str = ""
    ended: bool = False
    seconds: float = 0.0
    silence: float = 0.0  # the longest time without a word
    started: bool = False  # the cases, that is
    _suite: str = ""

    def feed(self, line: str) -> None:
        self.started = self.started or line.startswith("KTAP version")
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
        elif kunit.CRASH.search(line):
            self.blame("crash", line.strip())
        elif self.started and kunit.WARNING.match(line):
            self.blame("warning", line.strip())
        elif line.startswith(kunit.THE_END):
            self.ended = True

    def blame(self, how: str, reason: str, case: str = "") -> None:
        """The first trouble counts. If no case tells of it, it is the one that was running."""
        if not self.how:
            running = [name for name in self.order if name not in self.cases]
            self.first = case or (running[0] if running else "after the last case")
            self.how, self.reason = how, reason

    @property
    def failed(self) -> List[str]:
        return [name for name, result in self.cases.items() if result == NOT_OK]


class DoesNotBuild(Exception):
    """What the compiler says against a source."""


class Workshop:
    """Kernels from sources with mutants, one build at a time."""

    def __init__(self, kernel: kernels.Kernel, folder: Path, users: Sequence[str]) -> None:
        self.plain = kernel
        self.users = users  # what to compile when a header has changed
        self.folder = folder
        self.kernel = dataclasses.replace(kernel, out=folder / "out")
        self.base = digest(kernel.image.read_bytes())
        self.lock = threading.Lock()

    def together(self, numbered: Sequence[Tuple[int, Mutant]], texts: Dict[str, str]) -> Path:
        """One kernel with all of them; `texts` are the files as they are."""
        sources = {}
        for path, text in texts.items():
            here = [(number, mutant) for number, mutant in numbered if mutant.path == path]
            if here:
                sources[path] = instrument(text, here)
        last = list(sources)[-1]
        sources[last] += (OPERATORS / "mutant.c").read_text()
        try:
            return self.image(sources)[0]
        except DoesNotBuild as error:
            raise Fail(Exit.BUILD, f"the kernel with all mutants does not build:\n{error}",
                       "mend the semantic patch whose mutant is named there") from None

    def image(self, sources: Dict[str, str]) -> Tuple[Path, float]:
        """The kernel with these sources in place of others, and how long it took to build."""
        header = (OPERATORS / "mutant.h").read_bytes()
        name = digest(self.base.encode(), header, *(part.encode(ENCODING) for pair in
                                                    sources.items() for part in pair))[:16]
        image = self.folder / "images" / name
        with self.lock:
            if image.exists():
                return image, 0.0
            begin = time.monotonic()
            self._copy()
            self._build(sources)
            write(image, self.kernel.image.read_bytes())
            return image, time.monotonic() - begin

    def _copy(self) -> None:
        """A copy of the build folder, with the objects that are mutated as they were."""
        out, made_from = self.kernel.out, self.folder / "out.from"
        if not made_from.exists() or made_from.read_text() != self.base:
            need_space(self.folder, 1)
            made_from.unlink(missing_ok=True)
            fresh(out).rmdir()
            done = run(["cp", "-a", "--reflink=auto", str(self.plain.out), str(out)])
            if done.returncode:
                raise Fail(Exit.MISSING, f"{self.plain.out} cannot be copied: {done.stderr}",
                           "see that the disk has space")
            # All depends on objtool, whose own build notes down where it lies.
            for note in (out / "tools").rglob(".*.cmd"):
                note.write_text(note.read_text().replace(str(self.plain.out), str(out)))
            write(made_from, self.base.encode())
        for mutated in (self.folder / "mutated").glob("*"):
            original = mutated.read_text()
            shutil.copyfile(self.plain.out / original, out / original)
            mutated.unlink()

    def _build(self, sources: Dict[str, str]) -> None:
        place = fresh(self.folder / "source")
        for path, text in sources.items():
            write(place / path, text.encode(ENCODING))
        headers = [path for path in sources if path.endswith(".h")]
        for path in self.users if headers else sources:
            built = str(Path(path).with_suffix(".o"))
            write(self.folder / "mutated" / digest(built.encode())[:16], built.encode())
            source = place / path if path in sources else self.kernel.tree / path
            self._run(["sh", "-ec", self._command(path, source, place)])
        self._run(kernels.make_command(self.kernel, self.kernel.image.name))

    def _run(self, words: Sequence[str]) -> None:
        done = run(words, cwd=self.kernel.out)
        if done.returncode and is_full(self.kernel.out, done.stderr):
            raise no_space(self.kernel.out)
        if done.returncode:
            raise DoesNotBuild(done.stderr.strip())

    def _command(self, path: str, source: Path, place: Path) -> str:
        """How kbuild compiled the file, but from another source, and with headers from `place`."""
        note = self.kernel.out / Path(path).with_name(f".{Path(path).stem}.o.cmd")
        original = self.kernel.tree / path
        found = re.match(r"savedcmd_\S+ := (.*)", note.read_text())
        if not found or f" {original} " not in found.group(1):
            raise Fail(Exit.BUILD, f"{note} does not tell how {path} was compiled",
                       "remove build/ and run the same command again")
        words = found.group(1).replace("$(pound)", "#").replace("$$", "$")
        words = words.replace(" -nostdinc ", f" -nostdinc -I{place}/include ", 1)
        return words.replace(f" {original} ", f" -include {OPERATORS / 'mutant.h'} "
                             f"-iquote {original.parent} {source} ")


def command(kernel: kernels.Kernel, image: Path, number: int, hypervisors: Sequence[str],
            limit: float) -> List[str]:
    """As kunit.py starts QEMU; timeout ends it even if nobody is left to do so."""
    return ["timeout", "--signal=KILL", f"{limit:.1f}",
            f"qemu-system-{kernel.qemu['qemu_arch']}", "-nodefaults", "-m", "1024",
            "-kernel", str(image), "-append",
            f"mutant={number} {' '.join(kunit.KERNEL_ARGUMENTS)} kunit.enable=1 "
            f"kunit_shutdown=reboot {kernel.qemu['kernel_command_line']}",
            "-no-reboot", "-nographic",
            *(word for name in hypervisors for word in ("-accel", name)),
            "-serial", str(kernel.qemu["serial"]), *kernel.qemu["extra_qemu_params"]]


def hypervisors(kernel: kernels.Kernel) -> List[str]:
    return ["tcg"] if accel.kvm_hangs(kernel) else ["kvm", "tcg"]


class Guests:
    """Boots, of which several may run at a time; all of them can be ended at once."""

    def __init__(self, kernel: kernels.Kernel, first_only: bool) -> None:
        self.kernel = kernel
        self.first_only = first_only  # end a guest at the first case that goes wrong
        self.accel = hypervisors(kernel)
        self.order: List[str] = []
        self.limit = self.silence = float(kunit.PATIENCE)
        self.ended: Sequence[Run] = ()
        self.stopped = False
        self.running: List[subprocess.Popen[str]] = []

    def expect(self, runs: Sequence[Run]) -> None:
        """From now on, boots are to run the same cases, and hang if they take far longer."""
        self.order = list(runs[0].cases)
        self._learn(runs)

    def _learn(self, runs: Sequence[Run]) -> None:
        """How long boots take: that changes with what else the machine has to do.

        A mutant may be slow all by itself, so the median counts.
        """
        self.ended = (*self.ended, *runs)[-LAST:]
        self.limit = FACTOR * median(run.seconds for run in self.ended) + MORE
        self.silence = FACTOR * median(run.silence for run in self.ended) + MORE_SILENCE

    def boot(self, image: Path, number: int) -> Run:
        run = self._boot(image, number)
        # Mutants are never to blame for what happens before the cases.
        return run if run.started or self.stopped else self._boot(image, number)

    def _boot(self, image: Path, number: int) -> Run:
        run = Run(self.order)
        begin = heard = time.monotonic()
        rest = b""
        limit = self.limit
        words = command(self.kernel, image, number, self.accel, limit)
        with spawn(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as guest:
            self.running.append(guest)
            assert guest.stdout
            while not (self.first_only and run.how):
                if not select.select([guest.stdout], [], [], self.silence)[0]:
                    run.blame("hang", f"no word for {self.silence:.0f} s")
                    break
                said = os.read(guest.stdout.fileno(), 65536)
                if not said:
                    break
                run.silence = max(run.silence, time.monotonic() - heard)
                heard = time.monotonic()
                *lines, rest = (rest + said).split(b"\n")
                for line in lines:
                    run.feed(line.decode(errors="replace").rstrip("\r"))
        self.running.remove(guest)
        run.seconds = time.monotonic() - begin
        if run.ended and self.order:
            self._learn([run])
        elif not run.ended and run.seconds >= limit:
            run.blame("hang", f"not at its end after {limit:.0f} s")
        elif not run.ended:
            run.blame("crash", "the kernel never got to its end")
        return run

    def stop(self) -> None:
        self.stopped = True
        for guest in list(self.running):
            guest.terminate()
