# SPDX-License-Identifier: GPL-2.0
"""Boot one kernel again and again, each time in another order and on another machine.

The order of the suites, and of the cases of each, is shuffled; CPUs and memory
alternate, and in every other boot threads allocate and free memory beside the
suites; and there are three guests for each processor of this machine at a
time. Cases that fail only now and then are listed with their consoles, and so
is what as many clean boots prove. Results are kept as they come: cut short,
the same command goes on from there. `--replay N` boots the N-th again.
"""

from __future__ import annotations

import argparse
import os
from typing import Dict

from base.files import write
from base.locks import build_lock
from base.outcome import Exit
from base.progress import result
from guest import arguments, job
from guest.requirements import for_kernels, programs, require
from matrix.boots import Soak
from matrix.flakes import Ended, as_json, exit_code, summary

BOOTS = 100


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--boots", type=arguments.count, default=BOOTS, metavar="N",
                        help="how many, those of earlier runs among them (default: %(default)s)")
    parser.add_argument("--replay", type=arguments.count, metavar="N",
                        help="boot the N-th again, alone")
    arguments.add_source(parser)
    arguments.add_fixes(parser)
    arguments.add_build(parser, build_dir=False)
    arguments.add_install(parser)


def main(args: argparse.Namespace) -> Exit:
    setup, source = arguments.setup(args), arguments.source(args)
    folder = job.results_folder(f"soak-{setup.config}", setup.arch, source)
    with build_lock("suite soak"):
        require([*for_kernels(setup), *programs(("setpriv", "util-linux"))], not args.no_install)
        soak = Soak(source, setup, folder)
        if args.replay:
            ended = soak.replay(args.replay)
            result(ended.line())
            return ended.code
        found: Dict[int, Ended] = soak.run(args.boots, lambda ended: result(ended.line()))
        write(folder / "report.json", as_json(found))
    for line in summary(found):
        result(line)
    result(f"see {os.path.relpath(folder)}/")
    return exit_code(found)
