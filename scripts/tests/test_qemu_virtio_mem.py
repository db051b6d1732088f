# SPDX-License-Identifier: GPL-2.0
from __future__ import annotations

import json
import socket
import threading
import unittest
from pathlib import Path
from typing import Any, Dict, List

import fixture  # first: it sets the path

import kernel as kernels
from qemu_virtio_mem import FRAGMENT, REQUEST, Resizer, describe, require_device
from verdict import Exit, Fail

ASK = "[    1.000000]     # grows: please resize to {} bytes\n"


class FakeQemu(threading.Thread):
    """Speaks as much QMP as it takes; the console says one piece at each look."""

    def __init__(self, path: Path, console: List[str], limit: int = 2**30) -> None:
        super().__init__(daemon=True)
        self.console, self.limit = list(console), limit
        self.said: List[Dict[str, Any]] = []
        self.quiet = threading.Event()  # the console has nothing more to say
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(str(path))
        self.listener.listen()
        self.start()

    def reply(self, command: Dict[str, Any]) -> Dict[str, Any]:
        if command["execute"] == "ringbuf-read":
            if not self.console:
                self.quiet.set()
            return {"return": self.console.pop(0) if self.console else ""}
        self.said.append(command)
        if command["arguments"].get("value", 0) > self.limit:
            return {"error": {"class": "GenericError", "desc": "too much"}}
        return {"return": {}}

    def run(self) -> None:
        connection, _ = self.listener.accept()
        decoder, unread = json.JSONDecoder(), ""
        with self.listener, connection:
            connection.sendall(b'{"QMP": {"version": {}, "capabilities": []}}\r\n')
            while not self.said or self.said[-1]["execute"] != "quit":
                piece = connection.recv(4096).decode()
                if not piece:
                    return
                unread += piece
                command, end = decoder.raw_decode(unread)
                unread = unread[end:]
                connection.sendall(b'{"event": "MEMORY_DEVICE_SIZE_CHANGE"}\r\n'
                                   + json.dumps(self.reply(command)).encode() + b"\r\n")

    def sizes(self) -> List[int]:
        return [command["arguments"]["value"] for command in self.said
                if command["execute"] == "qom-set"]


class ResizerTest(fixture.Case):
    def setUp(self) -> None:
        super().setUp()
        self.path = self.root / "qmp"

    def serve(self, *console: str, limit: int = 2**30) -> tuple[FakeQemu, Resizer]:
        qemu = FakeQemu(self.path, list(console), limit)
        with Resizer(self.path) as resizer:
            self.assertTrue(qemu.quiet.wait(10))
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

    def test_half_a_number_is_no_size(self) -> None:
        qemu, _ = self.serve(ASK.format(4096)[:-10])
        self.assertEqual(qemu.sizes(), [])

    def test_what_qemu_refuses_is_told_and_does_not_end_it(self) -> None:
        qemu, resizer = self.serve(ASK.format(2**40), ASK.format(4096))
        self.assertEqual(qemu.sizes(), [2**40, 4096])
        self.assertEqual(resizer.trouble, ["qom-set: too much"])
        self.assertIn(f"not resized to {2**40} bytes: qom-set: too much", "\n".join(resizer.log))

    def test_one_qemu_may_follow_another(self) -> None:
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(str(self.path))
        listener.listen()
        with Resizer(self.path) as resizer:
            listener.accept()[0].close()
            listener.close()
            self.path.unlink()
            qemu = FakeQemu(self.path, [ASK.format(4096)])
            self.assertTrue(qemu.quiet.wait(10))
        self.assertEqual(qemu.sizes(), [4096])
        self.assertEqual(resizer.trouble, [])
        self.assertIn("QEMU has ended", "\n".join(resizer.log))

    def test_qemu_does_not_outlive_an_interrupted_run(self) -> None:
        qemu = FakeQemu(self.path, [])
        with self.assertRaises(KeyboardInterrupt), Resizer(self.path):
            self.assertTrue(qemu.quiet.wait(10))
            raise KeyboardInterrupt
        self.assertEqual(qemu.said[-1]["execute"], "quit")

    def test_a_qemu_that_never_starts_is_not_waited_for(self) -> None:
        with Resizer(self.path) as resizer:
            pass
        self.assertFalse(resizer.thread.is_alive())

    def test_follows_the_words_of_the_suite(self) -> None:
        source = Path(__file__).resolve().parents[2] / "drivers/virtio/tests"
        text = (source / "virtio_mem_qemu_kunit.c").read_text()
        self.assertIn('"please resize to %llu bytes\\n"', text)
        self.assertTrue(REQUEST.search(ASK.format(1)))


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

    def test_a_tree_without_the_config_is_refused(self) -> None:
        with self.assertRaises(Fail) as caught:
            describe(self.kernel, self.options())
        self.assertEqual(caught.exception.code, Exit.BAD_INPUT)
        self.assertIn(FRAGMENT, caught.exception.what)

    def test_other_architectures_are_refused(self) -> None:
        with self.assertRaises(Fail) as caught:
            describe(self.kernel, self.options(ARCH="s390"))
        self.assertEqual(caught.exception.code, Exit.BAD_INPUT)

    def test_the_config_goes_on_top_of_that_of_make_kunit(self) -> None:
        fixture.lay(self.kernel, {
            FRAGMENT: "# A comment\nCONFIG_PCI=y\n\n# CONFIG_ACPI_AC is not set\n",
            "tools/testing/kunit/__init__.py": "",
            "tools/testing/kunit/qemu_configs/__init__.py": "",
            "tools/testing/kunit/qemu_configs/x86_64.py":
                "class A: pass\nQEMU_ARCH = A()\nQEMU_ARCH.qemu_arch = 'x86_64'\n"})
        options = self.options()
        try:
            found = describe(self.kernel, options)
        except Fail as fail:
            self.skipTest(fail.what)
        self.assertEqual(found.more, ("CONFIG_PCI=y", "# CONFIG_ACPI_AC is not set"))
        self.assertNotEqual(found.out, kernels.describe(self.kernel, options).out)
        elsewhere = self.options(O=str(self.root / "out"))
        self.assertEqual(describe(self.kernel, elsewhere).out, self.root / "out")


if __name__ == "__main__":
    unittest.main()
