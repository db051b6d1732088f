# SPDX-License-Identifier: GPL-2.0
"""A guest that crashes when its suites are over, and whose kdump kernel runs others."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Sequence

from base.files import write
from base.outcome import Exit, Fail
from base.process import run
from guest import build as kernels

INIT = Path(__file__).with_name("kdump.c")
# Memory for the second kernel; and the first one goes on to its user space.
KERNEL_ARGUMENTS = "kunit_shutdown=never crashkernel=256M"
KDUMP_ARGUMENTS = "kunit.enable=1 kunit_shutdown=reboot reset_devices nr_cpus=1"
# How it ends, if the second kernel was loaded.
LAST_WORDS = "Kernel panic - not syncing: Attempted to kill init! exitcode=0x00000000"
CONTENTS = """dir /dev 755 0 0
nod /dev/console 600 0 0 c 5 1
file /init {init} 755 0 0
file /kernel {image} 644 0 0
file /cmdline {cmdline} 644 0 0
"""


def to_crash(kernel: kernels.Kernel, arguments: Sequence[str]) -> kernels.Kernel:
    """The same guest with such a user space; its kdump kernel gets these arguments."""
    image, init = _image(kernel), _init(kernel)
    given = str(kernel.guest["kernel_command_line"])
    cmdline = kernel.state / "kdump.cmdline"
    write(cmdline, " ".join([given, *arguments, KDUMP_ARGUMENTS]).encode())
    contents, archive = kernel.state / "kdump.list", kernel.state / "kdump.cpio"
    write(contents, CONTENTS.format(init=init, image=image, cmdline=cmdline).encode())
    with open(archive, "wb") as handle:
        done = run([str(kernel.out / "usr/gen_init_cpio"), str(contents)], stdout=handle)
    if done.returncode:
        raise Fail(Exit.MISSING, f"the guest's user space cannot be made: {done.stderr!r}",
                   f"see {contents}")
    return dataclasses.replace(kernel, more_qemu=(
        *kernel.more_qemu, ("kernel_command_line", f"{given} {KERNEL_ARGUMENTS}"),
        ("extra_qemu_params", [*kernel.guest["extra_qemu_params"], "-initrd", str(archive)])))


def _image(kernel: kernels.Kernel) -> Path:
    """In the one format that the system call takes."""
    done = run(kernels.make_command(kernel, "bzImage"))
    if done.returncode:
        raise Fail(Exit.BUILD, f"the kdump kernel cannot be made: {done.stderr.strip()[-500:]}",
                   f"see make bzImage in {kernel.out}")
    return kernel.out / "arch/x86/boot/bzImage"


def _init(kernel: kernels.Kernel) -> Path:
    program = kernel.state / "kdump"
    nolibc = kernel.tree / "tools/include/nolibc"
    done = run([kernel.setup.compiler, "-Os", "-static", "-nostdlib", "-include",
                str(nolibc / "nolibc.h"), "-o", str(program), str(INIT), "-lgcc"])
    if done.returncode:
        raise Fail(Exit.BUILD, f"{INIT.name} cannot be built: {done.stderr.strip()[-500:]}",
                   f"see that {nolibc} is whole")
    return program
