# SPDX-License-Identifier: GPL-2.0
"""A guest that has a user space: a shell script, run when the suites are over.

Some of what the kernel knows can only be read through its file systems. What
the script prints goes to a second serial port, of which QEMU makes a file.
"""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path
from typing import Tuple

from base.files import write
from base.outcome import Exit, Fail
from base.process import run
from base.project import FRAGMENT
from guest import boot as guests
from guest import build as kernels
from guest.setup import Setup
from guest.verdict import Verdict

APPLETS = ("cat", "find", "mkdir", "mount", "reboot", "sh", "sleep", "stty", "tar")
# An init that ends, as this does when a command fails, is a panic.
INIT = """#!/bin/sh
set -e
mount -t debugfs none /debug
exec 3> /dev/ttyS1
stty raw <&3
{script}
exec 3>&-
reboot -f
"""
CONTENTS = """dir /dev 755 0 0
nod /dev/console 600 0 0 c 5 1
nod /dev/ttyS1 600 0 0 c 4 65
dir /debug 755 0 0
dir /bin 755 0 0
file /bin/busybox {busybox} 755 0 0
file /init {init} 755 0 0
"""
# kunit.py has KUnit end the guest, unless something else is said.
KERNEL_ARGUMENTS = "kunit_shutdown=never"


def describe(tree: Path, setup: Setup, name: str,
             variables: Tuple[str, ...] = ()) -> kernels.Kernel:
    """The kernel of `suite kunit` with the options of a fragment on top."""
    if setup.arch != "x86_64":
        raise Fail(Exit.BAD_INPUT, f"there is no user space for --arch={setup.arch}",
                   "use --arch=x86_64")
    more = kernels.fragment(tree, FRAGMENT.format(name))
    kernel = kernels.describe(tree, setup).extended(name, more)
    return dataclasses.replace(kernel, more_variables=variables)


def boot(kernel: kernels.Kernel, script: str, output: Path) -> Verdict:
    """Boot, and run the script; what it says on file descriptor 3 is the output."""
    output.unlink(missing_ok=True)
    output.parent.mkdir(parents=True, exist_ok=True)
    command_line = f"{kernel.guest['kernel_command_line']} {KERNEL_ARGUMENTS}"
    devices = [*kernel.guest["extra_qemu_params"], "-initrd", str(_initramfs(kernel, script)),
               "-serial", f"file:{output}"]
    verdict = guests.boot(dataclasses.replace(kernel, more_qemu=(
        *kernel.more_qemu, ("kernel_command_line", command_line),
        ("extra_qemu_params", devices))))
    if verdict.code is Exit.OK and not output.stat().st_size:
        raise Fail(Exit.CRASH, "the guest's user space handed out nothing",
                   f"see the end of {kernel.out / 'test.log'}")
    return verdict


def _initramfs(kernel: kernels.Kernel, script: str) -> Path:
    """Let the tool that the kernel has for this make it."""
    busybox = shutil.which("busybox")
    assert busybox
    if "INTERP" in run(["readelf", "--program-headers", busybox]).stdout:
        raise Fail(Exit.MISSING, f"{busybox} needs libraries, which the guest does not have",
                   "apt-get install busybox-static   (takes its place)")
    init, archive = kernel.state / "init", kernel.state / "initramfs.cpio"
    write(init, INIT.format(script=script).encode())
    links = "".join(f"slink /bin/{name} busybox 777 0 0\n" for name in APPLETS)
    contents = kernel.state / "initramfs.list"
    write(contents, (CONTENTS.format(busybox=busybox, init=init) + links).encode())
    with open(archive, "wb") as handle:
        done = run([str(kernel.out / "usr/gen_init_cpio"), str(contents)], stdout=handle)
    if done.returncode:
        raise Fail(Exit.MISSING, f"the guest's user space cannot be made: {done.stderr!r}",
                   f"see {contents}")
    return archive
