# SPDX-License-Identifier: GPL-2.0
from __future__ import annotations

import os
from typing import Tuple
from unittest import mock

from base.outcome import Exit, Fail
from guest.requirements import Need, for_kernels, missing, programs, require
from tests import fixture

# An apt-get that notes down what it is told to install, and installs an empty program.
APT = """#!/bin/sh
echo "$@" >> {root}/apt.log
case "$*" in
*--assume-no*) echo "Need to get 5,120 kB of archives."
	echo "After this operation, 20.1 MB of additional disk space will be used."; exit 1;;
*install*) for word; do case $word in -*|install) ;; *) {install};; esac; done;;
esac
"""


class RequirementsTest(fixture.Case):
    def setUp(self) -> None:
        super().setUp()
        self.bin = self.root / "bin"
        self.bin.mkdir()
        for name in ("env", "sh", "touch", "chmod", "true"):
            (self.bin / name).symlink_to(f"/usr/bin/{name}")
        self.replace(mock.patch.dict(os.environ, {"PATH": str(self.bin)}))

    def apt(self, works: bool = True) -> None:
        install = f"touch {self.bin}/$word; chmod 755 {self.bin}/$word" if works else "exit 100"
        (self.bin / "apt-get").write_text(APT.format(root=self.root, install=install))
        (self.bin / "apt-get").chmod(0o755)

    def as_user(self, number: int) -> None:
        self.replace(mock.patch("os.geteuid", return_value=number))

    def log(self) -> str:
        path = self.root / "apt.log"
        return path.read_text() if path.exists() else ""

    def refused(self, needs: Tuple[Need, ...], install: bool) -> Fail:
        with self.assertRaises(Fail) as caught:
            require(needs, install)
        self.assertEqual(caught.exception.code, Exit.MISSING)
        return caught.exception

    def test_all_that_is_missing_is_installed_at_once_after_a_line_that_says_how_much(self) -> None:
        self.apt()
        self.as_user(0)
        with mock.patch("guest.requirements.say") as said:
            require(programs(("one", "one"), ("two", "two"), ("sh", "dash")), True)
        self.assertEqual(said.call_args_list[0].args[0],
                         "installing one, two: 5,120 kB to download, 20.1 MB on the disk")
        self.assertIn(" one two\n", self.log())
        self.assertNotIn("dash", self.log())

    def test_nothing_is_done_if_nothing_is_missing(self) -> None:
        self.apt()
        require(programs(("sh", "dash")), True)
        self.assertEqual(self.log(), "")

    def test_who_wants_no_installation_is_told_the_one_command(self) -> None:
        self.apt()
        self.as_user(0)
        fail = self.refused(programs(("one", "pone"), ("two", "ptwo")), False)
        self.assertEqual(fail.what, "missing here: one, two")
        self.assertIn("apt-get install --no-install-recommends pone ptwo", fail.remedy)
        self.assertEqual(self.log(), "")

    def test_neither_root_nor_sudo_is_told_the_same(self) -> None:
        self.apt()
        self.as_user(1000)
        fail = self.refused(programs(("one", "pone")), True)
        self.assertIn("neither root nor sudo", fail.what)
        self.assertIn("as root: apt-get install --no-install-recommends pone", fail.remedy)

    def test_a_user_with_sudo_installs_by_it(self) -> None:
        self.apt()
        self.as_user(1000)
        (self.bin / "sudo").write_text('#!/bin/sh\n[ "$1" = -n ] && shift\nexec "$@"\n')
        (self.bin / "sudo").chmod(0o755)
        require(programs(("one", "one")), True)
        self.assertIn(" one\n", self.log())

    def test_an_installation_that_fails_is_told(self) -> None:
        self.apt(works=False)
        self.as_user(0)
        self.assertIn("failed", self.refused(programs(("one", "one")), True).what)

    def test_scripts_of_packages_may_print(self) -> None:
        self.apt()
        self.as_user(0)
        text = (self.bin / "apt-get").read_text()
        # A channel for the status that is standard output would be closed to them.
        (self.bin / "apt-get").write_text(text.replace(
            "*install*)", "*install*Status-Fd=3*) echo pmstatus:x:50.0:x >&3; echo x || exit 1;"))
        require(programs(("one", "one")), True)

    def test_what_dpkg_says_of_a_failure_is_told(self) -> None:
        self.apt(works=False)
        self.as_user(0)
        text = (self.bin / "apt-get").read_text()
        (self.bin / "apt-get").write_text(text.replace(
            "exit 100", "echo 'dpkg: error processing package one'; exit 100"))
        self.assertIn("error processing package one",
                      self.refused(programs(("one", "one")), True).what)

    def test_what_is_merely_good_to_have_is_never_a_reason_to_stop(self) -> None:
        require([Need("nice", "nice", needed=False)], False)
        self.apt(works=False)
        self.as_user(0)
        require([Need("nice", "nice", needed=False)], True)

    def test_a_probe_decides_where_no_file_tells(self) -> None:
        require([Need("one", "pone", probe=lambda: True)], False)
        self.assertIn("pone", self.refused((Need("one", "pone", probe=lambda: False),),
                                           False).remedy)

    def test_an_architecture_names_its_qemu_and_compiler(self) -> None:
        needs = {need.name: need.package for need in for_kernels(self.setup(
            arch="arm64", cross_compile="aarch64-linux-gnu-"))}
        self.assertEqual(needs["qemu-system-aarch64"], "qemu-system-arm")
        self.assertEqual(needs["aarch64-linux-gnu-gcc"], "gcc-aarch64-linux-gnu")

    def test_an_architecture_names_what_its_qemu_starts(self) -> None:
        needs = {need.package: need.name for need in for_kernels(self.setup(
            arch="riscv", cross_compile="riscv64-linux-gnu-"))}
        self.assertIn("/", needs["opensbi"])
        self.assertEqual(needs["qemu-system-riscv64"], "qemu-system-riscv64")

    def test_a_path_is_there_if_the_file_is(self) -> None:
        there = self.root / "firmware.bin"
        there.write_bytes(b"")
        need = Need(str(there), "firmware")
        self.assertEqual(missing([need]), [])
        there.unlink()
        self.assertEqual(missing([need]), [need])
