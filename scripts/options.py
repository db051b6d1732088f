# SPDX-License-Identifier: GPL-2.0
"""The variables a user can set on make's command line; the Makefile exports them."""

from __future__ import annotations

import os
import re
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import List, Mapping, Optional

from verdict import Exit, Fail

# name, default, what `make help` says about it
VARIABLES = (
    ("KDIR", "", "a kernel tree of yours; only `apply` ever changes it"),
    ("KERNEL", "7.3", "the kernel to fetch when there is no KDIR"),
    ("ARCH", "x86_64", "as kunit.py's --arch"),
    ("CROSS_COMPILE", "", "prefix of the compiler's name"),
    ("LLVM", "", "1 (or -18, or a folder/) to build with clang"),
    ("CONFIG", "trimmed", "`trimmed` for speed, `debug` with KASAN and so on, or `plain`"),
    ("KUNIT_ARGS", "", "more arguments for kunit.py, such as a filter"),
    ("O", "", "build folder, in place of one below build/out/"),
    ("COLD", "", "1 makes `bench` time a cold build as well"),
    ("MUTANTS", "*", "which of them `mutants` tries: `*` in it stands for anything"),
    ("FIRST", "", "1 makes `mutants` end each boot at the first case that fails"),
    ("RANGE", "", "the commits for `ci`, as base..tip, or a single one"),
    ("MBOX", "", "mails for `ci`: files or folders of patches, what `b4 am` makes"),
    ("BASE", "", "the commit that MBOX= goes on top of, instead of KDIR's HEAD"),
    ("GOOD", "", "for `bisect`, a commit on which all is well"),
    ("BAD", "", "for `bisect`, a commit on which it is not"),
    ("REPEAT", "1", "how many times a commit has to pass to be good for `bisect-step`"),
)
CONFIGS = ("trimmed", "debug", "plain")


@dataclass(frozen=True)
class Options:
    kdir: Optional[Path]
    kernel: str
    arch: str
    cross_compile: str
    llvm: str
    config: str
    kunit_args: List[str]
    out: Optional[Path]
    cold: bool
    mutants: str
    first: bool
    range: str
    mbox: List[Path]
    base: str
    good: str
    bad: str
    repeat: int


def _path(text: str) -> Optional[Path]:
    # The shell leaves the ~ of KDIR=~/linux alone.
    return Path(os.path.abspath(os.path.expanduser(text))) if text else None


def _words(name: str, value: Mapping[str, str]) -> List[str]:
    """Split as a shell does."""
    try:
        return shlex.split(value[name])
    except ValueError as error:
        raise Fail(Exit.BAD_INPUT, f"{name} cannot be read: {error}", "close the quote") from None


def from_environment(environment: Mapping[str, str]) -> Options:
    value = {name: environment.get(name, "").strip() or default
             for name, default, _ in VARIABLES}
    if not re.fullmatch(r"\d+\.\d+", value["KERNEL"]):
        raise Fail(Exit.BAD_INPUT, f"KERNEL={value['KERNEL']} is not a kernel version",
                   "give it as in KERNEL=7.3")
    if value["CONFIG"] not in CONFIGS:
        raise Fail(Exit.BAD_INPUT, f"CONFIG={value['CONFIG']} is not known",
                   f"use one of: {', '.join(CONFIGS)}")
    if not re.fullmatch(r"[a-z0-9_]+", value["ARCH"]):
        raise Fail(Exit.BAD_INPUT, f"ARCH={value['ARCH']} is not an architecture",
                   "give it as in ARCH=x86_64")
    if not re.fullmatch(r"[1-9]\d{0,3}", value["REPEAT"]):
        raise Fail(Exit.BAD_INPUT, f"REPEAT={value['REPEAT']} is not a number of times",
                   "give it as in REPEAT=10")
    # The kernel's own Makefile takes LLVM=0 for clang as well.
    return Options(_path(value["KDIR"]), value["KERNEL"], value["ARCH"], value["CROSS_COMPILE"],
                   value["LLVM"], value["CONFIG"], _words("KUNIT_ARGS", value), _path(value["O"]),
                   bool(value["COLD"]), value["MUTANTS"], bool(value["FIRST"]),
                   value["RANGE"],
                   [found for word in _words("MBOX", value) if (found := _path(word))],
                   value["BASE"], value["GOOD"], value["BAD"], int(value["REPEAT"]))
