# SPDX-License-Identifier: GPL-2.0
"""Test the commit that `git bisect run` has come to: git bisect run .../scripts/bisect-step

git wants 0 for good, 1 for bad, 125 for what cannot be tested, and stops at
128. Python itself ends with 1 when something is wrong with it or with us, so
bad is 64 here; scripts/bisect-step turns that into 1, and any number that is
not known into 128.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from base.locks import build_lock
from base.outcome import BAD, Exit, Fail
from base.process import run
from base.progress import result
from commits.bisection import AGAIN
from commits.repository import Commits
from commits.tester import Tester
from commits.trial import OF_THE_COMMIT
from guest import arguments
from guest.requirements import for_commits, require

GOOD_COMMIT, BAD_COMMIT, CANNOT_TELL, STOP = 0, 64, 125, 128


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--kdir", type=arguments.path, metavar="DIR",
                        help="the repository that is bisected (default: where this is run)")
    parser.add_argument("--repeat", type=arguments.count, default=1, metavar="N",
                        help="passes that make a commit good, for what fails now and then")
    arguments.add_for_commits(parser)


def tell(code: Exit) -> int:
    """What scripts/bisect-step is to be told."""
    if code is Exit.OK:
        return GOOD_COMMIT
    if code in BAD:
        return BAD_COMMIT
    return CANNOT_TELL if code in OF_THE_COMMIT else STOP


def _ask(kdir: Path, *arguments_: str) -> str:
    return run(["git", "--no-optional-locks", "-C", str(kdir), *arguments_]).stdout.strip()


def _named(kdir: Path, *names: str) -> str:
    """The first of these that the repository knows."""
    for name in names:
        found = _ask(kdir, "rev-parse", "--quiet", "--verify", name)
        if found:
            return found
    raise Fail(Exit.BAD_INPUT, f"{kdir} has no {names[-1]}", "run this in a kernel repository")


def _good(kdir: Path, otherwise: str) -> str:
    """A commit that is known to be good, if there is one."""
    term = _ask(kdir, "bisect", "terms", "--term-good") or "good"
    found = _ask(kdir, "for-each-ref", "--format=%(objectname)", f"refs/bisect/{term}-*").split()
    return found[0] if found else otherwise


def main(args: argparse.Namespace) -> Exit:
    setup = arguments.setup(args)
    # In a bare repository, where `git bisect` can work as well, there is no top.
    top = run(["git", "rev-parse", "--show-toplevel"]).stdout.strip()
    kdir = args.kdir or Path(top or Path.cwd())
    commit = _named(kdir, "BISECT_HEAD", "HEAD")
    with build_lock("suite bisect-step"):
        require(for_commits(setup, not args.no_sandbox), not args.no_install)
        commits = Commits(kdir)
        commits.see_that_all_is_there([commit])
        term = _ask(kdir, "bisect", "terms", "--term-bad") or "bad"
        commits.follow(_named(kdir, f"refs/bisect/{term}", commit))
        tester = Tester(setup, commits, _good(kdir, commit), not args.no_sandbox)
        trial = tester.test(commit, args.repeat, AGAIN if args.repeat == 1 else 1)
    result(f"{commit[:12]} {trial.line()}")
    for line in trial.remarks:
        result(line)
    return trial.code
