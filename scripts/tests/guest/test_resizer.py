# SPDX-License-Identifier: GPL-2.0
from __future__ import annotations

import json
import socket
import threading
import time
from pathlib import Path
from typing import Any, Dict, List, Sequence, Tuple
from unittest import mock

from base.files import REPO
from base.outcome import Exit, Fail
from base.project import QEMU_FRAGMENT
from guest import build as kernels
from guest.resizer import REQUEST, Resizer, describe, require_device
from guest.setup import Setup
from series.git import Repository
from series.worktree import Tree
from tests import fixture

ASK = "[    1.000000]     # grows: please resize to {} bytes\n"
DONE = 1  # the last size that a guest asks for


def listen(path: Path) -> socket.socket:
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(path))
    listener.listen()
    return listener


class FakeQemu(threading.Thread):
    """Speaks as much QMP as it takes, and says these pieces on the console."""

    def __init__(self, folder: Path, console: Sequence[str], limit: int = 2**30) -> None:
        super().__init__(daemon=True)
        self.console, self.limit = console, limit
        self.said: List[Dict[str, Any]] = []
        self.done = threading.Event()  # it was asked for the size DONE
        self.file = open(folder / "console", "w")
        self.listener = listen(folder / "qmp")
        self.start()

    def reply(self, command: Dict[str, Any]) -> Dict[str, Any]:
        self.said.append(command)
        size = command["arguments"].get("value", 0)
        if size == DONE:
            self.done.set()
        if size > self.limit:
            return {"error": {"class": "GenericError", "desc": "too much"}}
        return {"return": {}}

    def speak(self) -> None:
        with self.file:
            for piece in (*self.console, ASK.format(DONE)):
                self.file.write(piece)
                self.file.flush()
                time.sleep(0.02)

    def run(self) -> None:
        self.connection, _ = self.listener.accept()
        speaker = threading.Thread(target=self.speak, daemon=True)
        speaker.start()
        decoder, unread = json.JSONDecoder(), ""
        with self.listener, self.connection as connection:
            connection.sendall(b'{"QMP": {"version": {}, "capabilities": []}}\r\n')
            while not self.said or self.said[-1]["execute"] != "quit":
                piece = connection.recv(4096).decode()
                if not piece:
                    break
                unread += piece
                command, end = decoder.raw_decode(unread)
                unread = unread[end:]
                connection.sendall(b'{"event": "MEMORY_DEVICE_SIZE_CHANGE"}\r\n'
                                   + json.dumps(self.reply(command)).encode()
                                   + b'\r\n{"event": "MEMORY_DEVICE_SIZE_CHANGE"}\r\n')
            speaker.join()

    def end(self) -> None:
        self.connection.shutdown(socket.SHUT_RDWR)
        self.join(10)

    def sizes(self) -> List[int]:
        """What it was asked for."""
        found = [command["arguments"]["value"] for command in self.said
                 if command["execute"] == "qom-set"]
        return [size for size in found if size != DONE]


class ResizerTest(fixture.Case):
    def serve(self, *console: str, limit: int = 2**30) -> Tuple[FakeQemu, Resizer]:
        qemu = FakeQemu(self.root, console, limit)
        with Resizer(self.root) as resizer:
            self.assertTrue(qemu.done.wait(10))
        qemu.join(10)
        return qemu, resizer

    def test_does_what_the_guest_asks_for(self) -> None:
        qemu, resizer = self.serve("Linux version 7.3.4\n", ASK.format(4096), ASK.format(0),
                                   "ok 1 grows\n")
        self.assertEqual(qemu.sizes(), [4096, 0])
        self.assertEqual(resizer.trouble, [])

    def test_a_line_may_come_in_pieces(self) -> None:
        line = ASK.format(4096)
        qemu, _ = self.serve(line[:-9], line[-9:-3], line[-3:] + line)
        self.assertEqual(qemu.sizes(), [4096, 4096])

    def test_says_nothing_unasked(self) -> None:
        qemu, _ = self.serve("Linux version 7.3.4\n", "ok 1 grows\n")
        self.assertEqual([command["execute"] for command in qemu.said],
                         ["qmp_capabilities", "qom-set"])

    def test_what_qemu_refuses_is_told_and_does_not_end_it(self) -> None:
        qemu, resizer = self.serve(ASK.format(2**40), ASK.format(4096))
        self.assertEqual(qemu.sizes(), [2**40, 4096])
        self.assertEqual(resizer.trouble, ["qom-set: too much"])
        self.assertIn(f"not resized to {2**40} bytes: qom-set: too much", "\n".join(resizer.log))

    def test_one_qemu_may_follow_another(self) -> None:
        with Resizer(self.root) as resizer:
            for _ in range(2):
                qemu = FakeQemu(self.root, [ASK.format(4096)])
                self.assertTrue(qemu.done.wait(10))
                qemu.end()
                (self.root / "qmp").unlink()
        self.assertEqual(qemu.sizes(), [4096])
        self.assertEqual(resizer.trouble, [])
        self.assertIn("QEMU has ended", "\n".join(resizer.log))

    def test_qemu_does_not_outlive_an_interrupted_run(self) -> None:
        qemu = FakeQemu(self.root, [])
        with self.assertRaises(KeyboardInterrupt), Resizer(self.root):
            self.assertTrue(qemu.done.wait(10))
            raise KeyboardInterrupt
        qemu.join(10)
        self.assertEqual(qemu.said[-1]["execute"], "quit")

    def test_a_qemu_that_never_starts_is_not_waited_for(self) -> None:
        with Resizer(self.root) as resizer:
            pass
        self.assertFalse(resizer.thread.is_alive())

    def test_follows_the_words_of_the_suite(self) -> None:
        text = (REPO / "drivers/virtio/tests/virtio_mem_qemu_kunit.c").read_text()
        self.assertIn('"please resize to %llu bytes\\n"', text)
        self.assertTrue(REQUEST.search(ASK.format(1)))  # with the time in front, or without
        self.assertTrue(REQUEST.search(ASK.format(1).partition("] ")[2]))


class DescribeTest(fixture.Case):
    def binary(self, script: str) -> str:
        path = self.root / "qemu"
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)
        return str(path)

    def test_a_qemu_without_the_device_is_named(self) -> None:
        require_device(self.binary("""echo 'name "virtio-mem-pci", bus PCI'"""))
        for script in ("""echo 'name "virtio-net-pci", bus PCI'""", "exit 1"):
            with self.assertRaises(Fail) as caught:
                require_device(self.binary(script))
            self.assertEqual(caught.exception.code, Exit.MISSING)
            self.assertIn("virtio-mem-pci", caught.exception.what)

    def tree(self) -> Tree:
        return Tree(self.kernel, "7.3.4", "", "", Repository(self.root / "ours.git"))

    def test_a_tree_without_the_config_is_refused(self) -> None:
        with self.assertRaises(Fail) as caught:
            describe(self.tree(), Setup())
        self.assertEqual(caught.exception.code, Exit.BAD_INPUT)
        self.assertIn(QEMU_FRAGMENT, caught.exception.what)

    def test_other_architectures_are_refused(self) -> None:
        with self.assertRaises(Fail) as caught:
            describe(self.tree(), Setup(arch="s390"))
        self.assertEqual(caught.exception.code, Exit.BAD_INPUT)

    def test_the_config_goes_on_top_of_that_of_make_kunit(self) -> None:
        fixture.lay(self.kernel, {
            QEMU_FRAGMENT: "# A comment\nCONFIG_PCI=y\n\n# CONFIG_ACPI_AC is not set\n",
            "tools/testing/kunit/__init__.py": "",
            "tools/testing/kunit/qemu_configs/__init__.py": "",
            "tools/testing/kunit/qemu_configs/x86_64.py":
                "class A: pass\nQEMU_ARCH = A()\nQEMU_ARCH.qemu_arch = 'x86_64'\n"
                "QEMU_ARCH.linux_arch, QEMU_ARCH.kernel_path = 'x86', 'bzImage'\n"})
        with mock.patch("guest.resizer.require_device"):
            found = describe(self.tree(), Setup())
            elsewhere = describe(self.tree(), Setup(build_dir=self.root / "out"))
        self.assertEqual(found.more, ("CONFIG_PCI=y", "# CONFIG_ACPI_AC is not set"))
        self.assertNotEqual(found.out, kernels.describe(self.kernel, Setup()).out)
        self.assertEqual(elsewhere.out, self.root / "out")

