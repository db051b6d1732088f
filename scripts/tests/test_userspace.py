# SPDX-License-Identifier: GPL-2.0
from __future__ import annotations

import subprocess
import unittest
from pathlib import Path
from unittest import mock

import fixture  # first: it sets the path

import kernel as kernels
import userspace
from kunit import Verdict
from verdict import Exit, Fail

PASS = Verdict(Exit.OK, "", {"passed": 1})


class UserspaceTest(fixture.Case):
    def setUp(self) -> None:
        super().setUp()
        qemu = {"kernel_command_line": "console=ttyS0", "extra_qemu_params": ["-bios", "b"]}
        self.guest = kernels.Kernel(self.kernel, self.root / "out", self.options(), qemu)

    def boot(self, says: str) -> Verdict:
        """Boot a guest whose user space says this."""
        def boots(_kernel: kernels.Kernel, argument: str) -> Verdict:
            self.config = Path(argument.partition("=")[2]).read_text()
            (self.root / "said").write_text(says)
            return PASS

        with mock.patch("kunit.boot", boots), \
                mock.patch("userspace._initramfs", return_value=Path("cpio")):
            return userspace.boot(self.guest, "true", self.root / "said")

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
        with mock.patch("userspace.run", return_value=said), \
                mock.patch("shutil.which", return_value="/bin/busybox"), \
                self.assertRaises(Fail) as caught:
            userspace._initramfs(self.guest, "true")
        self.assertIn("busybox-static", caught.exception.remedy)

    def test_there_is_none_for_other_architectures(self) -> None:
        with self.assertRaises(Fail) as caught:
            userspace.describe(self.kernel, self.options(ARCH="s390"), "leaks")
        self.assertEqual(caught.exception.code, Exit.BAD_INPUT)


if __name__ == "__main__":
    unittest.main()
