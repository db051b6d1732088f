# SPDX-License-Identifier: GPL-2.0
"""Break the kernel in every small way, one at a time, and see that a case notices.

What is broken is what the feature's patch adds or changes; or with --whole,
all of the files that are about memory hotplug; or what a series of yours
touches, which is built and run for that without a sandbox. One kernel holds
all mutants; a boot has one of them alive, and --jobs run at a time. Results
are kept as they come: cut short, the same command goes on from there. A
mutant that no case notices is a gap, and printed, unless the compiler makes
the same code of it, or scripts/mutants/equivalent tells why none can.
"""

from __future__ import annotations

import argparse
import os

from base.locks import build_lock
from base.outcome import Exit, Fail
from base.progress import result
from guest import arguments
from guest.requirements import for_kernels, require
from mutants import report
from mutants.campaign import FOLDER, NEEDS, Campaign, matching, part
from mutants.result import complaints, judged, summary
from mutants.scope import Scope, of_feature, of_files, of_series
from series.worktree import Source


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("pattern", nargs="?", default="*", metavar="PATTERN",
                        help="which of them: `*` in it stands for anything, as in "
                        "'scan_movable_pages: *' (default: all)")
    parser.add_argument("--first", action="store_true",
                        help="end each boot at the first case that fails")
    parser.add_argument("--shard", type=arguments.share, default=(1, 1), metavar="I/N",
                        help="try the I-th of N parts, to spread a campaign over machines")
    group = parser.add_argument_group("what to break").add_mutually_exclusive_group()
    group.add_argument("--whole", action="store_true",
                       help="the files that scripts/mutants/files names, as a whole")
    group.add_argument("--range", default="", metavar="A..B",
                       help="what the commits of --kdir touch that come after A, up to B")
    group.add_argument("--mbox", type=arguments.path, nargs="+", default=[], metavar="FILE",
                       help="what mails with patches touch: mailboxes, files or folders; on "
                       "--kdir, or on the kernel that is fetched")
    parser.add_argument("--base", default="", metavar="COMMIT",
                        help="the commit of --kdir that the mails were made on (default: HEAD)")
    arguments.add_source(parser)
    arguments.add_build(parser)
    arguments.add_install(parser)


def _scope(args: argparse.Namespace, source: Source) -> Scope:
    if args.range and not source.kdir or args.base and not args.mbox:
        raise Fail(Exit.BAD_INPUT, "it is not clear what to break",
                   "--range needs --kdir, and --base is for --mbox")
    if args.range or args.mbox:
        return of_series(source, args.range, args.mbox, args.base)
    return of_files(source) if args.whole else of_feature(source)


def main(args: argparse.Namespace) -> Exit:
    setup, source = arguments.setup(args), arguments.source(args)
    with build_lock("suite mutants"):
        require([*for_kernels(setup), *NEEDS], not args.no_install)
        campaign = Campaign(_scope(args, source), setup, args.first)
        wanted = part(matching(campaign.mutants, args.pattern), *args.shard)
        campaign.build()
        results = judged(campaign.run(wanted), campaign.excused)
        lines = summary(results, setup.jobs)
        report.save(FOLDER, {"what": campaign.scope.what, "summary": lines}, results,
                    campaign.scope.changes, campaign.guests.order)
    found = complaints(results, campaign.excused)
    for line in (*found, *lines, f"see {os.path.relpath(FOLDER / 'index.html')}"):
        result(line)
    return Exit.CASE_FAILED if found else Exit.OK
