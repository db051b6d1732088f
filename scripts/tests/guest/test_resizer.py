# SPDX-License-Identifier: GPL-2.0
from __future__ import annotations

import json
import socket
import threading
import time
from pathlib import Path
from typing import Any, Dict, List, Optional, Sequence, Tuple
from unittest import mock

from base.files import REPO
from base.outcome import Exit, Fail
from base.project import QEMU_FRAGMENTS
from guest import build as kernels
from guest.qmp import Qmp, QmpError
from guest.resizer import REQUEST, Resizer, describe, qemu_virtio_mem, require_device, together
from guest.scenarios import PATH, SCENARIOS, Scenario, refused
from guest.setup import Setup
from guest.verdict import Verdict
from series.git import Repository
from series.worktree import Source, Tree
from tests import fixture

DONE = 1  # the last size that a guest asks for
RAM = Scenario("ram", "")


def ask(size: int, plugged: int = 0, at_most: bool = False) -> str:
    """What a guest says that believes so many bytes to be plugged, the first ones."""
    parts = f" 0x0-{plugged:#x}" if plugged else ""
    return (f"[    1.000000]     # grows: please resize to {size} bytes, with{parts} plugged"
            f"{' at most' if at_most else ''}\n")


def listen(path: Path) -> socket.socket:
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(path))
    listener.listen()
    return listener


class FakeQemu(threading.Thread):
    """Speaks as much QMP as it takes, and says these pieces on the console.

    What is requested is plugged at once.
    """

    def __init__(self, folder: Path, console: Sequence[str], limit: int = 2**30,
                 size: int = 0) -> None:
        super().__init__(daemon=True)
        self.console, self.limit = console, limit
        self.said: List[Dict[str, Any]] = []
        self.size = size
        self.done = threading.Event()  # it was asked for the size DONE
        self.file = open(folder / "console", "w")
        self.listener = listen(folder / "qmp")
        self.start()

    def reply(self, command: Dict[str, Any]) -> Dict[str, Any]:
        self.said.append(command)
        if command["execute"] == "qom-get":
            return {"return": self.size}
        if command["execute"] != "qom-set":
            return {"return": {}}
        size = command["arguments"]["value"]
        if size == DONE:
            self.done.set()
        if size > self.limit:
            return {"error": {"class": "GenericError", "desc": "too much"}}
        self.size = size
        return {"return": {}}

    def speak(self) -> None:
        with self.file:
            for piece in (*self.console, ask(DONE, 2**62, at_most=True)):
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
    def serve(self, *console: str, limit: int = 2**30, scenario: Scenario = RAM,
              memory: Optional[Path] = None, size: int = 0) -> Tuple[FakeQemu, Resizer]:
        qemu = FakeQemu(self.root, console, limit, size)
        with Resizer(self.root, scenario, memory) as resizer:
            self.assertTrue(qemu.done.wait(10))
        qemu.join(10)
        return qemu, resizer

    def test_does_what_the_guest_asks_for(self) -> None:
        qemu, resizer = self.serve("Linux version 7.3.4\n", ask(4096), ask(0, 4096),
                                   "ok 1 grows\n")
        self.assertEqual(qemu.sizes(), [4096, 0])
        self.assertEqual(resizer.trouble, [])

    def test_a_line_may_come_in_pieces(self) -> None:
        line = ask(4096)
        qemu, _ = self.serve(line[:-9], line[-9:-3], line[-3:] + ask(8192, 4096))
        self.assertEqual(qemu.sizes(), [4096, 8192])

    def test_what_is_asked_again_was_done_already(self) -> None:
        qemu, resizer = self.serve(ask(4096), ask(4096))
        self.assertEqual(qemu.sizes(), [4096])
        self.assertEqual(resizer.trouble, [])

    def test_says_nothing_unasked(self) -> None:
        qemu, _ = self.serve("Linux version 7.3.4\n", "ok 1 grows\n")
        self.assertEqual([command["execute"] for command in qemu.said],
                         ["qmp_capabilities", "qom-get", "qom-get", "qom-set"])

    def test_what_qemu_refuses_is_told_and_does_not_end_it(self) -> None:
        qemu, resizer = self.serve(ask(2**40), ask(4096))
        self.assertEqual(qemu.sizes(), [2**40, 4096])
        self.assertEqual(resizer.trouble, [f"not resized to {2**40} bytes: qom-set: too much"])

    def test_a_guest_that_is_wrong_about_its_memory_gets_no_answer(self) -> None:
        for believed, at_most, sizes in ((4096, False, [4096, 0]), (8192, True, [4096, 0]),
                                         (8192, False, [4096]), (0, True, [4096])):
            with self.subTest(believed=believed, at_most=at_most):
                qemu, resizer = self.serve(ask(4096), ask(0, believed, at_most))
                self.assertEqual(qemu.sizes(), sizes)
                self.assertEqual(bool(resizer.trouble), sizes == [4096])
                (self.root / "qmp").unlink()

    def test_memory_that_is_touched_while_unplugged_is_noticed(self) -> None:
        memory = self.root / "memory"
        for offset, wrong in ((12288, []),
                              (16384, ["memory was touched that is not plugged: 0x4000-0x5000"])):
            with self.subTest(offset=offset), open(memory, "wb") as file:
                file.truncate(65536)
                file.seek(offset)
                file.write(bytes(4096))
                file.flush()
                _, resizer = self.serve(ask(32768, 16384), memory=memory, size=16384)
                self.assertEqual(resizer.trouble, wrong)
                (self.root / "qmp").unlink()

    def test_what_is_to_be_tried_is_tried_once_and_in_its_time(self) -> None:
        tried: List[str] = []

        def before(qmp: Qmp) -> List[str]:
            tried.append(f"before {qmp.get(PATH, 'size')}")
            return []

        def while_plugged(qmp: Qmp) -> List[str]:
            tried.append(f"while {qmp.get(PATH, 'size')}")
            return ["went wrong"]
        scenario = Scenario("tries", "", before=before, while_plugged=while_plugged)
        _, resizer = self.serve(ask(4096), ask(8192, 4096), ask(8192, 4096), scenario=scenario)
        self.assertEqual(tried, ["before 0", "while 4096"])
        self.assertEqual(resizer.trouble, ["went wrong"])
        self.assertEqual(resizer.untried(), [])
        self.assertNotEqual(Resizer(self.root, scenario).untried(), [])

    def test_a_refusal_is_what_is_wanted_of_some_commands(self) -> None:
        qmp = mock.create_autospec(Qmp, instance=True)
        self.assertEqual(len(refused(qmp, "device_del", id="vm0")), 1)
        qmp.execute.side_effect = QmpError("in use")
        self.assertEqual(refused(qmp, "device_del", id="vm0"), [])

    def test_one_qemu_may_follow_another(self) -> None:
        with Resizer(self.root, RAM) as resizer:
            for _ in range(2):
                qemu = FakeQemu(self.root, [ask(4096)])
                self.assertTrue(qemu.done.wait(10))
                qemu.end()
                (self.root / "qmp").unlink()
        self.assertEqual(qemu.sizes(), [4096])
        self.assertEqual(resizer.trouble, [])
        self.assertIn("QEMU has ended", "\n".join(resizer.log))

    def test_qemu_does_not_outlive_an_interrupted_run(self) -> None:
        qemu = FakeQemu(self.root, [])
        with self.assertRaises(KeyboardInterrupt), Resizer(self.root, RAM):
            self.assertTrue(qemu.done.wait(10))
            raise KeyboardInterrupt
        qemu.join(10)
        self.assertEqual(qemu.said[-1]["execute"], "quit")

    def test_a_qemu_that_never_starts_is_not_waited_for(self) -> None:
        with Resizer(self.root, RAM) as resizer:
            pass
        self.assertFalse(resizer.thread.is_alive())

    def test_follows_the_words_of_the_suite(self) -> None:
        text = (REPO / "drivers/virtio/tests/virtio_mem_qemu_kunit.c").read_text()
        self.assertIn('"please resize to %llu bytes, with%s\\n"', text)
        self.assertIn('" plugged%s", sure ? "" : " at most"', text)
        self.assertTrue(REQUEST.search(ask(1)))  # with the time in front, or without
        self.assertTrue(REQUEST.search(ask(1).partition("] ")[2]))


class ScenariosTest(fixture.Case):
    def test_names_are_unique_and_each_has_the_device(self) -> None:
        self.assertEqual(len({scenario.name for scenario in SCENARIOS}), len(SCENARIOS))
        for scenario in SCENARIOS:
            arguments = scenario.qemu(Path("/dev/shm/memory"))
            self.assertIn("memdev=mem0", " ".join(arguments))
            self.assertEqual("mem-path=" in " ".join(arguments), scenario.is_file)

    def test_what_this_machine_lacks_is_told_and_is_no_success(self) -> None:
        scenario = Scenario("memslots", "", lacking=lambda arch: f"QEMU for {arch} is too old")
        with self.assertRaises(Fail) as caught:
            qemu_virtio_mem(Source("7.3", None), Setup(), self.root, [scenario])
        self.assertEqual(caught.exception.code, Exit.MISSING)

    def test_one_that_went_wrong_decides(self) -> None:
        good = Verdict(Exit.OK, "", {"passed": 3})
        bad = Verdict(Exit.CRASH, "oops", {"passed": 1, "failed": 1})
        self.assertEqual(together([good, bad, good]),
                         Verdict(Exit.CRASH, "oops", {"passed": 7, "failed": 1}))
        self.assertEqual(together([good]).code, Exit.OK)


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
        self.assertIn(QEMU_FRAGMENTS["x86_64"][0], caught.exception.what)

    def test_other_architectures_are_refused(self) -> None:
        with self.assertRaises(Fail) as caught:
            describe(self.tree(), Setup(arch="s390"))
        self.assertEqual(caught.exception.code, Exit.BAD_INPUT)

    def test_the_config_goes_on_top_of_that_of_make_kunit(self) -> None:
        common, alone = QEMU_FRAGMENTS["x86_64"]
        fixture.lay(self.kernel, {
            common: "# A comment\nCONFIG_PCI=y\n\n# CONFIG_ACPI_AC is not set\n",
            alone: "CONFIG_ACPI=y\n",
            "tools/testing/kunit/__init__.py": "",
            "tools/testing/kunit/qemu_configs/__init__.py": "",
            "tools/testing/kunit/qemu_configs/x86_64.py":
                "class A: pass\nQEMU_ARCH = A()\nQEMU_ARCH.qemu_arch = 'x86_64'\n"
                "QEMU_ARCH.linux_arch, QEMU_ARCH.kernel_path = 'x86', 'bzImage'\n"})
        with mock.patch("guest.resizer.require_device"):
            found = describe(self.tree(), Setup())
            elsewhere = describe(self.tree(), Setup(build_dir=self.root / "out"))
        self.assertEqual(found.more, ("CONFIG_PCI=y", "# CONFIG_ACPI_AC is not set",
                                      "CONFIG_ACPI=y"))
        self.assertNotEqual(found.out, kernels.describe(self.kernel, Setup()).out)
        self.assertEqual(elsewhere.out, self.root / "out")

