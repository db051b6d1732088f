# SPDX-License-Identifier: GPL-2.0
"""The programs and headers that a verb needs: all looked for, and installed, before any work."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Callable, List, Optional, Sequence, Tuple

from base.outcome import Exit, Fail
from base.process import run, spawn
from base.progress import Progress, say
from guest.setup import MACHINES, Setup


# Coccinelle loads the shared library of Python under its development name.
SCRIPT_OF_SPATCH = """@r@
identifier f;
position p;
@@
 f@p(...) { ... }

@script:python@
p << r.p;
@@
print("there")
"""


@dataclass(frozen=True)
class Need:
    """A program, a header (if the name ends so) or a file (if it is a path), and its package."""

    name: str
    package: str
    needed: bool = True  # or merely good to have
    probe: Optional[Callable[[], bool]] = None  # where a file of that name does not tell


def programs(*pairs: Tuple[str, str]) -> Tuple[Need, ...]:
    return tuple(Need(name, package) for name, package in pairs)


GIT = programs(("git", "git"))
FETCH = programs(("xz", "xz-utils"), ("tar", "tar"), ("dpkg-deb", "dpkg"))
BUILD_TOOLS = (*programs(
    ("make", "make"), ("flex", "flex"), ("bison", "bison"), ("bc", "bc"), ("perl", "perl"),
    ("find", "findutils"), ("gcc", "gcc"), ("ld", "binutils"),
    # Without these headers, host programs of the kernel's build fail.
    ("stdio.h", "libc6-dev"), ("libelf.h", "libelf-dev")), Need("ccache", "ccache", needed=False))
BUSYBOX = programs(("busybox", "busybox-static"))
COVERAGE = (*BUSYBOX, *programs(("genhtml", "lcov")))
DEBOOTSTRAP = programs(("debootstrap", "debootstrap"))
BUBBLEWRAP = (Need("bwrap", "bubblewrap", needed=False),)
CHECKERS = programs(("mypy", "mypy"), ("yamllint", "yamllint"), ("shellcheck", "shellcheck"))
# The kernel's extensions of Sphinx need YAML; yamllint of CHECKERS comes with it.
SPHINX = programs(("sphinx-build", "python3-sphinx"))


def _spatch_runs_python() -> bool:
    if not shutil.which("spatch"):
        return False
    with tempfile.TemporaryDirectory() as held:
        script, source = Path(held) / "x.cocci", Path(held) / "x.c"
        script.write_text(SCRIPT_OF_SPATCH)
        source.write_text("void f(void) { }\n")
        done = run(["spatch", "--very-quiet", "--sp-file", str(script), str(source)])
    return "there" in done.stdout


COCCINELLE = (*programs(("spatch", "coccinelle")),
              Need("libpython3.so", "libpython3-dev", probe=_spatch_runs_python))


def for_kernels(setup: Setup) -> Tuple[Need, ...]:
    """What it takes to fetch, build and boot a kernel."""
    needs = [*GIT, *FETCH, *BUILD_TOOLS]
    machine = MACHINES.get(setup.arch)
    if setup.llvm:
        name, suffix = setup.compiler, setup.llvm if setup.llvm.startswith("-") else ""
        needs += programs((name, f"clang{suffix}"),
                          (name.replace("clang", "ld.lld"), f"lld{suffix}"),
                          (name.replace("clang", "llvm-ar"), f"llvm{suffix}"))
    elif setup.cross_compile:
        package = machine.compiler if machine and machine.prefix == setup.cross_compile else \
            f"gcc-{setup.cross_compile.rstrip('-')}"
        needs.append(Need(setup.compiler, package))
    if machine:
        needs.append(Need(f"qemu-system-{machine.qemu}", f"qemu-system-{machine.package}"))
        needs += programs(*machine.firmware)
    return tuple(needs)


def for_commits(setup: Setup, sandboxed: bool) -> Tuple[Need, ...]:
    """What it takes to do so with kernels that somebody else wrote."""
    return (*for_kernels(setup), *(BUBBLEWRAP if sandboxed else ()))


def missing(needs: Sequence[Need]) -> List[Need]:
    return [need for need in dict.fromkeys(needs)
            if not (need.probe() if need.probe else _there(need.name))]


def _there(name: str) -> bool:
    if name.startswith("/"):
        return os.path.exists(name)
    if not name.endswith(".h"):
        return shutil.which(name) is not None
    if os.path.exists(f"/usr/include/{name}"):
        return True
    # In a place of the compiler's own, perhaps.
    return shutil.which("gcc") is not None and \
        run(["gcc", "-E", "-include", name, "-xc", "/dev/null"]).returncode == 0


def require(needs: Sequence[Need], install: bool) -> None:
    """See that all is there; install all that is not, at once, or name it with the command."""
    lacking = missing(needs)
    if not [need for need in lacking if need.needed or install]:
        return
    packages = sorted({need.package for need in lacking})
    root = as_root() if install and shutil.which("apt-get") else None
    if root is None:
        lacking = [need for need in lacking if need.needed]
        if lacking:
            raise _refused(lacking, install)
        return
    _install(root, packages, lacking)
    left = [need for need in missing(needs) if need.needed]
    if left:
        raise _refused(left, install)


def _refused(lacking: Sequence[Need], asked: bool) -> Fail:
    names = ", ".join(need.name for need in lacking)
    packages = " ".join(sorted({need.package for need in lacking}))
    sudo = "" if os.geteuid() == 0 else "sudo " if shutil.which("sudo") else "as root: "
    why = ""
    if asked and not shutil.which("apt-get"):
        why = ", and there is no apt-get to install it with"
    elif asked and os.geteuid():
        why = ", and neither root nor sudo is there to install it"
    return Fail(Exit.MISSING, f"missing here: {names}{why}",
                f"{sudo}apt-get install --no-install-recommends {packages}"
                "   (names of Debian's packages)")


def as_root() -> Optional[List[str]]:
    """What goes in front of a command that needs root, if anything makes it possible."""
    if os.geteuid() == 0:
        return []
    if not shutil.which("sudo"):
        return None
    if run(["sudo", "-n", "true"]).returncode == 0:
        return ["sudo", "-n"]
    # With a terminal, it can ask for the password.
    return ["sudo"] if sys.stdin.isatty() and sys.stderr.isatty() else None


def _apt(root: Sequence[str], *arguments: str) -> List[str]:
    return [*root, "env", "DEBIAN_FRONTEND=noninteractive", "LC_ALL=C.UTF-8", "apt-get",
            "-oAPT::Get::AllowUnauthenticated=false", "-oDpkg::Use-Pty=false",
            "-oDPkg::Lock::Timeout=300", *arguments]


def _install(root: Sequence[str], packages: Sequence[str], lacking: Sequence[Need]) -> None:
    # Lists that are old name versions that are gone: those are as good as none.
    _step(_apt(root, "update"), "reading the lists of packages")
    size = run(_apt(root, "install", "--assume-no", "--no-install-recommends", *packages))
    found = re.search(r"Need to get (?:\S+ \S+/)?(\S+ \S?B) of archives", size.stdout)
    disk = re.search(r"After this operation, (\S+ \S?B) of additional", size.stdout)
    say(f"installing {', '.join(packages)}"
        + (f": {found.group(1)} to download" if found else "")
        + (f", {disk.group(1)} on the disk" if disk else ""))
    try:
        # A channel of its own: apt closes that one to the packages' scripts, of which
        # those that print would fail. (And sudo hands on none but the first three.)
        _step([*root, "sh", "-c", 'exec "$@" 3>&1', "sh",
               *_apt([], "install", "--yes", "--no-install-recommends", "-oAPT::Status-Fd=3",
                     *packages)], f"installing {len(packages)} packages")
    except Fail:
        if any(need.needed for need in lacking):
            raise
        say("that failed, but all that is needed is there: going on")


def _step(command: List[str], what: str) -> None:
    """Run apt, showing how far it is by what it says on its status channel."""
    said: List[str] = []
    with Progress(what, 200) as progress, \
            spawn(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                  stdin=None if command[0] == "sudo" else subprocess.DEVNULL) as child:
        assert child.stdout
        for line in child.stdout:
            share = re.match(r"(dl|pm)status:[^:]*:([\d.]+):", line)
            if share:
                progress.update(float(share.group(2)) + (100 if share.group(1) == "pm" else 0))
            else:
                said.append(line.rstrip())
                progress.update(progress.done)
        child.wait()
    if child.returncode:
        errors = [line for line in said if line.startswith(("E: ", "dpkg: error "))] or said[-5:]
        raise Fail(Exit.MISSING, f"{what} failed: {'; '.join(errors)}",
                   f"see what apt says: {shlex.join(command)}")
