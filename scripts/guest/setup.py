# SPDX-License-Identifier: GPL-2.0
"""How to build a kernel and how to boot it, in kunit.py's own terms."""

from __future__ import annotations

import platform
from dataclasses import dataclass
from pathlib import Path
from typing import Dict, Optional, Tuple

from base.process import CPUS
from base.project import ARCH, CONFIG, KUNITCONFIGS, UML, UML_KUNITCONFIGS


@dataclass(frozen=True)
class Machine:
    """What Debian has for an architecture, by kunit.py's name for it."""

    qemu: str  # what ends the name of its QEMU
    package: str  # ... and of the package that has it
    linux: str  # the processors that are it, as uname -m says
    prefix: str  # of its cross compiler
    compiler: str  # ... and the package that has that
    suites: Tuple[str, ...] = KUNITCONFIGS  # kunitconfigs of those that it can have
    needs: Tuple[str, ...] = ()  # options without which it has no memory hotplug
    firmware: Tuple[Tuple[str, str], ...] = ()  # files that its QEMU starts, and their packages
    qemu_args: Tuple[str, ...] = ()  # for a guest that can have memory hotplug of the tests
    loses_end: bool = False  # whether its console may lose what a kernel says last


# Where kunit.py looks for it.
OPENSBI = "/usr/share/qemu/opensbi-riscv64-generic-fw_dynamic.bin"

# kunit.py's POWER8 has the hypervisor map memory, which refuses what does not exist.
RADIX = ("-cpu", "power9")

# Where a QEMU has no package of its own, Debian's apt installs the one that provides it.
MACHINES: Dict[str, Machine] = {
    "x86_64": Machine("x86_64", "x86", "x86_64", "x86_64-linux-gnu-", "gcc-x86-64-linux-gnu"),
    "i386": Machine("i386", "x86", "x86_64", "i686-linux-gnu-", "gcc-i686-linux-gnu"),
    "arm64": Machine("aarch64", "arm", "aarch64", "aarch64-linux-gnu-", "gcc-aarch64-linux-gnu"),
    "arm": Machine("arm", "arm", "armv7l", "arm-linux-gnueabihf-", "gcc-arm-linux-gnueabihf"),
    "loongarch": Machine("loongarch64", "loongarch64", "loongarch64", "loongarch64-linux-gnu-",
                         "gcc-loongarch64-linux-gnu", KUNITCONFIGS[:1]),
    "powerpc": Machine("ppc64", "ppc", "ppc64", "powerpc64-linux-gnu-", "gcc-powerpc64-linux-gnu",
                       KUNITCONFIGS[:1], qemu_args=RADIX),
    "powerpcle": Machine("ppc64", "ppc", "ppc64le", "powerpc64le-linux-gnu-",
                         "gcc-powerpc64le-linux-gnu", KUNITCONFIGS[:1], qemu_args=RADIX),
    "riscv": Machine("riscv64", "riscv64", "riscv64", "riscv64-linux-gnu-",
                     "gcc-riscv64-linux-gnu", needs=("CONFIG_SPARSEMEM_MANUAL=y",),
                     firmware=((OPENSBI, "opensbi"),)),
    "s390": Machine("s390x", "s390x", "s390x", "s390x-linux-gnu-", "gcc-s390x-linux-gnu",
                    loses_end=True),
}


def suites(arch: str) -> Tuple[str, ...]:
    """The kunitconfigs of the suites that there are for an architecture."""
    if arch == UML:
        return UML_KUNITCONFIGS
    return MACHINES[arch].suites if arch in MACHINES else KUNITCONFIGS


def loses_end(arch: str) -> bool:
    """May the console lack the last words of a kernel that got to its end?"""
    return arch in MACHINES and MACHINES[arch].loses_end


def prefix(arch: str) -> str:
    """Of the compiler's name, where this machine's own does not build for `arch`."""
    machine = MACHINES.get(arch)
    return machine.prefix if machine and machine.linux != platform.machine() else ""


@dataclass(frozen=True)
class Setup:
    """What the user asked for; the defaults are those of `suite kunit`."""

    arch: str = ARCH
    config: str = CONFIG
    cross_compile: str = ""
    llvm: str = ""
    kconfig_add: Tuple[str, ...] = ()
    build_dir: Optional[Path] = None
    jobs: int = CPUS
    kunit_args: Tuple[str, ...] = ()  # for `kunit.py exec`
    verbose: bool = False

    @property
    def compiler(self) -> str:
        """The name of the C compiler, as the kernel's Makefile works it out."""
        if not self.llvm:
            return f"{self.cross_compile}gcc"
        if self.llvm.endswith("/"):
            return f"{self.llvm}clang"
        return f"clang{self.llvm if self.llvm.startswith('-') else ''}"
