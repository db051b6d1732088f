# SPDX-License-Identifier: GPL-2.0
from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any, List
from unittest import mock

from base.outcome import Exit, Fail
from guest import kdump
from guest.build import Kernel
from guest.scenarios import AT_THE_START, BLOCK, SCENARIOS
from guest.setup import Setup
from tests import fixture


class KdumpTest(fixture.Case):
    def setUp(self) -> None:
        super().setUp()
        qemu = {"kernel_command_line": "console=ttyS0", "extra_qemu_params": ["-bios", "b"],
                "linux_arch": "x86"}
        self.guest = Kernel(self.kernel, self.root / "out", Setup(), qemu)
        self.guest.state.mkdir(parents=True)
        self.commands: List[List[str]] = []

    def to_crash(self, failing: str = "") -> Kernel:
        def runs(command: List[str], **_: Any) -> "subprocess.CompletedProcess[str]":
            self.commands.append(command)
            wrong = bool(failing) and failing in " ".join(command)
            return subprocess.CompletedProcess(command, int(wrong), "", "went wrong")

        with mock.patch("guest.kdump.run", runs):
            return kdump.to_crash(self.guest, ["one", "two"])

    def test_each_kernel_gets_its_arguments(self) -> None:
        guest = self.to_crash().guest
        self.assertIn("crashkernel=", guest["kernel_command_line"])
        self.assertIn("kunit_shutdown=never", guest["kernel_command_line"])
        cmdline = (self.guest.state / "kdump.cmdline").read_text()
        self.assertIn("console=ttyS0 one two ", cmdline)
        self.assertIn("kunit_shutdown=reboot", cmdline)
        self.assertNotIn("crashkernel", cmdline)

    def test_the_user_space_has_the_other_kernel(self) -> None:
        guest = self.to_crash().guest
        self.assertEqual(guest["extra_qemu_params"],
                         ["-bios", "b", "-initrd", str(self.guest.state / "kdump.cpio")])
        contents = (self.guest.state / "kdump.list").read_text()
        self.assertIn("file /kernel arch/x86/boot/bzImage ", contents)
        self.assertIn("file /init .offline-skippable/kdump ", contents)
        # It takes no paths with a space.
        self.assertNotIn(str(self.root), contents)

    def test_what_cannot_be_made_is_told(self) -> None:
        for failing, code in (("bzImage", Exit.BUILD), ("kdump.c", Exit.BUILD),
                              ("gen_init_cpio", Exit.MISSING)):
            with self.subTest(failing), self.assertRaises(Fail) as caught:
                self.to_crash(failing)
            self.assertEqual(caught.exception.code, code)
            self.assertIn("went wrong", caught.exception.what)

    def test_all_that_was_plugged_has_to_be_read_and_nothing_else(self) -> None:
        afterwards = next(found for found in SCENARIOS if found.crashes).afterwards
        assert afterwards
        for existing, wrong in (
                ([(0, AT_THE_START)], []),
                # A page that this machine has taken away.
                ([(0, 4096), (8192, AT_THE_START)], []),
                ([(0, BLOCK), (2 * BLOCK, AT_THE_START)], ["plugged"]),
                ([(0, AT_THE_START + 4096)], ["unplugged"]),
                ([(AT_THE_START, AT_THE_START + 4096)], ["plugged", "unplugged"])):
            with self.subTest(existing), mock.patch("guest.parts.existing",
                                                    return_value=existing):
                self.assertEqual([line.split()[0] for line in afterwards(Path("memory"))], wrong)
