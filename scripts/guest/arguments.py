# SPDX-License-Identifier: GPL-2.0
"""Options that several verbs have, with kunit.py's names where it has them."""

from __future__ import annotations

import argparse
import os
import re
from pathlib import Path
from typing import Tuple

from base.process import CPUS
from base.project import ARCH, CONFIG, CONFIGS, FAIL_KNOWN_BUGS, KERNEL
from guest.setup import Setup, prefix
from series.worktree import Source, resolved


def path(text: str) -> Path:
    # The shell leaves the ~ of --kdir=~/linux alone.
    return Path(os.path.abspath(os.path.expanduser(text)))


def kernel_version(text: str) -> str:
    if not re.fullmatch(r"\d+\.\d+", text):
        raise argparse.ArgumentTypeError(f"{text} is not a kernel version; give it as in "
                                         f"--kernel={KERNEL}")
    return text


def architecture(text: str) -> str:
    if not re.fullmatch(r"[a-z0-9_]+", text):
        raise argparse.ArgumentTypeError(f"{text} is not an architecture; give it as in "
                                         f"--arch={ARCH}")
    return text


def count(text: str) -> int:
    if not re.fullmatch(r"[1-9]\d{0,3}", text):
        raise argparse.ArgumentTypeError(f"{text} is not a number of times")
    return int(text)


def share(text: str) -> Tuple[int, int]:
    found = re.fullmatch(r"([1-9]\d{0,2})/([1-9]\d{0,2})", text)
    if not found or int(found.group(1)) > int(found.group(2)):
        raise argparse.ArgumentTypeError(f"{text} is not a part of a whole, such as 1/4")
    return int(found.group(1)), int(found.group(2))


def add_install(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--no-install", action="store_true",
                        help="name packages that are missing instead of installing them")


def add_verbose(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("-v", "--verbose", action="store_true",
                        help="print all that kunit.py prints")


def add_sandbox(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--no-sandbox", action="store_true",
                        help="have the commits' Makefiles and kunit.py run with all of your "
                        "rights, rather than in bubblewrap")


def add_source(parser: argparse.ArgumentParser, kdir: str = "a kernel tree of yours; it is only "
               "read, uncommitted changes included") -> None:
    group = parser.add_argument_group("which kernel")
    group.add_argument("--kdir", type=path, metavar="DIR", help=kdir)
    group.add_argument("--kernel", type=kernel_version, default=KERNEL, metavar="X.Y",
                       help="the version to fetch from Debian if there is no --kdir "
                       "(default: %(default)s)")


def add_fixes(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--fixes", action="store_true",
                        help="mend known bugs of the kernel, too; a case that still shows one "
                        "then fails, and is not skipped")


def add_build(parser: argparse.ArgumentParser, build_dir: bool = True) -> None:
    group = parser.add_argument_group("how to build it (as for kunit.py)")
    group.add_argument("--arch", type=architecture, default=ARCH,
                       help="architecture, as kunit.py names it (default: %(default)s)")
    group.add_argument("--cross_compile", default="", metavar="PREFIX",
                       help="prefix of the compiler's name, if that is not Debian's, such as "
                       "aarch64-linux-gnu-")
    group.add_argument("--llvm", default="", metavar="1|-VERSION|DIR/",
                       help="build with clang, as the kernel's LLVM= says which")
    group.add_argument("--config", choices=sorted(CONFIGS), default=CONFIG,
                       help="trimmed for speed, debug with KASAN and so on, or plain "
                       "(default: %(default)s)")
    group.add_argument("--kconfig_add", action="append", default=[], metavar="CONFIG_X=y",
                       help="one more option; may be given several times")
    group.add_argument("--jobs", type=count, default=CPUS, metavar="N",
                       help="compilers at a time (default: %(default)s)")
    if build_dir:
        group.add_argument("--build_dir", type=path, metavar="DIR",
                           help="an empty folder to build in, in place of one below build/out/")


def add_boot(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("how to boot it (handed to kunit.py)")
    group.add_argument("filter_glob", nargs="?", default="", metavar="SUITES[.CASES]",
                       help="run only these, such as 'offline_skippable_scan*'")
    group.add_argument("--filter", default="", help="run only what has these attributes")
    group.add_argument("--filter_action", choices=["skip"],
                       help="skip what is filtered out, rather than leave it out")
    group.add_argument("--kernel_args", action="append", default=[], metavar="ARGS",
                       help="more for the kernel's command line, such as loglevel=8")
    group.add_argument("--qemu_args", action="append", default=[], metavar="ARGS",
                       help="more for QEMU's command line, such as '-smp 4'")
    group.add_argument("--timeout", type=count, metavar="SECONDS", help="for one boot")
    group.add_argument("--run_isolated", choices=["suite", "test"],
                       help="a boot for each suite, or each case")


def add_for_commits(parser: argparse.ArgumentParser) -> None:
    """What verbs have in common that build and boot commits, each in the same folder."""
    add_build(parser, build_dir=False)
    add_boot(parser)
    add_verbose(parser)
    add_sandbox(parser)
    add_install(parser)


def source(args: argparse.Namespace) -> Source:
    """The kernel that the options name; a tree that is not there is refused at once."""
    return Source(args.kernel, resolved(args.kdir) if args.kdir else None,
                  vars(args).get("fixes", False))


def setup(args: argparse.Namespace) -> Setup:
    """What the options say; those that the verb does not have are at their defaults."""
    given = vars(args)
    kunit_args = [f"--{name}={value}" for name in ("filter", "filter_action", "timeout",
                                                   "run_isolated")
                  for value in [given.get(name)] if value]
    kunit_args += [f"--{name}={value}" for name in ("kernel_args", "qemu_args")
                   for value in given.get(name, ())]
    if given.get("fixes"):
        kunit_args.append(f"--kernel_args={FAIL_KNOWN_BUGS}")
    if given.get("filter_glob"):
        kunit_args.append(given["filter_glob"])
    arch, llvm = given.get("arch", ARCH), given.get("llvm", "")
    # clang is a compiler for all architectures.
    cross_compile = given.get("cross_compile") or ("" if llvm else prefix(arch))
    return Setup(arch, given.get("config", CONFIG), cross_compile, llvm,
                 tuple(given.get("kconfig_add", ())), given.get("build_dir"),
                 given.get("jobs", CPUS), tuple(kunit_args), given.get("verbose", False))
