# SPDX-License-Identifier: GPL-2.0
"""Find the commit between --good and --bad that breaks a case, and make sure of it.

git bisects, in a repository of ours; --kdir is only read. What a regression
does only now and then is taken into account.
"""

from __future__ import annotations

import argparse

from base.files import BUILD
from base.locks import build_lock
from base.outcome import Exit
from commits.bisection import bisect
from commits.tester import Tester
from guest import arguments
from guest.requirements import for_commits, require


def add_arguments(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("what to bisect")
    group.add_argument("--kdir", type=arguments.path, metavar="DIR", required=True,
                       help="a git repository of Linux; it is only read")
    group.add_argument("--good", metavar="COMMIT", required=True, help="a commit that passes")
    group.add_argument("--bad", metavar="COMMIT", required=True,
                       help="a later commit that does not")
    parser.add_argument("--report", action="store_true",
                        help="write a mail and a page of HTML about what is found")
    arguments.add_for_commits(parser)


def main(args: argparse.Namespace) -> Exit:
    setup = arguments.setup(args)
    with build_lock("suite bisect"):
        require(for_commits(setup, not args.no_sandbox), not args.no_install)
        found = bisect(args.kdir, args.good, args.bad, BUILD / "results" / "bisect",
                       lambda commits, good: Tester(setup, commits, good, not args.no_sandbox),
                       report=args.report)
    return Exit.OK if found.sure else Exit.CASE_FAILED
