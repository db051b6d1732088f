# SPDX-License-Identifier: GPL-2.0
"""Make a kernel tree with the series applied; the last line printed is its path.

The tree lies below build/tree/: the fetched kernel, or --kdir as it is now,
uncommitted changes included. What you edit in there stays.
"""

from __future__ import annotations

import argparse

from base.locks import build_lock
from base.outcome import Exit
from guest import arguments
from guest.requirements import FETCH, GIT, require
from series.worktree import prepare


def add_arguments(parser: argparse.ArgumentParser) -> None:
    arguments.add_source(parser)
    arguments.add_fixes(parser)
    arguments.add_install(parser)


def main(args: argparse.Namespace) -> Exit:
    source = arguments.source(args)
    with build_lock("suite tree"):
        require([*GIT, *FETCH], not args.no_install)
        print(prepare(source).path)
    return Exit.OK
