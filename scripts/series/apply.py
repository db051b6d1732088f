# SPDX-License-Identifier: GPL-2.0
"""Put the series into a kernel tree of yours: all of it, or nothing.

A git tree gets one commit per patch, by `git am`; any other tree gets the
finished files. A tree with uncommitted changes is refused.
"""

from __future__ import annotations

import argparse

from base.locks import build_lock
from base.outcome import Exit
from base.project import ARCH, HOW_TO_RUN
from guest import arguments
from guest.requirements import GIT, require
from series.am import apply
from series.worktree import resolved


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--kdir", type=arguments.path, metavar="DIR", required=True,
                        help="the tree that is changed")
    arguments.add_install(parser)


def main(args: argparse.Namespace) -> Exit:
    kdir = resolved(args.kdir)
    with build_lock("suite apply"):
        require(GIT, not args.no_install)
        apply(kdir, ARCH)
    print(f"applied to {kdir}; to run the suites there:\n  {HOW_TO_RUN.format(arch=ARCH)}")
    return Exit.OK
