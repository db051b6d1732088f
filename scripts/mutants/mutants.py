# SPDX-License-Identifier: GPL-2.0
"""Break the feature in every small way, one at a time, and see that a case notices.

What is broken is what the feature's patch adds or changes. One kernel holds
all mutants; a boot has one of them alive, and --jobs run at a time. Results
are kept as they come: cut short, the same command goes on from there. A
mutant that no case notices is a gap, and printed, unless
scripts/mutants/equivalent tells why none can.
"""

from __future__ import annotations

import argparse
import os

from base.locks import build_lock
from base.outcome import Exit
from base.progress import result
from guest import arguments
from guest.requirements import for_kernels, require
from mutants import report
from mutants.campaign import FOLDER, NEEDS, Campaign, matching
from mutants.result import complaints, judged, summary


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("pattern", nargs="?", default="*", metavar="PATTERN",
                        help="which of them: `*` in it stands for anything, as in "
                        "'scan_movable_pages: *' (default: all)")
    parser.add_argument("--first", action="store_true",
                        help="end each boot at the first case that fails")
    arguments.add_source(parser)
    arguments.add_build(parser)
    arguments.add_install(parser)


def main(args: argparse.Namespace) -> Exit:
    setup, source = arguments.setup(args), arguments.source(args)
    with build_lock("suite mutants"):
        require([*for_kernels(setup), *NEEDS], not args.no_install)
        campaign = Campaign(source, setup, args.first)
        wanted = matching(campaign.mutants, args.pattern)
        campaign.build()
        results = judged(campaign.run(wanted), campaign.excused)
        lines = summary(results, setup.jobs)
        report.save(FOLDER, {"summary": lines}, results, campaign.changes, campaign.guests.order)
    found = complaints(results, campaign.excused)
    for line in (*found, *lines, f"see {os.path.relpath(FOLDER / 'index.html')}"):
        result(line)
    return Exit.CASE_FAILED if found else Exit.OK
