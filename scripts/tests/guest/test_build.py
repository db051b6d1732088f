# SPDX-License-Identifier: GPL-2.0
from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import unittest
from typing import Any, Dict, Sequence, Set, Tuple
from unittest import mock

from base.files import REPO
from base.outcome import Exit, Fail
from base.project import FRAGMENT, KUNITCONFIGS
from guest import build
from tests import fixture

TOP = "tools/testing/kunit/"
QEMU_CONFIG = "from dataclasses import dataclass\n@dataclass\nclass QemuArchParams:\n" \
    "    linux_arch: str\n    qemu_arch: str\n    kernel_path: str\n"
MACHINE = "from ..qemu_config import QemuArchParams\n" \
    "QEMU_ARCH = QemuArchParams(linux_arch='x86', qemu_arch='x', kernel_path='image')\n"
# Configures as kunit.py would.
KUNIT = "import sys\nout = [w for w in sys.argv if w.startswith('--build_dir=')][0][12:]\n" \
    "open(out + '/.config', 'w').write(' '.join(sys.argv))\n"
# A make that compiles one object, as the test says in a file.
MAKE = """#!/bin/sh
for word; do case $word in O=*) out=${{word#O=}};; esac; done
echo run >> "$out/runs"
echo "  CC      mm/code.o"
echo cmd > "$out/.code.o.cmd"
echo half > "$out/code.o"
. "{says}"
echo whole > "$out/code.o"
echo image > "$out/image"
"""


class KunitconfigTest(unittest.TestCase):
    def test_that_of_the_whole_has_what_the_suites_need_and_nothing_else(self) -> None:
        def options(path: str) -> Set[str]:
            return {line for line in (REPO / path).read_text().splitlines()
                    if line.startswith(("CONFIG_", "# CONFIG_"))}
        self.assertEqual(options(".kunitconfig"), set().union(*map(options, KUNITCONFIGS)))


class BuildTest(fixture.Case):
    """Builds with a make and a kunit.py that only write files."""

    def setUp(self) -> None:
        super().setUp()
        fixture.lay(self.kernel, {
            TOP + "qemu_config.py": QEMU_CONFIG, TOP + "qemu_configs/x86_64.py": MACHINE,
            TOP + "kunit.py": KUNIT, "mm/tests/.kunitconfig": "CONFIG_KUNIT=y\n"})
        fixture.lay(self.root, {"bin/make": MAKE.format(says=self.root / "says"), "says": ""})
        (self.root / "bin/make").chmod(0o755)
        self.replace(mock.patch.dict(os.environ, {
            "PATH": f"{self.root}/bin:{os.environ['PATH']}"}))
        self.out = self.root / "out"

    def kernel_built(self, **given: Any) -> build.Kernel:
        return build.describe(self.kernel, self.setup(config="plain", build_dir=self.out, **given))

    def build(self) -> bool:
        return build.build(self.kernel_built())

    def runs(self) -> int:
        return len((self.out / "runs").read_text().splitlines())

    def later(self) -> None:
        """Let what was written so far be older than what follows."""
        time.sleep(0.02)

    def refused(self) -> Fail:
        with self.assertRaises(Fail) as caught:
            self.build()
        return caught.exception

    def test_nothing_is_built_twice(self) -> None:
        self.assertTrue(self.build())
        self.assertFalse(self.build())
        self.later()
        fixture.lay(self.kernel, {"mm/other.c": "changed\n"})
        self.assertTrue(self.build())
        self.assertEqual(self.runs(), 2)

    def test_a_folder_with_files_of_others_is_refused_and_left_alone(self) -> None:
        fixture.lay(self.out, {".config": "mine\n", "thesis.tex": "mine\n"})
        self.assertEqual(self.refused().code, Exit.BAD_INPUT)
        self.assertEqual((self.out / ".config").read_text(), "mine\n")
        self.assertEqual(sorted(os.listdir(self.out)), [".config", "thesis.tex"])

    def test_a_build_that_was_killed_is_gone_over_but_files_of_others_are_not(self) -> None:
        code = ("import sys\nfrom pathlib import Path\nfrom guest import build\n"
                "from guest.setup import Setup\n"
                f"build.build(build.describe(Path({str(self.kernel)!r}), Setup(config='plain', "
                f"build_dir=Path({str(self.out)!r}))))\n")
        (self.root / "says").write_text("echo up >&2; sleep 300\n")
        child = subprocess.Popen([sys.executable, "-c", code], cwd=REPO / "scripts",
                                 start_new_session=True, stdout=subprocess.DEVNULL,
                                 stderr=subprocess.DEVNULL)
        half, deadline = self.out / "code.o", time.monotonic() + 120
        while not (half.exists() and half.read_text()) and time.monotonic() < deadline:
            time.sleep(0.02)
        os.killpg(child.pid, signal.SIGKILL)
        child.wait()
        self.later()
        fixture.lay(self.out, {"thesis.tex": "mine\n"})
        self.assertEqual(half.read_text(), "half\n")
        with mock.patch("guest.build._make") as made:
            build.build(self.kernel_built())
        self.assertTrue(made.called)
        self.assertFalse(half.exists())
        self.assertEqual((self.out / "thesis.tex").read_text(), "mine\n")

    def test_errors_of_the_source_and_of_the_host_are_told_apart(self) -> None:
        for words, code in (("x.c:1:2: error: bad", Exit.BUILD),
                            ("gcc: fatal error: Killed signal terminated program cc1",
                             Exit.MISSING),
                            ("x.c:1: internal compiler error: Segmentation fault", Exit.MISSING),
                            ("fatal error: error writing to x.s: Input/output error",
                             Exit.MISSING)):
            (self.root / "says").write_text(f"echo '{words}' >&2; exit 2\n")
            with self.subTest(words=words):
                fail = self.refused()
                self.assertEqual(fail.code, code)
                self.assertIn(words, fail.what)

    def test_steps_are_told_from_other_output(self) -> None:
        for line in ("  CC      mm/a.o\n", "  CC [M]  mm/a.o\n", "  LD      vmlinux.o\n"):
            self.assertTrue(build.STEP.match(line), line)
        for line in ("make[1]: Entering\n", "Kernel: bzImage is ready\n", "mm/a.c:1: error: x\n"):
            self.assertFalse(build.STEP.match(line), line)

    def test_the_first_errors_come_with_a_little_context(self) -> None:
        said = "a\nb\nc\nx.c:1:2: error: bad\n" + "more\n" * 40
        shown = build._first_errors(said).splitlines()
        self.assertEqual(shown[:3], ["b", "c", "x.c:1:2: error: bad"])
        self.assertLessEqual(len(shown), build.FIRST_ERRORS + 2)

    def test_the_guest_is_described_by_the_tree(self) -> None:
        made = self.kernel_built()
        self.assertEqual((made.qemu["kernel_path"], made.out), ("image", self.out))
        self.assertFalse((self.kernel / TOP / "__pycache__").exists())
        with self.assertRaises(Fail) as caught:
            build.describe(self.kernel, self.setup(arch="vax"))
        self.assertIn("x86_64", caught.exception.remedy)

    def test_user_mode_linux_has_no_guest_and_suites_of_its_own(self) -> None:
        fixture.lay(self.kernel, {"mm/tests/uml/.kunitconfig": "CONFIG_KUNIT=y\n"})
        uml = build.describe(self.kernel, self.setup(config="plain", arch="um"))
        self.assertEqual(uml.image.name, "linux")
        self.assertEqual(uml.kunitconfigs(), ["mm/tests/uml/.kunitconfig"])

    def test_fragments_are_for_all_architectures_or_for_one(self) -> None:
        names = [FRAGMENT.format(f"trimmed{arch}") for arch in ("", "_arm64", "_x86_64")]
        fixture.lay(self.kernel, {**dict.fromkeys(names, "CONFIG_EXPERT=y\n"),
                                  TOP + "qemu_configs/arm64.py": MACHINE})
        for arch, own in (("x86_64", names[2]), ("arm64", names[1])):
            found = build.describe(self.kernel, self.setup(arch=arch)).kunitconfigs()
            self.assertEqual(found, [names[0], own, "mm/tests/.kunitconfig"])

    def test_what_an_architecture_needs_for_hotplug_is_asked_for(self) -> None:
        fixture.lay(self.kernel, {TOP + "qemu_configs/riscv.py": MACHINE})
        made = build.describe(self.kernel, self.setup(config="plain", arch="riscv"))
        self.assertEqual(made.more, ("CONFIG_SPARSEMEM_MANUAL=y",))

    def test_what_an_architecture_needs_of_its_guest_is_told_to_kunit_py(self) -> None:
        fixture.lay(self.kernel, {
            TOP + "qemu_config.py": QEMU_CONFIG + "    extra_qemu_params: list\n",
            TOP + "qemu_configs/powerpcle.py": MACHINE.replace(
                "'image'", "'image', extra_qemu_params=['-cpu', 'power8']")})
        made = build.describe(self.kernel, self.setup(config="plain", arch="powerpcle",
                                                      build_dir=self.out))
        self.assertEqual(made.guest["extra_qemu_params"], ["-cpu", "power8", "-cpu", "power9"])
        self.assertEqual(len(made.qemu_config()), 1)

    def test_a_kunit_py_that_cannot_be_read_is_the_kernels_fault(self) -> None:
        fixture.lay(self.kernel, {TOP + "qemu_configs/x86_64.py": "import nothing\n"})
        with self.assertRaises(Fail) as caught:
            self.kernel_built()
        self.assertEqual(caught.exception.code, Exit.BUILD)

    def test_options_on_top_have_a_folder_of_their_own(self) -> None:
        plain = build.describe(self.kernel, self.setup(config="plain"))
        more = build.describe(self.kernel, self.setup(config="plain",
                                                      kconfig_add=("CONFIG_A=y",)))
        self.assertEqual(more.more, ("CONFIG_A=y",))
        self.assertNotEqual(more.out, plain.out)
        fixture.lay(self.kernel, {FRAGMENT.format("debug"): "# why\nCONFIG_KASAN=y\n"})
        debug = build.describe(self.kernel, self.setup(config="debug",
                                                       kconfig_add=("CONFIG_A=y",)))
        self.assertEqual(debug.more, ("CONFIG_KASAN=y", "CONFIG_A=y"))

    def test_changes_are_seen_deletions_too(self) -> None:
        stamp = self.root / "stamp"
        stamp.touch()
        os.utime(stamp, (10**9, 10**9))
        for folder, _, files in os.walk(self.kernel):
            for name in [folder, *(f"{folder}/{file}" for file in files)]:
                os.utime(name, (10**9 - 1, 10**9 - 1))
        self.assertFalse(build._newer(stamp, self.kernel))
        (self.kernel / "mm/other.c").unlink()
        self.assertTrue(build._newer(stamp, self.kernel))
        self.assertFalse(build._newer(stamp, self.kernel, "-name", "Kconfig*"))
        (self.kernel / "lib/Kconfig.debug").touch()
        self.assertTrue(build._newer(stamp, self.kernel, "-name", "Kconfig*"))

    def test_the_compiler_is_named_as_the_kernel_does(self) -> None:
        cases: Sequence[Tuple[Dict[str, str], str]] = (
            ({}, "gcc"), ({"cross_compile": "aarch64-linux-gnu-"}, "aarch64-linux-gnu-gcc"),
            ({"llvm": "1"}, "clang"), ({"llvm": "-18"}, "clang-18"),
            ({"llvm": "/opt/"}, "/opt/clang"))
        for given, name in cases:
            self.assertEqual(self.setup(**given).compiler, name)


