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

import kernel as kernels
import kunit
from host import run, write
from options import Options
from verdict import Exit, Fail

# command, Debian package. It is all of the guest's programs in one.
TOOLS = (("busybox", "busybox-static"),)
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
# kunit.py has KUnit end the guest, unless something else is said. And what the
# initramfs was unpacked from must not become free while suites count free pages.
KERNEL_ARGUMENTS = "kunit_shutdown=never initramfs_async=0"
# kunit.py's description of the guest.
QEMU_CONFIG = """from ..qemu_config import QemuArchParams
QEMU_ARCH = QemuArchParams(**{parameters!r})
"""


def describe(tree: Path, options: Options, name: str,
             variables: Tuple[str, ...] = ()) -> kernels.Kernel:
    """The kernel of `make kunit` with the options of a fragment on top."""
    if options.arch != "x86_64":
        raise Fail(Exit.BAD_INPUT, f"there is no user space for ARCH={options.arch}",
                   "use ARCH=x86_64")
    more = kernels.fragment(tree, kernels.CONFIGS.format(name))
    kernel = kernels.describe(tree, options).extended(name, more)
    return dataclasses.replace(kernel, more_variables=variables)


def boot(kernel: kernels.Kernel, script: str, output: Path) -> kunit.Verdict:
    """Boot, and run the script; what it says on file descriptor 3 is the output."""
    output.unlink(missing_ok=True)
    output.parent.mkdir(parents=True, exist_ok=True)
    parameters = {**kernel.qemu,
                  "kernel_command_line":
                      f"{kernel.qemu['kernel_command_line']} {KERNEL_ARGUMENTS}",
                  "extra_qemu_params": [*kernel.qemu["extra_qemu_params"],
                                        "-initrd", str(_initramfs(kernel, script)),
                                        "-serial", f"file:{output}"]}
    config = kernel.state / "qemu_config.py"
    write(config, QEMU_CONFIG.format(parameters=parameters).encode())
    verdict = kunit.boot(kernel, f"--qemu_config={config}")
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
