# SPDX-License-Identifier: GPL-2.0
"""Boots the suites whose device is QEMU's own virtio-mem, and resizes it for them.

A test case asks for a size on the kernel's console, of which QEMU writes a copy
to a file; by QMP, the size is then requested of the device.
"""

from __future__ import annotations

import json
import os
import re
import select
import shlex
import shutil
import socket
import tempfile
import threading
import time
from pathlib import Path
from types import TracebackType
from typing import Any, List, Optional, Type

from base.files import write
from base.outcome import Exit, Fail
from base.process import run
from base.progress import say
from base.project import QEMU_FRAGMENT, QEMU_VIRTIO
from guest import boot as guests
from guest import build as kernels
from guest import job
from guest.setup import Setup
from guest.verdict import Verdict
from series.worktree import Source, Tree

# A second console, of another kind: there can be only one on serial ports.
KERNEL_ARGUMENTS = f"console=hvc0 kunit.filter_glob={QEMU_VIRTIO}"
DEVICE = "virtio-mem-pci"
# What a test case prints, see ask_for() in virtio_mem_qemu_kunit.c.
REQUEST = re.compile(r"# \w+: please resize to (\d+) bytes")
POLL = 0.01  # seconds between two looks at the console
PATIENCE = 30.0  # seconds for an answer of QEMU
CONSOLE, CONTROL = "console", "qmp"  # the file, and the socket
FOLDER_NAME_MAX = 100  # of their folder; for the socket's, the kernel's limit is 107


class QmpError(Exception):
    """QEMU refused a command."""


class Qmp:
    """The QEMU Machine Protocol: a line of JSON each way, and events in between."""

    def __init__(self, connection: socket.socket) -> None:
        self.connection = connection
        self.unread = b""
        self.execute("qmp_capabilities")

    def execute(self, command: str, **arguments: object) -> Any:
        self.connection.sendall(json.dumps({"execute": command, "arguments": arguments}).encode())
        while True:
            reply = json.loads(self._line())
            if "error" in reply:
                raise QmpError(f"{command}: {reply['error']['desc']}")
            if "return" in reply:
                return reply["return"]

    def wait(self, timeout: float) -> None:
        """Wait, but not for an answer: there may be events, or the end of QEMU."""
        if select.select([self.connection], [], [], timeout)[0]:
            self._receive()

    def _line(self) -> bytes:
        while b"\n" not in self.unread:
            self._receive()
        line, _, self.unread = self.unread.partition(b"\n")
        return line

    def _receive(self) -> None:
        piece = self.connection.recv(65536)
        if not piece:
            raise ConnectionError("QEMU has ended")
        self.unread += piece


class Resizer:
    """Beside a boot, does what the guest asks for; QEMU works in `folder`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
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
                    self._note(f"gave up: {error}")
                    self.trouble.append(str(error))

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
                        self._resize(qmp, int(found.group(1)))
                qmp.wait(POLL)
        if self.cut_short:
            qmp.execute("quit")

    def _resize(self, qmp: Qmp, size: int) -> None:
        try:
            qmp.execute("qom-set", path="/machine/peripheral/vm0", property="requested-size",
                        value=size)
            self._note(f"resized to {size / 2**20:g} MiB")
        except QmpError as error:
            self._note(f"not resized to {size} bytes: {error}")
            self.trouble.append(str(error))


def describe(tree: Tree, setup: Setup) -> kernels.Kernel:
    """The kernel of `suite kunit`, with what the device takes on top."""
    if setup.arch != "x86_64":
        raise Fail(Exit.BAD_INPUT, "there is no config for a virtio-mem device and "
                   f"--arch={setup.arch}", "use --arch=x86_64")
    more = kernels.fragment(tree.path, QEMU_FRAGMENT)
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


def qemu_arguments(folder: Path) -> List[str]:
    return ["-m", "1G,maxmem=4G",
            "-object", "memory-backend-ram,id=mem0,size=1G",
            "-device", f"{DEVICE},id=vm0,memdev=mem0,block-size=2M",
            "-chardev", f"file,id=console,path={folder / CONSOLE}",
            "-device", "virtio-serial-pci,ioeventfd=off", "-device", "virtconsole,chardev=console",
            "-qmp", f"unix:{folder / CONTROL},server=on,wait=off"]


def boot(kernel: kernels.Kernel, folder: Path) -> Verdict:
    """Boot with the device, and resize it; `folder` gets a log of that."""
    with tempfile.TemporaryDirectory(prefix="qemu-") as place:
        if len(os.fsencode(place)) > FOLDER_NAME_MAX or not re.fullmatch(r"[\w/.+-]+", place):
            raise Fail(Exit.BAD_INPUT, f"QEMU cannot have a socket in {place}",
                       "set TMPDIR to a folder with a short, plain name")
        resizer = Resizer(Path(place))
        arguments = shlex.join(qemu_arguments(Path(place)))
        try:
            with resizer:
                verdict = guests.boot(kernel, f"--qemu_args={arguments}",
                                      f"--kernel_args={KERNEL_ARGUMENTS}")
        finally:
            write(folder / "resizes.log", "".join(f"{line}\n" for line in resizer.log).encode())
    for trouble in resizer.trouble:
        say(f"the device could not be resized: {trouble}")
    return verdict


def qemu_virtio_mem(source: Source, setup: Setup, folder: Path) -> Verdict:
    """The whole way from source to verdict."""
    return job.run(source, setup, folder, describe, lambda kernel: boot(kernel, folder))
