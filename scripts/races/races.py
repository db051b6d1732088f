# SPDX-License-Identifier: GPL-2.0
"""Have others step in while memory goes offline, in every order that is legal.

Each failure prints one schedule. `./suite races --replay SCHEDULE` runs that
one alone, and again. Nothing else is random but what --random asks for.
With --wild there are no schedules, but threads on several processors: with
KCSAN, or with --config=debug, with lockdep and KASAN.
"""

from __future__ import annotations

import argparse
import dataclasses
import re
from pathlib import Path
from typing import List

from base import jobs
from base.files import fresh
from base.outcome import Exit
from base.progress import result
from guest import boot, job, verb
from guest.build import STATE, Kernel
from guest.resizer import together
from guest.setup import Setup
from guest.verdict import Verdict, suites
from races import planted, search, wild
from series.worktree import Source

SECONDS = 600  # for a boot


def schedule(text: str) -> str:
    text = text.removeprefix("schedule=")
    if not re.fullmatch(r"\w+:[\w@.,]*", text):
        raise argparse.ArgumentTypeError(f"{text} is not a schedule, as a failure prints it")
    return text


def number(text: str) -> int:
    if not re.fullmatch(r"\d{1,9}", text):
        raise argparse.ArgumentTypeError(f"{text} is not a number")
    return int(text)


def minutes(text: str) -> float:
    if not re.fullmatch(r"\d{1,4}(\.\d{1,2})?", text) or not float(text):
        raise argparse.ArgumentTypeError(f"{text} is not a number of minutes")
    return float(text)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    verb.add_arguments(parser)
    group = parser.add_argument_group("which schedules")
    group.add_argument("--replay", type=schedule, metavar="SCHEDULE",
                       help="only this one, as a failure prints it")
    group.add_argument("--random", type=number, default=0, metavar="N",
                       help="so many random ones for each operation as well, with more actors; "
                       "in a kernel with --kconfig_add=CONFIG_KCOV=y, made from those that took "
                       "another way through the kernel")
    group.add_argument("--seed", type=number, default=1, metavar="N",
                       help="where their sequence, or chance in the wild, starts "
                       "(default: %(default)s)")
    group.add_argument("--planted", action="store_true",
                       help="all, for each race of history/races/ put in, to see that they find "
                       "it, and that other suites do not")
    group.add_argument("--wild", action="store_true",
                       help="none: others are threads, and step in by chance")
    group.add_argument("--minutes", type=minutes, default=1.0, metavar="M",
                       help="how long to do that for each operation (default: 1)")


def parameters(args: argparse.Namespace) -> List[str]:
    """What to add to the kernel's command line."""
    if args.replay is not None:
        return [f"races.schedule={args.replay}"]
    return [f"races.depth={search.ALL}", f"races.random={args.random}", f"races.seed={args.seed}"]


def beside(kernel: Kernel, name: str) -> Kernel:
    """The same kernel for another guest at the same time, in a folder of its own."""
    out = fresh(kernel.state / name)
    for file in (".config", str(kernel.guest["kernel_path"])):
        (out / file).parent.mkdir(parents=True, exist_ok=True)
        (out / file).symlink_to(kernel.out / file)
    (out / STATE).mkdir()
    return dataclasses.replace(kernel, out=out)


def side_by_side(kernel: Kernel, folder: Path) -> Verdict:
    """Boot once for each suite, as each keeps a processor busy. All but the first have a folder."""
    given = kernel.setup.kunit_args
    if search.SUITES not in given:
        return boot.boot(kernel)
    guests = [dataclasses.replace(
        beside(kernel, suite) if suite != search.EACH[0] else kernel,
        setup=dataclasses.replace(kernel.setup, kunit_args=tuple(
            suite if word == search.SUITES else word for word in given)))
        for suite in search.EACH]

    def stop() -> None:
        for guest in guests:
            boot.end(guest)
    pool: jobs.Pool[Kernel, Verdict] = jobs.Pool(boot.boot, stop, len(guests))
    ended = {done[0].out: done[1] for done in pool.run(guests) if done and done[1]}
    for guest, suite in list(zip(guests, search.EACH))[1:]:
        log, verdict = boot.keep(guest, folder / suite), ended[guest.out]
        if verdict.code is not Exit.OK:
            for line in job.lines(suites(log), verdict, log):
                result(line)
    return together([ended[guest.out] for guest in guests])


def races(source: Source, setup: Setup, folder: Path) -> Verdict:
    """The whole way from source to verdict."""
    verdict = job.run(source, setup, folder, search.describe,
                      lambda kernel: side_by_side(kernel, folder))
    for log in (folder / "test.log", *(folder / suite / "test.log" for suite in search.EACH[1:])):
        if log.is_file():
            text = log.read_text(errors="replace")
            for figures in (*search.FIGURES.finditer(text), *search.RANDOM.finditer(text)):
                result(figures.group(1))
    return verdict


def replayed(source: Source, setup: Setup, folder: Path) -> Verdict:
    """The same for one schedule: in a suite that it is not of, nothing would run."""
    return job.run(source, setup, folder, search.describe, boot.boot)


def main(args: argparse.Namespace) -> Exit:
    if args.wild:
        return wild.main(args)
    if args.planted:
        return planted.main(args)
    args.kernel_args = [*parameters(args), *args.kernel_args]
    args.filter_glob = args.filter_glob or search.SUITES
    args.timeout = args.timeout or SECONDS
    return verb.run(args, "races", races if args.replay is None else replayed)
