# SPDX-License-Identifier: GPL-2.0
"""Write the series as mails, with a cover letter, in your name: ready for b4 or git send-email.

They apply to --kdir at its HEAD, or to the fetched kernel, and say so in base-commit.
--prove builds each of the commits at W=1, boots it, and runs the suites that it has.
"""

from __future__ import annotations

import argparse
import os

from base.files import BUILD, REPO
from base.locks import build_lock
from base.outcome import Exit, Fail
from base.progress import result, say
from check.proof import prove
from guest import arguments
from guest.requirements import FETCH, GIT, for_kernels, require
from guest.setup import Setup
from series.mailing import LETTER, applied, commit_all, sender, write_mails

FOLDER = BUILD / "results" / "series"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    arguments.add_source(parser, "a git repository of Linux; its HEAD is the base, and it is "
                         "only read")
    arguments.add_fixes(parser)
    parser.add_argument("--prove", action="store_true",
                        help="build and boot every commit; takes some minutes")
    arguments.add_install(parser)


def main(args: argparse.Namespace) -> Exit:
    source = arguments.source(args)
    with build_lock("suite series"):
        require([*GIT, *FETCH, *(for_kernels(Setup()) if args.prove else ())],
                not args.no_install)
        by = sender(args.kdir or REPO)
        series = commit_all(source, by)
        for note in series.notes:
            say(note)
        mails = write_mails(series, LETTER.read_text(), FOLDER / f"v{series.version}")
        wrong = applied(series, mails, BUILD / "check" / "series.index")
        if wrong:
            raise Fail(Exit.PATCH, wrong, "report it with the kernel that it was for")
        failed = args.prove and any(proof.complaint for proof in prove(
            series, FOLDER / f"v{series.version}"))
    result(f"{len(mails) - 1} patches and a cover letter from {by.who} in "
           f"{os.path.relpath(mails[0].parent)}/")
    return Exit.CASE_FAILED if failed else Exit.OK
