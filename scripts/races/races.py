# SPDX-License-Identifier: GPL-2.0
"""Have others step in while memory goes offline, in every order that is legal.

Each failure prints one schedule. `./suite races --replay SCHEDULE` runs that
one alone, and again. Nothing else is random but what --random asks for.
"""

from __future__ import annotations

import argparse
import re
from pathlib import Path
from typing import List

from base.outcome import Exit
from base.progress import result
from base.project import FRAGMENT
from guest import build as kernels
from guest import job, verb
from guest.setup import Setup
from guest.verdict import Verdict
from series.worktree import Source, Tree

SUITES = "*races"
ALL = 2  # the parameter races.depth: also two actors at once
SECONDS = 600  # for a boot
# What a suite says about a search, behind its name.
FIGURES = re.compile(r"# \w+: (\d+ schedules of .*)$", re.MULTILINE)


def schedule(text: str) -> str:
    text = text.removeprefix("schedule=")
    if not re.fullmatch(r"\w+:[\w@.,]*", text):
        raise argparse.ArgumentTypeError(f"{text} is not a schedule, as a failure prints it")
    return text


def number(text: str) -> int:
    if not re.fullmatch(r"\d{1,9}", text):
        raise argparse.ArgumentTypeError(f"{text} is not a number")
    return int(text)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    verb.add_arguments(parser)
    group = parser.add_argument_group("which schedules")
    group.add_argument("--replay", type=schedule, metavar="SCHEDULE",
                       help="only this one, as a failure prints it")
    group.add_argument("--random", type=number, default=0, metavar="N",
                       help="so many random ones for each operation as well, with more actors")
    group.add_argument("--seed", type=number, default=1, metavar="N",
                       help="where their sequence starts (default: %(default)s)")


def parameters(args: argparse.Namespace) -> List[str]:
    """What to add to the kernel's command line."""
    if args.replay is not None:
        return [f"races.schedule={args.replay}"]
    return [f"races.depth={ALL}", f"races.random={args.random}", f"races.seed={args.seed}"]


def describe(tree: Tree, setup: Setup) -> kernels.Kernel:
    more = kernels.fragment(tree.path, FRAGMENT.format("races"))
    return kernels.describe(tree.path, setup).extended("races", more)


def races(source: Source, setup: Setup, folder: Path) -> Verdict:
    """The whole way from source to verdict."""
    verdict = job.run(source, setup, folder, describe)
    log = folder / "test.log"
    if log.is_file():
        for figures in FIGURES.findall(log.read_text(errors="replace")):
            result(figures)
    return verdict


def main(args: argparse.Namespace) -> Exit:
    args.kernel_args = [*parameters(args), *args.kernel_args]
    args.filter_glob = args.filter_glob or SUITES
    args.timeout = args.timeout or SECONDS
    return verb.run(args, "races", races)
