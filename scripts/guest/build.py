# SPDX-License-Identifier: GPL-2.0
"""Configures and builds the kernel of a tree, as kunit.py would, but doing nothing twice.

kunit.py makes .config. The build is ours: only the image, with a view of
how far it is, and not at all when nothing in the tree has changed.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Dict, List, Sequence, Tuple

from base.files import BUILD, cache, digest, is_full, need_space, write
from base.outcome import Exit, Fail, no_space
from base.process import run, spawn
from base.progress import Progress, say
from base.project import ARCH, CONFIGS, FOR_ARCH_ALONE, UML
from guest.setup import MACHINES, Setup, suites

KUNIT_PY = "tools/testing/kunit/kunit.py"  # below a tree
# What make prints as it goes: "  CC      mm/page_isolation.o"
STEP = re.compile(r"^  [A-Z][A-Z0-9_]*( \[M\])? +\S")
STEPS_GUESS = {"trimmed": 1200, "debug": 1300, "plain": 2600}
FIRST_ERRORS = 20
# What a compiler says when the machine, not the source, is the reason.
OF_THE_HOST = re.compile(r"Killed signal terminated program|virtual memory exhausted"
                         r"|Cannot allocate memory|cannot allocate \d+ bytes|Input/output error"
                         r"|Read-only file system|Too many open files|Stale file handle"
                         r"|internal compiler error: (Segmentation fault|Bus error|Killed)"
                         r"|Disk quota exceeded|: (Killed|Terminated)$", re.MULTILINE)
# What goes on top of kunit.py's own description of the guest, if anything does.
QEMU_CONFIG = """from ..qemu_config import QemuArchParams
QEMU_ARCH = QemuArchParams(**{parameters!r})
"""
PVH = "CONFIG_PVH=y"
# Our notes in a build folder; they say as well that the folder is ours.
STATE = ".offline-skippable"

# User Mode Linux is a program of this machine: kunit.py starts it without QEMU.
UML_GUEST = {"linux_arch": UML, "kernel_path": "linux"}

QEMU_PARAMS = """
import importlib, json, sys
sys.path.insert(0, sys.argv[1])
print(json.dumps(vars(importlib.import_module('kunit.qemu_configs.' + sys.argv[2]).QEMU_ARCH)))
"""


@dataclass(frozen=True)
class Kernel:
    """One tree, built one way."""

    tree: Path
    out: Path
    setup: Setup
    qemu: Dict[str, Any]  # kunit.py's own description of the guest
    more: Tuple[str, ...] = ()  # options on top of the kunitconfigs
    more_variables: Tuple[str, ...] = ()  # for make, on top of the usual ones
    more_qemu: Tuple[Tuple[str, Any], ...] = ()  # what is different from that description
    configs: Tuple[str, ...] = ()  # kunitconfigs instead of the tree's own
    wrapper: Tuple[str, ...] = ()  # what goes in front of each command that runs code of the tree

    @property
    def guest(self) -> Dict[str, Any]:
        """The guest, as it is started."""
        return {**self.qemu, **dict(self.more_qemu)}

    @property
    def image(self) -> Path:
        return self.out / str(self.guest["kernel_path"])

    @property
    def state(self) -> Path:
        """Our own notes about the build."""
        return self.out / STATE

    def kunit(self, verb: str, *arguments: str) -> List[str]:
        """A kunit.py command line."""
        command = [*self.wrapper, sys.executable,
                   str(self.tree / KUNIT_PY), verb,
                   f"--arch={self.setup.arch}", f"--build_dir={self.out}"]
        if self.setup.cross_compile:
            command.append(f"--cross_compile={self.setup.cross_compile}")
        return [*command, *arguments]

    def extended(self, name: str, more: Tuple[str, ...]) -> Kernel:
        """The same with more options on top, in a build folder of its own."""
        out = self.setup.build_dir or self.out.with_name(f"{self.out.name}-{name}")
        return replace(self, out=out, more=(*self.more, *more))

    def variables(self) -> List[str]:
        """The make variables, the same for every step: kbuild rebuilds all when one changes."""
        name = self.setup.compiler
        found = [f"LLVM={self.setup.llvm}"] if self.setup.llvm else []
        return [*found, f"CC=ccache {name}" if shutil.which("ccache") else f"CC={name}",
                *self.more_variables]

    def has(self, option: str) -> bool:
        """Is an option set in the kernel that was configured?"""
        return f"{option}=y" in (self.out / ".config").read_text().splitlines()

    def kunitconfigs(self) -> List[str]:
        """Those that the tree has; some it must have."""
        if self.configs:
            return list(self.configs)
        arch = self.setup.arch
        wanted = [*(path for path in CONFIGS[self.setup.config][0]
                    if FOR_ARCH_ALONE.get(path, arch) == arch), *suites(arch)]
        found = [path for path in wanted if (self.tree / path).is_file()]
        missing = {wanted[0], suites(arch)[0]} - set(found)
        if missing:
            raise Fail(Exit.BAD_INPUT, f"{self.tree} has no {', '.join(sorted(missing))}",
                       "the series it carries is an older one: update it, or pass "
                       "--config=plain")
        return found

    def qemu_config(self) -> List[str]:
        """How to tell kunit.py about a guest that is not quite its own."""
        if not self.more_qemu:
            return []
        path = self.state / "qemu_config.py"
        write(path, QEMU_CONFIG.format(parameters=self.guest).encode())
        return [f"--qemu_config={path}"]


def describe(tree: Path, setup: Setup, wrapper: Tuple[str, ...] = ()) -> Kernel:
    """Work out where and how to build; nothing is made yet. (But code of the tree is run.)"""
    qemu = UML_GUEST if setup.arch == UML else _qemu(tree, setup, wrapper)
    more = setup.kconfig_add
    name = f"{tree.name}-{setup.config}-{setup.arch}{'-llvm' if setup.llvm else ''}"
    if more:
        name += f"-{digest(*(option.encode() for option in more))[:8]}"
    for path in CONFIGS[setup.config][1]:
        more = (*fragment(tree, path), *more)
    more_qemu: Tuple[Tuple[str, Any], ...] = ()
    machine = MACHINES.get(setup.arch)
    if machine:
        more = (*machine.needs, *more)
        if machine.qemu_args:
            more_qemu = (("extra_qemu_params",
                          [*qemu["extra_qemu_params"], *machine.qemu_args]),)
    kernel = Kernel(tree, setup.build_dir or BUILD / "out" / name, setup, qemu, more,
                    more_qemu=more_qemu, wrapper=wrapper)
    # QEMU boots a kernel with PVH as it is linked: neither has it to be compressed
    # on the host, nor decompressed by an emulated processor.
    if setup.arch == ARCH and any(PVH in (tree / path).read_text().splitlines()
                                  for path in CONFIGS[setup.config][0]
                                  if (tree / path).is_file()):
        return as_linked(kernel)
    return kernel


def _qemu(tree: Path, setup: Setup, wrapper: Tuple[str, ...]) -> Dict[str, Any]:
    """kunit.py's own description of the guest."""
    configs = tree / "tools/testing/kunit/qemu_configs"
    known = sorted(path.stem for path in configs.glob("*.py"))
    if setup.arch not in known:
        raise Fail(Exit.BAD_INPUT, f"kunit.py of {tree} does not know --arch={setup.arch}",
                   f"use one of: {', '.join([*known, UML])}")
    done = run([*wrapper, sys.executable, "-I", "-B", "-c", QEMU_PARAMS,
                str(tree / "tools/testing"), setup.arch])
    qemu = _parameters(done.stdout) if done.returncode == 0 else {}
    if not qemu:
        raise Fail(Exit.BUILD, f"{configs}/{setup.arch}.py cannot be read: "
                   f"{done.stderr.strip() or 'it does not say what guest there is to be'}",
                   "mend tools/testing/kunit of that kernel")
    return qemu


def as_linked(kernel: Kernel) -> Kernel:
    return replace(kernel, more_qemu=(("kernel_path", "vmlinux"),))


def _parameters(said: str) -> Dict[str, Any]:
    """kunit.py's description of the guest; empty, if it is not one."""
    try:
        return dict(json.loads(said))
    except (ValueError, TypeError):
        return {}


def fragment(tree: Path, path: str) -> Tuple[str, ...]:
    """The options of a kunitconfig fragment, to go on top of others and override them."""
    if not (tree / path).is_file():
        raise Fail(Exit.BAD_INPUT, f"{tree} has no {path}",
                   "the series it carries is an older one: update it")
    return tuple(line for line in (tree / path).read_text().splitlines()
                 if re.match(r"CONFIG_|# CONFIG_\w+ is not set$", line))


def _claim(kernel: Kernel) -> None:
    """Use a build folder only if nobody else does: what is stale in there is removed."""
    if kernel.state.is_dir():
        return
    if kernel.out.exists() and (not kernel.out.is_dir() or any(kernel.out.iterdir())):
        raise Fail(Exit.BAD_INPUT, f"{kernel.out} has files that are not ours",
                   "name a folder that is empty or not there yet as --build_dir=")
    kernel.state.mkdir(parents=True)


def build(kernel: Kernel) -> bool:
    """Bring the image up to date; tell whether there was anything to do."""
    _claim(kernel)
    stamp, started = kernel.state / "stamp", kernel.state / "started"
    inputs = [(kernel.tree / path).read_text() for path in kernel.kunitconfigs()]
    compiler = shutil.which(kernel.setup.compiler) or ""
    key = digest(*(text.encode() for text in (
        *inputs, *kernel.more, *kernel.variables(), str(kernel.tree), str(kernel.guest), compiler,
        str(os.stat(compiler).st_mtime) if compiler else "")))
    if stamp.exists() and stamp.read_text() == key and kernel.image.exists() \
            and not _newer(stamp, kernel.tree, kernel.out / ".config"):
        return False
    need_space(kernel.out, 0.2 if kernel.image.exists() else 1)
    if started.exists():
        _clear(kernel.out, started)
    configured = kernel.state / "configured"
    if not (kernel.out / ".config").exists() or not configured.exists() \
            or configured.read_text() != key \
            or _newer(configured, kernel.tree, "-name", "Kconfig*"):
        configured.unlink(missing_ok=True)
        _configure(kernel)
        write(configured, key.encode())
    write(started, key.encode())
    _make(kernel)
    os.replace(started, stamp)
    return True


def make_command(kernel: Kernel, *targets: str) -> List[str]:
    arch = [f"ARCH={kernel.guest['linux_arch']}"]
    if kernel.setup.cross_compile:
        arch.append(f"CROSS_COMPILE={kernel.setup.cross_compile}")
    return [*kernel.wrapper, "make", "-C", str(kernel.tree), f"O={kernel.out}", *arch,
            *kernel.variables(), f"-j{kernel.setup.jobs}", *targets]


def _newer(than: Path, tree: Path, *more: object) -> bool:
    """Has anything in the tree changed since? (A change of a folder is one of its files gone.)"""
    paths = [str(path) for path in more if isinstance(path, Path)]
    tests = [str(test) for test in more if not isinstance(test, Path)]

    def find(words: Sequence[str]) -> bool:
        done = run(["find", *words, "-newer", str(than), *tests, "-print", "-quit"])
        return bool(done.stdout) or done.returncode != 0
    # Half of the kernel is drivers. No build reads Documentation.
    drivers = tree / "drivers"
    rest = [word for folder in (tree / ".git", tree / "Documentation", drivers)
            for word in ("-path", str(folder), "-prune", "-o")]
    halves = [[str(tree), *paths, *rest], *([[str(drivers)]] if drivers.is_dir() else [])]
    with ThreadPoolExecutor(2) as pool:
        return any(pool.map(find, halves))


def _clear(out: Path, since: Path) -> None:
    """A build was killed: what it made may be cut short, and make would take it as done.

    Only what kbuild has made, and noted down beside it, is removed.
    """
    say("the last build was cut short; what it made is made again")
    # Files that are written within a tick of the kernel's have the same time.
    moment = since.stat().st_mtime - 0.02
    newer = run(["find", str(out), "-newermt", f"@{moment:.6f}", "-type", "f", "-print0"]).stdout
    for name in newer.split("\0"):
        path = Path(name)
        if name and path.with_name(f".{path.name}.cmd").exists():
            path.unlink()
    since.unlink()


def _configure(kernel: Kernel) -> None:
    # kunit.py would keep a .config that still has all options, stale as it may be.
    (kernel.out / ".config").unlink(missing_ok=True)
    options = [word for variable in kernel.variables() for word in ("--make_options", variable)]
    with Progress("configuring"):
        done = run(kernel.kunit("config", *options, *(f"--kunitconfig={path}"
                                                      for path in kernel.kunitconfigs()),
                                *(f"--kconfig_add={option}" for option in kernel.more)))
    if done.returncode:
        (kernel.out / ".config").unlink(missing_ok=True)
        if is_full(kernel.out, done.stderr):
            raise no_space(kernel.out)
        raise Fail(Exit.BUILD, f"the kernel cannot be configured:\n{_first_errors(done.stderr)}",
                   "see that compiler and kunitconfigs fit the kernel and --arch=")


def _make(kernel: Kernel) -> None:
    """Run make, counting its steps; show what compilers say."""
    setup = kernel.setup
    memory = cache() / f"steps-{setup.config}-{setup.arch}"
    cold = not kernel.image.exists()
    try:
        usual = int(memory.read_text())
    except (FileNotFoundError, ValueError):
        usual = STEPS_GUESS[setup.config]
    errors, count = kernel.state / "errors.log", 0
    command = make_command(kernel, kernel.image.name)
    with open(kernel.state / "build.log", "w") as log, open(errors, "w") as complaints, \
            Progress("building", usual if cold else 0) as progress, \
            spawn(command, stdout=subprocess.PIPE, stderr=complaints) as child:
        assert child.stdout
        for line in child.stdout:
            log.write(line)
            if STEP.match(line):
                count += 1
                if count > usual / 20:  # not cold, perhaps, but all is built again
                    progress.total = usual
                progress.update(count)
        child.wait()
    said = errors.read_text(errors="replace")
    if child.returncode:
        # It ended by itself: make has removed what was half done.
        (kernel.state / "started").unlink()
        if is_full(kernel.out, said):
            raise no_space(kernel.out)
        if OF_THE_HOST.search(said):
            raise Fail(Exit.MISSING, "the machine failed while it built the kernel, for want of "
                       f"memory, mostly:\n{_first_errors(said)}",
                       "see what it says, free some memory, and run the same command again")
        raise Fail(Exit.BUILD, f"the kernel does not build:\n{_first_errors(said)}",
                   f"mend it, in this repository if it has the file; all of it is in {errors}")
    if said:
        say(said.rstrip())
    if cold:
        write(memory, str(count).encode())


def _first_errors(said: str) -> str:
    lines = said.splitlines()
    first = next((number for number, line in enumerate(lines)
                  if re.search(r"error:|undefined reference|\*\*\*", line)), 0)
    return "\n".join(lines[max(0, first - 2):first + FIRST_ERRORS])
