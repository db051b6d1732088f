# SPDX-License-Identifier: GPL-2.0
"""What shows a failure again on somebody else's machine: a command, without paths of this one."""

from __future__ import annotations

import shlex
from typing import List, Sequence

from base.project import KERNEL
from commits.table import Table
from guest.setup import Setup

KDIR = "--kdir=linux"  # wherever the reader has it


def _options(setup: Setup, table: Table) -> List[str]:
    """How it was built and booted; and of the cases, the one that is told of."""
    usual = Setup()
    told = [f"--{name}={value}" for name, value, same in (
        ("arch", setup.arch, usual.arch), ("config", setup.config, usual.config),
        ("cross_compile", setup.cross_compile, ""), ("llvm", setup.llvm, "")) if value != same]
    told += [f"--kconfig_add={option}" for option in setup.kconfig_add]
    case = table.culprit[1].case if table.culprit else ""
    if "." not in case:
        return [*told, *setup.kunit_args]
    # kunit.py filters by suite and case, not by a case's parameter.
    return [*told, *(word for word in setup.kunit_args if word.startswith("--")),
            ".".join(case.split(".")[:2])]


def _span(table: Table) -> str:
    """From the last commit that is known to be good, or from the base, to the first bad one."""
    first, last = table.rows[0], table.rows[-1]
    if table.culprit:
        last = table.culprit[0]
        first = table.rows[table.culprit[1].passed]
    return f"--range={first.commit.short}..{last.commit.short}"


def for_range(setup: Setup, table: Table) -> str:
    return shlex.join(["./suite", "ci", KDIR, _span(table), *_options(setup, table)])


def for_mails(setup: Setup, table: Table, names: Sequence[str], kdir: bool, kernel: str) -> str:
    where = [KDIR, f"--base={table.rows[0].commit.short}"] if kdir else \
        [f"--kernel={kernel}"] if kernel != KERNEL else []
    # --mbox takes any number of files, so comes last.
    return shlex.join(["./suite", "ci", *where, *_options(setup, table), "--mbox", *names])
