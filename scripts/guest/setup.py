# SPDX-License-Identifier: GPL-2.0
"""How to build a kernel and how to boot it, in kunit.py's own terms."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Dict, Optional, Tuple

from base.process import CPUS
from base.project import ARCH, CONFIG


@dataclass(frozen=True)
class Machine:
    """What Debian has for an architecture, by kunit.py's name for it."""

    qemu: str  # what ends the name of its QEMU
    package: str  # ... and of the package that has it
    linux: str  # the processors that are it, as uname -m says
    prefix: str  # of its cross compiler
    compiler: str  # ... and the package that has that


MACHINES: Dict[str, Machine] = {
    "x86_64": Machine("x86_64", "x86", "x86_64", "x86_64-linux-gnu-", "gcc-x86-64-linux-gnu"),
    "i386": Machine("i386", "x86", "x86_64", "i686-linux-gnu-", "gcc-i686-linux-gnu"),
    "arm64": Machine("aarch64", "arm", "aarch64", "aarch64-linux-gnu-", "gcc-aarch64-linux-gnu"),
    "arm": Machine("arm", "arm", "armv7l", "arm-linux-gnueabihf-", "gcc-arm-linux-gnueabihf"),
    "powerpc": Machine("ppc64", "ppc", "ppc64", "powerpc64-linux-gnu-", "gcc-powerpc64-linux-gnu"),
    "powerpcle": Machine("ppc64", "ppc", "ppc64le", "powerpc64le-linux-gnu-",
                         "gcc-powerpc64le-linux-gnu"),
    "riscv": Machine("riscv64", "misc", "riscv64", "riscv64-linux-gnu-", "gcc-riscv64-linux-gnu"),
    "s390": Machine("s390x", "misc", "s390x", "s390x-linux-gnu-", "gcc-s390x-linux-gnu"),
}


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
