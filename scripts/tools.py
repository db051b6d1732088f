# SPDX-License-Identifier: GPL-2.0
"""The programs and headers a build and a boot need, looked for before any work starts."""

from __future__ import annotations

import os
import shutil
import sys
from typing import List, Sequence, Tuple

from host import run, spawn
from options import Options
from progress import say
from verdict import Exit, Fail

# command, Debian package
ALWAYS = (("make", "make"), ("flex", "flex"), ("bison", "bison"), ("bc", "bc"), ("git", "git"),
          ("perl", "perl"), ("xz", "xz-utils"), ("tar", "tar"), ("find", "findutils"),
          ("gcc", "gcc"), ("ld", "binutils"))
# header, Debian package: without them host programs of the kernel's build fail
HEADERS = (("stdio.h", "libc6-dev"), ("libelf.h", "libelf-dev"))
# ARCH: what ends the name of its QEMU, Debian package
QEMU = {"x86_64": ("x86_64", "x86"), "i386": ("i386", "x86"), "arm64": ("aarch64", "arm"),
        "arm": ("arm", "arm"), "powerpc": ("ppc64", "ppc"), "powerpcle": ("ppc64", "ppc"),
        "riscv": ("riscv64", "misc"), "s390": ("s390x", "misc")}


def compiler(options: Options) -> str:
    """The name of the C compiler, as the kernel's Makefile works it out."""
    if not options.llvm:
        return f"{options.cross_compile}gcc"
    if options.llvm.endswith("/"):
        return f"{options.llvm}clang"
    return f"clang{options.llvm if options.llvm.startswith('-') else ''}"


def _compiler_tools(options: Options) -> List[Tuple[str, str]]:
    name = compiler(options)
    if not options.llvm:
        return [(name, f"gcc-{options.cross_compile.rstrip('-')}")] if options.cross_compile else []
    suffix = options.llvm if options.llvm.startswith("-") else ""
    linker = name.replace("clang", "ld.lld")
    return [(name, f"clang{suffix}"), (linker, f"lld{suffix}"),
            (name.replace("clang", "llvm-ar"), f"llvm{suffix}")]


def require(options: Options, more: Sequence[Tuple[str, str]] = ()) -> None:
    """See that all is there; name all that is not, once, and offer to install it."""
    wanted = [*ALWAYS, *more, *_compiler_tools(options)]
    if options.arch in QEMU:
        name, package = QEMU[options.arch]
        wanted.append((f"qemu-system-{name}", f"qemu-system-{package}"))
    missing = [(what, package) for what, package in wanted if not shutil.which(what)]
    missing += [(header, package) for header, package in HEADERS
                if not os.path.exists(f"/usr/include/{header}") and not _compiles(header)]
    if not missing:
        return
    names = ", ".join(what for what, _ in missing)
    install = ["apt-get", "install", "-y", "--no-install-recommends",
               *sorted({package for _, package in missing})]
    remedy = " ".join(install[:2] + install[3:])
    if os.geteuid() == 0 and shutil.which("apt-get") and _agreed(names, remedy):
        for command in (["apt-get", "update"], install):
            say(f"$ {' '.join(command)}")
            with spawn(command, stdout=sys.stderr) as child:
                if child.wait():
                    raise Fail(Exit.MISSING, f"{' '.join(command)} failed",
                               "see above what apt says")
        return
    raise Fail(Exit.MISSING, f"missing here: {names}",
               f"{'' if os.geteuid() == 0 else 'sudo '}{remedy}   (names of Debian's packages)")


def _compiles(header: str) -> bool:
    """Is a header found in a place of the compiler's own?"""
    if not shutil.which("gcc"):
        return False
    return run(["gcc", "-E", "-include", header, "-xc", "/dev/null"]).returncode == 0


def _agreed(names: str, remedy: str) -> bool:
    if os.environ.get("CI") == "true":
        return True
    if not sys.stdin.isatty():
        return False
    say(f"missing here: {names}\n  {remedy}")
    try:
        return input("Run this now? [y/N] ").strip().lower() in ("y", "yes")
    except EOFError:
        return False
