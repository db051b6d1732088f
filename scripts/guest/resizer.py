# SPDX-License-Identifier: GPL-2.0
"""Boots the suites whose device is QEMU's own virtio-mem, and resizes it for them.

A test case asks for a size on the kernel's console, of which QEMU writes a copy
to a file, and says what it believes to be plugged. That is compared with what
QEMU knows and, where the memory of the device is a file, with the parts of it
that exist: QEMU discards what is unplugged, so all else is a hole until somebody
touches it. If all is well, the size is requested of the device by QMP.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import re
import shlex
import shutil
import socket
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path
from types import TracebackType
from typing import Dict, Iterator, List, Optional, Sequence, Set, Type

from base.files import write
from base.outcome import Exit, Fail
from base.process import run
from base.progress import result, say
from base.project import QEMU_FRAGMENTS, QEMU_VIRTIO
from guest import boot as guests
from guest import build as kernels
from guest import job, kdump, parts
from guest.qmp import Qmp, QmpError
from guest.scenarios import DEVICE, DUMP_SUITE, PATH, SCENARIOS, SIZE, Scenario, Trial
from guest.setup import Setup
from guest.verdict import Verdict, suites
from series.worktree import Source, Tree

# A second console, of another kind: there can be only one on serial ports.
KERNEL_ARGUMENTS = f"console=hvc0 kunit.filter_glob={QEMU_VIRTIO}"
# What a test case prints, see ask_for() in virtio_mem_qemu_kunit.c.
REQUEST = re.compile(r"# \w+: please resize to (\d+) bytes, with(.*) plugged( at most)?")
POLL = 0.01  # seconds between two looks at the console
PATIENCE = 30.0  # seconds for an answer of QEMU
BOOT = 600  # ... for a boot; what is not x86-64 is emulated slowly
CONSOLE, CONTROL = "console", "qmp"  # the file, and the socket
SHM = "/dev/shm"
FOLDER_NAME_MAX = 100  # of their folder; for the socket's, the kernel's limit is 107


class Resizer:
    """Beside a boot, does what the guest asks for; QEMU works in `folder`.

    `memory` is the file that is the memory of the device, if it is one.
    """

    def __init__(self, folder: Path, scenario: Scenario,
                 memory: Optional[Path] = None) -> None:
        self.folder = folder
        self.scenario = scenario
        self.memory = memory
        self.tried: Set[Trial] = set()
        self.log: List[str] = []
        self.trouble: List[str] = []
        self.begin = time.monotonic()
        self.over = threading.Event()
        self.cut_short = False
        self.thread = threading.Thread(target=self._serve, daemon=True)

    def __enter__(self) -> Resizer:
        self.thread.start()
        return self

    def __exit__(self, kind: Optional[Type[BaseException]], value: Optional[BaseException],
                 trace: Optional[TracebackType]) -> None:
        # kunit.py, when it is killed, leaves QEMU behind.
        self.cut_short = kind is not None
        self.over.set()
        self.thread.join()

    def _note(self, text: str) -> None:
        self.log.append(f"{time.monotonic() - self.begin:8.3f} {text}")

    def _complain(self, text: str) -> None:
        self._note(text)
        if text not in self.trouble:
            self.trouble.append(text)

    def _connect(self) -> Optional[socket.socket]:
        """QEMU makes its socket a moment after it has started, and after the file."""
        while not self.over.wait(POLL):
            connection = socket.socket(socket.AF_UNIX)
            try:
                connection.connect(str(self.folder / CONTROL))
                connection.settimeout(PATIENCE)
                return connection
            except OSError:
                connection.close()
        return None

    def _serve(self) -> None:
        while True:
            connection = self._connect()
            if connection is None:
                return
            with connection:
                try:
                    self._answer(Qmp(connection))
                except ConnectionError:
                    self._note("QEMU has ended")  # there may be another one, for the next case
                except (OSError, ValueError, QmpError) as error:
                    self._complain(f"gave up: {error}")

    def _answer(self, qmp: Qmp) -> None:
        """As QEMU ends, it may wait forever for a command to finish: send none unasked."""
        unread = ""
        with open(self.folder / CONSOLE, errors="replace") as console:
            while not self.over.is_set():
                unread += console.read()
                *lines, unread = unread.split("\n")
                for line in lines:
                    found = REQUEST.search(line)
                    if found:
                        self._serve_request(qmp, int(found[1]), parts.parse(found[2]),
                                            not found[3])
                qmp.wait(POLL)
        if self.cut_short:
            qmp.execute("quit")

    def _serve_request(self, qmp: Qmp, size: int, plugged: Sequence[parts.Part],
                       exactly: bool) -> None:
        """Compare, and resize if all is well. The case fails if it waits in vain."""
        if qmp.get(PATH, "requested-size") == size:
            return  # it has asked again before it saw the answer
        wrong = self._compared(qmp.get(PATH, "size"), plugged, exactly)
        wrong += self._try(qmp, self.scenario.before)
        if plugged and exactly:
            wrong += self._try(qmp, self.scenario.while_plugged)
        for line in wrong:
            self._complain(line)
        if not wrong:
            self._resize(qmp, size)

    def _compared(self, size: int, plugged: Sequence[parts.Part], exactly: bool) -> List[str]:
        """What is wrong about the memory of the device, which has so many bytes plugged."""
        wrong = []
        believed = parts.size(plugged)
        if size > believed or exactly and size != believed:
            wrong.append(f"the guest believes that {believed:#x} bytes are plugged, which are "
                         f"{size:#x}")
        if self.memory:
            existing = parts.existing(self.memory)
            touched = parts.outside(existing, plugged)
            if touched:
                wrong.append(f"memory was touched that is not plugged: {parts.told(touched)}")
            if parts.size(existing) > size:
                wrong.append(f"{parts.size(existing):#x} bytes exist, {size:#x} are plugged")
            self._note(f"{parts.size(existing) / 2**20:g} of {size / 2**20:g} MiB exist")
        return wrong

    def _try(self, qmp: Qmp, trial: Optional[Trial]) -> List[str]:
        """Once, whatever comes of it."""
        if not trial or trial in self.tried:
            return []
        self.tried.add(trial)
        return trial(qmp)

    def _resize(self, qmp: Qmp, size: int) -> None:
        try:
            qmp.set(PATH, "requested-size", size)
            self._note(f"resized to {size / 2**20:g} MiB")
        except QmpError as error:
            self._complain(f"not resized to {size} bytes: {error}")

    def untried(self) -> List[str]:
        """What the guest gave no occasion for."""
        wanted = {self.scenario.before, self.scenario.while_plugged} - {None}
        return ["the guest never had memory plugged when it asked for another size"] \
            if wanted - self.tried else []


def describe(tree: Tree, setup: Setup) -> kernels.Kernel:
    """The kernel of `suite kunit`, with what the device takes on top."""
    if setup.arch not in QEMU_FRAGMENTS:
        raise Fail(Exit.BAD_INPUT, "there is no config for a virtio-mem device and "
                   f"--arch={setup.arch}", f"use --arch={' or --arch='.join(QEMU_FRAGMENTS)}")
    more = tuple(option for path in QEMU_FRAGMENTS[setup.arch]
                 for option in kernels.fragment(tree.path, path))
    plain = kernels.describe(tree.path, setup)
    require_device(f"qemu-system-{plain.guest['qemu_arch']}")
    return plain.extended("qemu-virtio-mem", more)


def require_device(binary: str) -> None:
    done = run([binary, "-device", "help"])
    if f'"{DEVICE}"' not in done.stdout:
        raise Fail(Exit.MISSING, f"{shutil.which(binary)} has no {DEVICE} device"
                   + (f": {done.stderr.strip()}" if done.returncode else ""),
                   "install QEMU 5.1 or later, with the devices of its system emulators "
                   "(on Debian: apt-get install qemu-system-x86)")


def qemu_arguments(scenario: Scenario, folder: Path, memory: Path) -> List[str]:
    return [*scenario.qemu(memory),
            "-chardev", f"file,id=console,path={folder / CONSOLE}",
            "-device", "virtio-serial-pci,ioeventfd=off", "-device", "virtconsole,chardev=console",
            "-qmp", f"unix:{folder / CONTROL},server=on,wait=off"]


@contextlib.contextmanager
def memory_file() -> Iterator[Path]:
    """Where to have memory that is a file: in a tmpfs, even reading it fills a hole."""
    best = shutil.disk_usage(SHM).free > SIZE if os.access(SHM, os.W_OK) else False
    with tempfile.TemporaryDirectory(prefix="qemu-", dir=SHM if best else None) as place:
        yield Path(place) / "memory"


def boot(kernel: kernels.Kernel, folder: Path, scenario: Scenario) -> Verdict:
    """Boot with the device, and resize it; `folder` gets a log of that."""
    with tempfile.TemporaryDirectory(prefix="qemu-") as place, memory_file() as memory:
        if len(os.fsencode(place)) > FOLDER_NAME_MAX or not re.fullmatch(r"[\w/.+-]+", place):
            raise Fail(Exit.BAD_INPUT, f"QEMU cannot have a socket in {place}",
                       "set TMPDIR to a folder with a short, plain name")
        resizer = Resizer(Path(place), scenario, memory if scenario.is_file else None)
        arguments = shlex.join(qemu_arguments(scenario, Path(place), memory))
        last_words = ""
        if scenario.crashes:
            kernel = kdump.to_crash(kernel, [*guests.kernel_arguments(kernel), KERNEL_ARGUMENTS,
                                             f"kunit.filter_glob={DUMP_SUITE}"])
            last_words = kdump.LAST_WORDS
        try:
            with resizer:
                verdict = guests.boot(
                    kernel, f"--qemu_args={arguments}",
                    f"--kernel_args={KERNEL_ARGUMENTS} {scenario.kernel_arguments}",
                    patience=BOOT, is_reset=scenario.resets or scenario.crashes,
                    last_words=last_words)
        finally:
            write(folder / "resizes.log", "".join(f"{line}\n" for line in resizer.log).encode())
        trouble = list(resizer.trouble)
        if scenario.afterwards and verdict.code is Exit.OK:
            trouble += scenario.afterwards(memory)
    if verdict.code is Exit.OK and not kernel.setup.kunit_args:
        trouble += resizer.untried()
    for line in trouble:
        say(f"{scenario.name}: {line}")
    return dataclasses.replace(verdict, code=Exit.CASE_FAILED, reason=trouble[0]) \
        if trouble and verdict.code is Exit.OK else verdict


def qemu_virtio_mem(source: Source, setup: Setup, folder: Path,
                    scenarios: Sequence[Scenario] = SCENARIOS) -> Verdict:
    """The whole way from source to verdict, for each scenario."""
    outcomes: Dict[str, str] = {}
    verdicts: List[Verdict] = []
    for scenario in scenarios:
        lacking = scenario.lacks(setup.arch)
        if lacking:
            outcomes[scenario.name] = f"skipped: {lacking}"
        else:
            place = folder / scenario.name
            verdict = job.run(
                source, setup, place, describe,
                lambda kernel, place=place, scenario=scenario:  # type: ignore[misc]
                boot(kernel, place, scenario), tell=False)
            verdicts.append(verdict)
            outcomes[scenario.name] = verdict.line()
            if verdict.code is not Exit.OK:
                log = (place / "test.log").read_text(errors="replace")
                for line in job.lines(suites(log), verdict, log):
                    result(line)
        result(f"{scenario.name:<10} {outcomes[scenario.name]}")
    whole = together(verdicts)
    job.record(folder, whole.code, whole.reason, {"scenarios": outcomes})
    return whole


def together(verdicts: Sequence[Verdict]) -> Verdict:
    """One verdict: that of the first one that went wrong, with everybody's counts."""
    counts: Counter[str] = Counter()
    for verdict in verdicts:
        counts.update(verdict.counts)
    wrong = [verdict for verdict in verdicts if verdict.code is not Exit.OK]
    if not verdicts:
        raise Fail(Exit.MISSING, "no scenario can be had on this machine",
                   "choose others, or see above what is lacking")
    return dataclasses.replace((wrong or list(verdicts))[0], counts=dict(counts))
