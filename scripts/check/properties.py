# SPDX-License-Identifier: GPL-2.0
"""List what the cases check, sentence by sentence, as Documentation/mm has it."""

from __future__ import annotations

import argparse

from base.files import REPO, write
from base.outcome import Exit, Fail
from base.progress import say
from check import cases


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--write", action="store_true", help=f"bring {cases.DOCUMENT} up to date")


def main(args: argparse.Namespace) -> Exit:
    found = cases.in_repository(REPO)
    wrong = cases.complaints(found)
    if wrong:
        raise Fail(Exit.BAD_INPUT, "\n".join(wrong), "state the property above each case, in one "
                   "full sentence")
    if args.write:
        write(REPO / cases.DOCUMENT, cases.render(found).encode())
        say(f"wrote {cases.DOCUMENT}")
    else:
        print(cases.render(found), end="")
    return Exit.OK
