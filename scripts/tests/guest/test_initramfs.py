# SPDX-License-Identifier: GPL-2.0
from __future__ import annotations

import subprocess
from pathlib import Path
from unittest import mock

from base.outcome import Exit, Fail
from guest import initramfs
from guest.build import Kernel
from guest.setup import Setup
from guest.verdict import Verdict
from tests import fixture

PASS = Verdict(Exit.OK, "", {"passed": 1})


class InitramfsTest(fixture.Case):
    def setUp(self) -> None:
        super().setUp()
        qemu = {"kernel_command_line": "console=ttyS0", "extra_qemu_params": ["-bios", "b"]}
        self.guest = Kernel(self.kernel, self.root / "out", Setup(), qemu)

    def boot(self, says: str) -> Verdict:
        """Boot a guest whose user space says this."""
        def boots(kernel: Kernel) -> Verdict:
            self.config = Path(kernel.qemu_config()[0].partition("=")[2]).read_text()
            (self.root / "said").write_text(says)
            return PASS

        with mock.patch("guest.boot.boot", boots), \
                mock.patch("guest.initramfs._initramfs", return_value=Path("cpio")):
            return initramfs.boot(self.guest, "true", self.root / "said")

    def test_the_guest_goes_on_after_the_suites(self) -> None:
        self.assertEqual(self.boot("something"), PASS)
        fixture.lay(self.root, {"p/__init__.py": "", "p/q/__init__.py": "",
                                "p/q/config.py": self.config,
                                "p/qemu_config.py": "def QemuArchParams(**all): return all\n"})
        said = subprocess.run(["python3", "-c", "from p.q.config import *; print(QEMU_ARCH)"],
                              cwd=self.root, check=True, stdout=subprocess.PIPE, text=True).stdout
        self.assertIn("kunit_shutdown=never", said)
        self.assertIn(f"'-bios', 'b', '-initrd', 'cpio', '-serial', 'file:{self.root}/said'", said)

    def test_a_user_space_that_says_nothing_did_not_run(self) -> None:
        with self.assertRaises(Fail) as caught:
            self.boot("")
        self.assertEqual(caught.exception.code, Exit.CRASH)

    def test_a_busybox_that_needs_libraries_is_refused(self) -> None:
        said = subprocess.CompletedProcess([], 0, "  INTERP  0x000318", "")
        with mock.patch("guest.initramfs.run", return_value=said), \
                mock.patch("shutil.which", return_value="/bin/busybox"), \
                self.assertRaises(Fail) as caught:
            initramfs._initramfs(self.guest, "true")
        self.assertIn("busybox-static", caught.exception.remedy)

    def test_there_is_none_for_other_architectures(self) -> None:
        with self.assertRaises(Fail) as caught:
            initramfs.describe(self.kernel, Setup(arch="s390"), "leaks")
        self.assertEqual(caught.exception.code, Exit.BAD_INPUT)

