# SPDX-License-Identifier: GPL-2.0
from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Dict, Sequence, Tuple
from unittest import mock

import fixture  # first: it sets the path

import host
import kernel
import tools
from verdict import Exit, Fail

QEMU_CONFIG = "from dataclasses import dataclass\n@dataclass\nclass QemuArchParams:\n    a: str\n"


class KernelTest(fixture.Case):
    def test_steps_are_told_from_other_output(self) -> None:
        for line in ("  CC      mm/a.o\n", "  CC [M]  mm/a.o\n", "  LD      vmlinux.o\n"):
            self.assertTrue(kernel.STEP.match(line), line)
        for line in ("make[1]: Entering\n", "Kernel: bzImage is ready\n", "mm/a.c:1: error: x\n"):
            self.assertFalse(kernel.STEP.match(line), line)

    def test_the_first_errors_come_with_a_little_context(self) -> None:
        said = "a\nb\nc\nx.c:1:2: error: bad\n" + "more\n" * 40
        shown = kernel._first_errors(said).splitlines()
        self.assertEqual(shown[:3], ["b", "c", "x.c:1:2: error: bad"])
        self.assertLessEqual(len(shown), kernel.FIRST_ERRORS + 2)

    def test_the_guest_is_described_by_the_tree(self) -> None:
        top = "tools/testing/kunit/"
        fixture.lay(self.kernel, {
            top + "qemu_config.py": QEMU_CONFIG, top + "qemu_configs/x86_64.py":
            "from ..qemu_config import QemuArchParams\nQEMU_ARCH = QemuArchParams(a='b')\n"})
        made = kernel.describe(self.kernel, self.options(O="o"))
        self.assertEqual((made.qemu, made.out), ({"a": "b"}, Path.cwd() / "o"))
        self.assertFalse((self.kernel / top / "__pycache__").exists())

        more = kernel.describe(self.kernel, self.options(
            KUNIT_ARGS="--kconfig_add CONFIG_A=y --timeout=9 --kconfig_add=CONFIG_B=n a*"))
        self.assertEqual(more.more, ("CONFIG_A=y", "CONFIG_B=n"))
        self.assertEqual(more.options.kunit_args, ["--timeout=9", "a*"])
        self.assertNotEqual(more.out, kernel.describe(self.kernel, self.options()).out)
        with self.assertRaises(Fail):
            kernel.describe(self.kernel, self.options(KUNIT_ARGS="--kconfig_add"))

        fixture.lay(self.kernel, {kernel.CONFIGS.format("debug"): "# why\nCONFIG_KASAN=y\n"})
        debug = kernel.describe(self.kernel, self.options(
            CONFIG="debug", KUNIT_ARGS="--kconfig_add=CONFIG_A=y"))
        self.assertEqual(debug.more, ("CONFIG_KASAN=y", "CONFIG_A=y"))
        with self.assertRaises(Fail) as caught:
            kernel.describe(self.kernel, self.options(ARCH="vax"))
        self.assertIn("x86_64", caught.exception.remedy)

    def test_changes_are_seen_deletions_too(self) -> None:
        stamp = self.root / "stamp"
        stamp.touch()
        os.utime(stamp, (10**9, 10**9))
        for folder, _, files in os.walk(self.kernel):
            for name in [folder, *(f"{folder}/{file}" for file in files)]:
                os.utime(name, (10**9 - 1, 10**9 - 1))
        self.assertFalse(kernel._newer(stamp, self.kernel))
        (self.kernel / "mm/other.c").unlink()
        self.assertTrue(kernel._newer(stamp, self.kernel))
        self.assertFalse(kernel._newer(stamp, self.kernel, "-name", "Kconfig*"))
        (self.kernel / "lib/Kconfig.debug").touch()
        self.assertTrue(kernel._newer(stamp, self.kernel, "-name", "Kconfig*"))


class ToolsTest(fixture.Case):
    def test_the_compiler_is_named_as_the_kernel_does(self) -> None:
        cases: Sequence[Tuple[Dict[str, str], str]] = (
            ({}, "gcc"), ({"CROSS_COMPILE": "aarch64-linux-gnu-"}, "aarch64-linux-gnu-gcc"),
            ({"LLVM": "1"}, "clang"), ({"LLVM": "-18"}, "clang-18"),
            ({"LLVM": "/opt/"}, "/opt/clang"))
        for given, name in cases:
            self.assertEqual(tools.compiler(self.options(**given)), name)

    def test_all_that_is_missing_is_named_at_once_with_its_package(self) -> None:
        with mock.patch.dict(os.environ, {"PATH": str(self.root), "CI": ""}), \
                self.assertRaises(Fail) as caught:
            tools.require(self.options())
        self.assertEqual(caught.exception.code, Exit.MISSING)
        for word in ("flex", "bison", "qemu-system-x86_64"):
            self.assertIn(word, caught.exception.what)
        self.assertIn("apt-get install", caught.exception.remedy)
        self.assertIn(" qemu-system-x86", caught.exception.remedy)


class ShimTest(fixture.Case):
    def test_only_the_hypervisors_are_dropped(self) -> None:
        for folder, text in (("shim", (host.REPO / "scripts/qemu-shim").read_text()),
                             ("real", '#!/bin/sh\nprintf "%s|" "$@"\n')):
            fixture.lay(self.root, {f"{folder}/qemu-system-x": text})
            (self.root / folder / "qemu-system-x").chmod(0o755)
        done = subprocess.run(
            ["qemu-system-x", "-append", "a  b -accel kvm", "-accel", "kvm", "-accel", "hvf",
             "-accel", "tcg", "-x", ""], stdout=subprocess.PIPE, text=True, check=True,
            env={"PATH": f"{self.root}/shim:{self.root}/real:{os.environ['PATH']}"})
        self.assertEqual(done.stdout, "-append|a  b -accel kvm|-accel|tcg|-x||")
