# SPDX-License-Identifier: GPL-2.0
"""No schedules: others are threads on several processors, and step in by chance.

What a kernel with KCSAN reports is told with the names of functions, and
judged: races between others do not count, nor do those that are explained.
"""

from __future__ import annotations

import argparse
import dataclasses
import re
from pathlib import Path
from typing import List, Tuple

from base.files import write
from base.outcome import Exit
from base.progress import result
from base.project import FRAGMENT
from guest import boot, job, verb
from guest import build as kernels
from guest.build import Kernel
from guest.setup import Setup
from guest.verdict import Verdict
from races import kcsan, search
from series.worktree import Source, Tree

PROCESSORS = "-smp 2"
BOOT = 120  # seconds for all but the cases
OPERATIONS = 8  # there are no more
SLACK = 60  # seconds that a case may take beyond what it is told
# The guest ends a case by its own clock, which is slow where others use the processors.
LAG = 3
# What a suite says about what happened, behind its name.
FIGURES = re.compile(r"# \w+: (\d+ rounds in the wild.*|the memory went offline .*)$",
                     re.MULTILINE)
# The kernel's own makefile has KCSAN leave out the file that a part of the feature is in.
EVERYTHING = ("KCSAN_SANITIZE_page_alloc.o=y",)


def has_kcsan(setup: Setup) -> bool:
    """KASAN excludes it."""
    return setup.config != "debug"


def describe(tree: Tree, setup: Setup) -> Kernel:
    names = ("races", "kcsan") if has_kcsan(setup) else ("races",)
    more = [option for name in names
            for option in kernels.fragment(tree.path, FRAGMENT.format(name))]
    kernel = kernels.describe(tree.path, setup).extended("wild", tuple(more))
    return dataclasses.replace(kernel, more_variables=EVERYTHING) if has_kcsan(setup) else kernel


def judged(verdict: Verdict, found: List[kcsan.Finding]) -> Verdict:
    """The verdict, with data races weighed that nothing else is wrong beside."""
    if verdict.code is not Exit.CASE_FAILED or not verdict.reason.startswith("KCSAN: "):
        return verdict
    bad = [finding for finding in found if finding.counts]
    if not bad:
        return dataclasses.replace(verdict, code=Exit.OK, reason="")
    return dataclasses.replace(
        verdict, reason=f"{len(bad)} data races to be mended, such as {bad[0].report.name}")


def looked_at(kernel: Kernel, found: List[kcsan.Finding]) -> Verdict:
    """Boot, and find out what KCSAN reports."""
    verdict = boot.boot(kernel)
    console = (kernel.out / "test.log").read_text(errors="replace")
    found += kcsan.findings(console, kcsan.ours(kernel), kcsan.explained())
    return judged(verdict, found)


def wild(source: Source, setup: Setup, folder: Path) -> Verdict:
    """The whole way from source to verdict."""
    found: List[kcsan.Finding] = []
    verdict = job.run(source, setup, folder, describe, lambda kernel: looked_at(kernel, found))
    log = (folder / "test.log").read_text(errors="replace")
    for figures in FIGURES.findall(log):
        result(figures)
    for finding in found:
        result(finding.row())
    write(folder / "kcsan.txt", "".join(
        f"{finding.row()}\n{finding.report.text}\n\n" for finding in found).encode())
    return verdict


def arguments(args: argparse.Namespace) -> Tuple[List[str], int]:
    """What to add to the kernel's command line, and how long a boot may take."""
    seconds = max(1, round(args.minutes * 60))
    return ([f"races.wild={seconds}", f"races.seed={args.seed}", f"kunit.timeout={seconds + SLACK}"],
            BOOT + OPERATIONS * (seconds + SLACK) * LAG)


def main(args: argparse.Namespace) -> Exit:
    given, seconds = arguments(args)
    args.kernel_args = [*given, *args.kernel_args]
    args.qemu_args = [PROCESSORS, *args.qemu_args]
    args.filter_glob = args.filter_glob or search.SUITES
    args.timeout = args.timeout or seconds
    return verb.run(args, "races", wild, results=f"wild-{args.config}")
