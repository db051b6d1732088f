# SPDX-License-Identifier: GPL-2.0
"""Put bugs that Linux really had back, one at a time, and see which case notices.

Each patch in history/ has one of them, and says in which configuration it can
be noticed. Results are kept as they come: cut short, the same command goes on
from there.
"""

from __future__ import annotations

import argparse
import os

from base.files import write
from base.locks import build_lock
from base.outcome import Exit
from base.progress import result
from base.project import KERNEL
from guest import arguments
from guest.requirements import for_kernels, require
from guest.setup import Setup
from history.bugs import bugs, matching
from history.campaign import FOLDER, NEEDS, Campaign
from history.result import as_json, complaints, summary
from series.worktree import Source


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("patterns", nargs="*", default=["*"], metavar="PATTERN",
                        help="which bugs: `*` in it stands for anything, as in 'vm_*' "
                        "(default: all)")
    arguments.add_install(parser)


def main(args: argparse.Namespace) -> Exit:
    setup, wanted = Setup(), matching(bugs(), args.patterns)
    with build_lock("suite history"):
        require([*for_kernels(setup), *NEEDS], not args.no_install)
        results = Campaign(Source(KERNEL), setup).run(wanted, lambda found: result(found.row()))
        write(FOLDER / "report.json", as_json(results))
    found = complaints(results)
    for line in (*found, summary(results), f"see {os.path.relpath(FOLDER / 'report.json')}"):
        result(line)
    return Exit.CASE_FAILED if found else Exit.OK
