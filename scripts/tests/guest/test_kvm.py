# SPDX-License-Identifier: GPL-2.0
from __future__ import annotations

import os
import subprocess
from pathlib import Path
from unittest import mock

from guest import kvm
from tests import fixture

GUEST = {"qemu_arch": "x86_64", "kernel_command_line": "", "serial": "stdio",
         "extra_qemu_params": []}


class KvmTest(fixture.Case):
    """A QEMU that boots with KVM, or does not."""

    def setUp(self) -> None:
        super().setUp()
        access = os.access
        self.replace(
            mock.patch.dict(os.environ, {"PATH": f"{self.root}/bin:{os.environ['PATH']}"}),
            mock.patch("guest.kvm.PATIENCE", 0.5),
            mock.patch("platform.machine", return_value="x86_64"),
            mock.patch("os.access", lambda path, mode: path == "/dev/kvm" or access(path, mode)))

    def qemu(self, does: str) -> None:
        fixture.lay(self.root, {"bin/qemu-system-x86_64": f"#!/bin/sh\n{does}\n"})
        (self.root / "bin/qemu-system-x86_64").chmod(0o755)

    def learn(self) -> None:
        kvm.learn("x86_64", self.root / "image", GUEST)

    def test_guests_are_emulated_until_one_has_passed_and_boots_with_kvm(self) -> None:
        self.qemu(f"echo >> {self.root}/tries; echo Linux version 7.3")
        self.assertEqual(kvm.accelerator("x86_64"), kvm.EMULATED)
        self.learn()
        self.assertEqual(kvm.accelerator("x86_64"), kvm.KVM)
        self.learn()
        self.assertEqual((self.root / "tries").read_text(), "\n")

    def test_a_guest_that_spins_is_emulated_from_then_on_and_not_tried_again(self) -> None:
        self.qemu(f"echo >> {self.root}/tries; exec sleep 30")
        self.learn()
        self.learn()
        self.assertEqual(kvm.accelerator("x86_64"), kvm.EMULATED)
        self.assertEqual((self.root / "tries").read_text(), "\n")

    def test_a_memory_that_was_cut_in_half_is_none(self) -> None:
        self.qemu("echo Linux version 7.3")
        fixture.lay(self.root / "cache/offline-skippable-kunit", {"kvm.json": "{\"x"})
        self.learn()
        self.assertEqual(kvm.accelerator("x86_64"), kvm.KVM)

    def test_kvm_runs_the_hosts_own_architecture_only(self) -> None:
        self.assertEqual(kvm._key("arm64"), "")


class ShimTest(fixture.Case):
    def test_hypervisors_are_dropped_and_one_thread_emulates(self) -> None:
        for folder, text in (("shim", kvm.SHIM.read_text()),
                             ("real", '#!/bin/sh\nprintf "%s|" "$@"\n')):
            fixture.lay(self.root, {f"{folder}/qemu-system-x": text})
            (self.root / folder / "qemu-system-x").chmod(0o755)
        done = subprocess.run(
            ["qemu-system-x", "-append", "a  b -accel kvm", "-accel", "kvm", "-accel", "hvf",
             "-accel", "tcg", "-x", ""], stdout=subprocess.PIPE, text=True, check=True,
            env={"PATH": f"{self.root}/shim:{self.root}/real:{os.environ['PATH']}"})
        self.assertEqual(done.stdout, "-append|a  b -accel kvm|-accel|tcg,thread=single|-x||")

    def test_it_is_where_the_program_looks_for_it(self) -> None:
        self.assertTrue(Path(kvm.SHIM).is_file())
