#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Tests the commit that `git bisect run` has come to; scripts/bisect-step tells git.

git wants 0 for good, 1 for bad, 125 for what cannot be tested, and stops at
128. Python itself ends with 1 when something is wrong with it or with us, so
bad is another number here; bisect-step turns it into 1, and any number that
is not known into 128.
"""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path

import tools
from commits import Commits
from git_bisect import AGAIN
from host import run
from options import from_environment
from tree import build_lock
from trial import BAD, OF_THE_COMMIT, Tester
from verdict import Exit, Fail, run_verb

GOOD_COMMIT, BAD_COMMIT, CANNOT_TELL, STOP = 0, 64, 125, 128


def answer(code: Exit) -> int:
    """What bisect-step is to be told."""
    if code is Exit.OK:
        return GOOD_COMMIT
    if code in BAD:
        return BAD_COMMIT
    return CANNOT_TELL if code in OF_THE_COMMIT else STOP


def _named(kdir: Path, *names: str) -> str:
    """The first of these that the repository knows."""
    for name in names:
        done = run(["git", "-C", str(kdir), "rev-parse", "--quiet", "--verify", name])
        if done.returncode == 0:
            return done.stdout.strip()
    raise Fail(Exit.BAD_INPUT, f"{kdir} has no {names[-1]}", "run this in a kernel repository")


def main() -> Exit:
    options = from_environment(os.environ)
    # In a bare repository, where `git bisect` can work as well, there is no top.
    top = run(["git", "rev-parse", "--show-toplevel"]).stdout.strip()
    kdir = options.kdir or Path(top or Path.cwd())
    commit = _named(kdir, "BISECT_HEAD", "HEAD")
    with build_lock("bisect-step"):
        tools.require(options)
        commits = Commits(kdir)
        terms = run(["git", "-C", str(kdir), "bisect", "terms", "--term-bad"]).stdout.strip()
        commits.follow(_named(kdir, f"refs/bisect/{terms or 'bad'}", commit))
        tester = Tester(dataclasses.replace(options, kdir=kdir), commits)
        trial = tester.test(commit, options.repeat, AGAIN if options.repeat == 1 else 1)
    print(f"{commit[:12]} {trial.line()}")
    return trial.code


if __name__ == "__main__":
    run_verb(main, answer)
