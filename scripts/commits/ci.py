# SPDX-License-Identifier: GPL-2.0
"""A verdict for each commit of a range, or for each mail of a series.

Nothing is written to --kdir. A commit that fails does not stop the rest;
trouble that is no commit's fault does, and a rerun goes on from there.
"""

from __future__ import annotations

import argparse
import contextlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Callable, List, Optional, Tuple

from base.files import BUILD, REPO
from base.locks import build_lock
from base.outcome import Exit, Fail, from_os_error
from base.progress import result
from base.project import KERNEL
from commits import mails
from commits.report import Report
from commits.repository import Commit, Commits
from commits.tester import Tester
from commits.trial import Trial
from guest import arguments
from guest.requirements import for_commits, require


@dataclass(frozen=True)
class Choice:
    """What is to be tested, as the user says it."""

    kdir: Optional[Path] = None
    kernel: str = KERNEL
    range: str = ""
    mbox: Tuple[Path, ...] = ()
    base: str = ""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("what to test")
    group.add_argument("--range", default="", metavar="A..B",
                       help="the commits of --kdir that come after A, up to B")
    group.add_argument("--mbox", type=arguments.path, nargs="+", default=[], metavar="FILE",
                       help="mails with patches: mailboxes, files or folders; on --kdir, or on "
                       "the kernel that is fetched")
    group.add_argument("--base", default="", metavar="COMMIT",
                       help="the commit of --kdir that the mails were made on (default: HEAD)")
    arguments.add_source(parser, "a git repository of Linux; it is only read")
    arguments.add_for_commits(parser)


def chosen(choice: Choice, repo: Path) -> Tuple[Commits, str, List[str],
                                                 Optional[mails.Unapplied]]:
    """What is to be tested: the base, the commits, and why mails do not make more of them."""
    if choice.mbox and not choice.range:
        found = mails.files(choice.mbox)
        commits = Commits(choice.kdir, choice.kernel, repo)
        base = commits.resolve(choice.base or commits.head, f"--base={choice.base}")
        commits.see_that_all_is_there([base])
        made, trouble = mails.apply(commits, base, found)
        return commits, base, made, trouble
    if choice.range and choice.kdir and not choice.mbox:
        commits = Commits(choice.kdir, choice.kernel, repo)
        base, listed = commits.range(choice.range)
        commits.see_that_all_is_there([base, *listed])
        return commits, base, listed, None
    raise Fail(Exit.BAD_INPUT, "it is not clear what to test",
               "./suite ci --kdir=~/linux --range=base..tip, or: ./suite ci --mbox series.mbx "
               "(on --kdir= and --base=, or on the kernel that is fetched)")


def ci(choice: Choice, folder: Path, make_tester: Callable[[Commits, str], Tester],
       repo: Path = REPO) -> Exit:
    commits, base, listed, trouble = chosen(choice, repo)
    commits.say_what_is_ignored()
    commits.follow(listed[-1] if listed else base)
    report = Report(folder, len(listed) + (1 if trouble else 0))
    try:
        tester = make_tester(commits, base)
        with contextlib.closing(tester.trials([base, *listed], lambda commit: report.announce(
                commits.describe(commit)))) as trials:
            for commit, trial in trials:
                report.add(commits.describe(commit), trial)
        if trouble:
            report.add(Commit("", trouble.subject, ""), Trial(trouble.code, trouble.what))
    except (Fail, OSError) as error:
        fail = error if isinstance(error, Fail) else from_os_error(error)
        report.write(fail.what)
        raise fail from None
    except KeyboardInterrupt:
        report.write("interrupted")
        raise
    result(f"{report.code.word}: see {os.path.relpath(folder)}/"
           + ("; * is from an earlier run" if any(row.trial.known for row in report.rows) else ""))
    return report.code


def main(args: argparse.Namespace) -> Exit:
    setup = arguments.setup(args)
    with build_lock("suite ci"):
        require(for_commits(setup, not args.no_sandbox), not args.no_install)
        return ci(Choice(args.kdir, args.kernel, args.range, tuple(args.mbox), args.base),
                  BUILD / "results" / "ci", lambda commits, base: Tester(
                      setup, commits, base, not args.no_sandbox))
