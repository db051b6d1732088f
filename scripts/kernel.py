# SPDX-License-Identifier: GPL-2.0
"""Configures and builds the kernel of a tree, as kunit.py would, but doing nothing twice.

kunit.py makes .config. The build is ours: only the image, with a view of
how far it is, and not at all when nothing in the tree has changed.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Dict, List, Tuple

import tools
from host import BUILD, cache, digest, is_full, need_space, run, spawn, write
from options import Options
from progress import Progress, say
from verdict import Exit, Fail, no_space

# The suites' own fragments, as far as the tree has them.
SUITES = ("mm/tests/.kunitconfig", "drivers/virtio/tests/.kunitconfig")
CONFIGS = "tools/testing/kunit/configs/offline_skippable_{}.config"
FRAGMENTS = {"trimmed": (CONFIGS.format("trimmed"),), "debug": (CONFIGS.format("trimmed"),),
             "plain": ()}
# What make prints as it goes: "  CC      mm/page_isolation.o"
STEP = re.compile(r"^  [A-Z][A-Z0-9_]*( \[M\])? +\S")
STEPS_GUESS = {"trimmed": 1200, "debug": 1300, "plain": 2600}
FIRST_ERRORS = 20
# What a compiler says when the machine, not the source, is the reason.
NO_MEMORY = re.compile(r"Killed signal terminated program|virtual memory exhausted"
                       r"|Cannot allocate memory|cannot allocate \d+ bytes")

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
    options: Options
    qemu: Dict[str, Any]  # kunit.py's own description of the guest
    more: Tuple[str, ...] = ()  # options on top of the kunitconfigs
    more_variables: Tuple[str, ...] = ()  # for make, on top of the usual ones

    @property
    def image(self) -> Path:
        return self.out / str(self.qemu["kernel_path"])

    @property
    def state(self) -> Path:
        """Our own notes about the build."""
        return self.out / ".offline-skippable"

    def kunit(self, verb: str, *arguments: str) -> List[str]:
        """A kunit.py command line."""
        command = [sys.executable, str(self.tree / "tools/testing/kunit/kunit.py"), verb,
                   f"--arch={self.options.arch}", f"--build_dir={self.out}"]
        if self.options.cross_compile:
            command.append(f"--cross_compile={self.options.cross_compile}")
        return [*command, *arguments]

    def extended(self, name: str, more: Tuple[str, ...]) -> Kernel:
        """The same with more options on top, in a build folder of its own."""
        out = self.options.out or self.out.with_name(f"{self.out.name}-{name}")
        return replace(self, out=out, more=(*self.more, *more))

    def variables(self) -> List[str]:
        """The make variables, the same for every step: kbuild rebuilds all when one changes."""
        name = tools.compiler(self.options)
        found = [f"LLVM={self.options.llvm}"] if self.options.llvm else []
        return [*found, f"CC=ccache {name}" if shutil.which("ccache") else f"CC={name}",
                *self.more_variables]

    def kunitconfigs(self) -> List[str]:
        wanted = [*FRAGMENTS[self.options.config], *SUITES]
        found = [path for path in wanted if (self.tree / path).is_file()]
        missing = {wanted[0], SUITES[0]} - set(found)
        if missing:
            raise Fail(Exit.BAD_INPUT, f"{self.tree} has no {', '.join(sorted(missing))}",
                       "the series it carries is an older one: update it, or pass CONFIG=plain")
        return found


def _more(options: Options) -> Tuple[Options, Tuple[str, ...]]:
    """What `kunit.py exec` would ignore, as it is for configuring."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False, exit_on_error=False)
    parser.add_argument("--kconfig_add", action="append", default=[])
    try:
        known, rest = parser.parse_known_args(options.kunit_args)
    except argparse.ArgumentError as error:
        raise Fail(Exit.BAD_INPUT, f"KUNIT_ARGS: {error}",
                   "give it as in --kconfig_add=CONFIG_SMP=y") from None
    return replace(options, kunit_args=rest), tuple(known.kconfig_add)


def describe(tree: Path, options: Options) -> Kernel:
    """Work out where and how to build; nothing is made yet."""
    options, more = _more(options)
    configs = tree / "tools/testing/kunit/qemu_configs"
    known = sorted(path.stem for path in configs.glob("*.py"))
    if options.arch not in known:
        raise Fail(Exit.BAD_INPUT, f"kunit.py of {tree} does not know ARCH={options.arch}",
                   f"use one of: {', '.join(known)}")
    done = run([sys.executable, "-I", "-B", "-c", QEMU_PARAMS, str(tree / "tools/testing"),
                options.arch])
    if done.returncode:
        raise Fail(Exit.BAD_INPUT, f"{configs}/{options.arch}.py: {done.stderr.strip()}",
                   "use a kernel tree with its own tools/testing/kunit")
    name = f"{tree.name}-{options.config}-{options.arch}{'-llvm' if options.llvm else ''}"
    if tree.parent != BUILD / "tree":  # KDIR itself; there may be others of that name
        name = f"{digest(str(tree).encode())[:8]}-{name}"
    if more:
        name += f"-{digest(*(option.encode() for option in more))[:8]}"
    if options.config == "debug":
        more = (*fragment(tree, CONFIGS.format("debug")), *more)
    return Kernel(tree, options.out or BUILD / "out" / name, options, json.loads(done.stdout),
                  more)


def fragment(tree: Path, path: str) -> Tuple[str, ...]:
    """The options of a kunitconfig fragment, to go on top of others and override them."""
    if not (tree / path).is_file():
        raise Fail(Exit.BAD_INPUT, f"{tree} has no {path}",
                   "the series it carries is an older one: update it")
    return tuple(line for line in (tree / path).read_text().splitlines()
                 if re.match(r"CONFIG_|# CONFIG_\w+ is not set$", line))


def build(kernel: Kernel) -> bool:
    """Bring the image up to date; tell whether there was anything to do."""
    stamp, started = kernel.state / "stamp", kernel.state / "started"
    inputs = [(kernel.tree / path).read_text() for path in kernel.kunitconfigs()]
    compiler = shutil.which(tools.compiler(kernel.options)) or ""
    key = digest(*(text.encode() for text in (
        *inputs, *kernel.more, *kernel.variables(), str(kernel.tree), str(kernel.qemu), compiler,
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
        _configure(kernel)
        write(configured, key.encode())
    write(started, key.encode())
    _make(kernel)
    os.replace(started, stamp)
    return True


def make_command(kernel: Kernel, *targets: str) -> List[str]:
    arch = [f"ARCH={kernel.qemu['linux_arch']}"]
    if kernel.options.cross_compile:
        arch.append(f"CROSS_COMPILE={kernel.options.cross_compile}")
    return ["make", "-C", str(kernel.tree), f"O={kernel.out}", *arch, *kernel.variables(),
            f"-j{len(os.sched_getaffinity(0))}", *targets]


def _newer(than: Path, tree: Path, *more: object) -> bool:
    """Has anything in the tree changed since? (A change of a folder is one of its files gone.)"""
    paths = [str(path) for path in more if isinstance(path, Path)]
    tests = [str(test) for test in more if not isinstance(test, Path)]
    done = run(["find", str(tree), *paths, "-path", f"{tree}/.git", "-prune", "-o",
                "-newer", str(than), *tests, "-print", "-quit"])
    return bool(done.stdout) or done.returncode != 0


def _clear(out: Path, since: Path) -> None:
    """A build was killed: what it made may be cut short, and make would take it as done."""
    say("the last build was cut short; what it made is made again")
    run(["find", str(out), "-newer", str(since), "-type", "f", "!", "-name", ".config",
         "!", "-path", f"{since.parent}/*", "-delete"])
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
                   "see that compiler and kunitconfigs fit the kernel and ARCH=")


def _make(kernel: Kernel) -> None:
    """Run make, counting its steps; show what compilers say."""
    options = kernel.options
    memory = cache() / f"steps-{options.config}-{options.arch}"
    cold = not kernel.image.exists()
    usual = int(memory.read_text()) if memory.exists() else STEPS_GUESS[options.config]
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
        if NO_MEMORY.search(said):
            raise Fail(Exit.MISSING, f"no memory left to build the kernel:\n{_first_errors(said)}",
                       "free some memory, and run the same command again")
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
