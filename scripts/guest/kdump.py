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
# Relative to the build folder, as a path in there ends at a space.
STATE, IMAGE = kernels.STATE, "arch/x86/boot/bzImage"
CONTENTS = f"""dir /dev 755 0 0
nod /dev/console 600 0 0 c 5 1
file /init {STATE}/kdump 755 0 0
file /kernel {IMAGE} 644 0 0
file /cmdline {STATE}/kdump.cmdline 644 0 0
"""


def to_crash(kernel: kernels.Kernel, arguments: Sequence[str]) -> kernels.Kernel:
    """The same guest with such a user space; its kdump kernel gets these arguments."""
    _make_image(kernel)
    _make_init(kernel)
    given = str(kernel.guest["kernel_command_line"])
    write(kernel.state / "kdump.cmdline",
          " ".join([given, *arguments, KDUMP_ARGUMENTS]).encode())
    contents, archive = kernel.state / "kdump.list", kernel.state / "kdump.cpio"
    write(contents, CONTENTS.encode())
    with open(archive, "wb") as handle:
        done = run(["usr/gen_init_cpio", f"{STATE}/{contents.name}"], stdout=handle,
                   cwd=kernel.out)
    if done.returncode:
        raise Fail(Exit.MISSING, f"the guest's user space cannot be made: {done.stderr!r}",
                   f"see {contents}")
    return dataclasses.replace(kernel, more_qemu=(
        *kernel.more_qemu, ("kernel_command_line", f"{given} {KERNEL_ARGUMENTS}"),
        ("extra_qemu_params", [*kernel.guest["extra_qemu_params"], "-initrd", str(archive)])))


def _make_image(kernel: kernels.Kernel) -> None:
    """In the one format that the system call takes."""
    done = run(kernels.make_command(kernel, "bzImage"))
    if done.returncode:
        raise Fail(Exit.BUILD, f"the kdump kernel cannot be made: {done.stderr.strip()[-500:]}",
                   f"see make bzImage in {kernel.out}")


def _make_init(kernel: kernels.Kernel) -> None:
    program = kernel.state / "kdump"
    nolibc = kernel.tree / "tools/include/nolibc"
    done = run([kernel.setup.compiler, "-Os", "-static", "-nostdlib", "-include",
                str(nolibc / "nolibc.h"), "-o", str(program), str(INIT), "-lgcc"])
    if done.returncode:
        raise Fail(Exit.BUILD, f"{INIT.name} cannot be built: {done.stderr.strip()[-500:]}",
                   f"see that {nolibc} is whole")
