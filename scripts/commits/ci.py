# SPDX-License-Identifier: GPL-2.0
"""A verdict for each commit of a range, or for each mail of a series.

Nothing is written to --kdir. A commit that fails does not stop the rest;
trouble that is no commit's fault does, and a rerun goes on from there.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Callable, List, Optional, Tuple

from base.files import BUILD, REPO, write
from base.locks import build_lock
from base.outcome import Exit, Fail, from_os_error
from base.progress import result, say
from base.project import KERNEL
from commits import mails, review
from commits.chance import CERTAIN, Seen, look_again
from commits.command import for_mails, for_range
from commits.formats import as_b4
from commits.report import Report, write_letter
from commits.repository import Commit, Commits
from commits.table import ABSENT, BUILT, PASS, Row, Table, is_bad, states
from commits.tester import Tester
from commits.trial import Trial
from guest import arguments
from guest.requirements import for_commits, require

STDIN = Path("-")


@dataclass(frozen=True)
class Choice:
    """What is to be tested, as the user says it, and what is to be written of it."""

    kdir: Optional[Path] = None
    kernel: str = KERNEL
    range: str = ""
    mbox: Tuple[Path, ...] = ()
    base: str = ""
    report: bool = False
    format: str = "text"
    subject: Optional[str] = None  # of the one commit that b4 asks about


@dataclass(frozen=True)
class Chosen:
    """What that comes to."""

    commits: Commits
    base: Commit
    listed: List[str]  # the commits to test after it
    trouble: Optional[mails.Unapplied]  # why mails do not make more of them
    what: str


def _mbox(text: str) -> Path:
    return STDIN if text == str(STDIN) else arguments.path(text)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("what to test")
    group.add_argument("--range", default="", metavar="A..B",
                       help="the commits of --kdir that come after A, up to B")
    group.add_argument("--mbox", type=_mbox, nargs="+", default=[], metavar="FILE",
                       help="mails with patches: mailboxes, files or folders, or - for standard "
                       "input; on --kdir, or on the kernel that is fetched")
    group.add_argument("--base", default="", metavar="COMMIT",
                       help="the commit of --kdir that the mails were made on (default: HEAD)")
    group = parser.add_argument_group("what to write")
    group.add_argument("--report", action="store_true",
                       help="make sure of the first commit that breaks something, and write a "
                       "mail and a page of HTML about it")
    group.add_argument("--format", choices=["text", "b4"], default="text",
                       help="what to print: text, or the JSON that b4's review-series-check-cmd "
                       "and review-perpatch-check-cmd are to print")
    arguments.add_source(parser, "a git repository of Linux; it is only read")
    arguments.add_for_commits(parser)


def chosen(choice: Choice, repo: Path) -> Chosen:
    if choice.mbox and not choice.range:
        found = mails.files(choice.mbox)
        commits = Commits(choice.kdir, choice.kernel, repo)
        base, made, trouble = mails.onto(commits, choice.base, found)
        count = len(made) + (1 if trouble else 0)
        return Chosen(commits, _base(commits, base, choice), made, trouble,
                      f"{count} patch{'es'[:2 * (count != 1)]} from mails, applied to the base")
    if choice.range and choice.kdir and not choice.mbox:
        commits = Commits(choice.kdir, choice.kernel, repo)
        base, listed = commits.range(choice.range)
        commits.see_that_all_is_there([base, *listed])
        return Chosen(commits, _base(commits, base, choice), listed, None,
                      f"{len(listed)} commit{'s'[:len(listed) != 1]}, {choice.range}")
    raise Fail(Exit.BAD_INPUT, "it is not clear what to test",
               "./suite ci --kdir=~/linux --range=base..tip, or: ./suite ci --mbox series.mbx "
               "(on --kdir= and --base=, or on the kernel that is fetched)")


def _base(commits: Commits, base: str, choice: Choice) -> Commit:
    """The base, in words that mean something to others: one of ours has no history."""
    described = commits.describe(base)
    if choice.kdir:
        return described
    _, full = commits.overlay.version(base, "the kernel that is fetched")
    return dataclasses.replace(described, subject=f"Linux {full}, as Debian ships its source")


def ci(choice: Choice, folder: Path, make_tester: Callable[[Commits, str], Tester],
       repo: Path = REPO) -> Exit:
    found = chosen(choice, repo)
    commits, base, listed = found.commits, found.base, found.listed
    commits.say_what_is_ignored()
    commits.follow(listed[-1] if listed else base.id)
    # b4 wants standard output for itself.
    show = result if choice.format == "text" else say
    table = Table(len(listed) + (1 if found.trouble else 0), found.what, bool(choice.mbox))
    report = Report(folder, table, show)

    def describe(commit: str) -> Commit:
        return base if commit == base.id else commits.describe(commit)

    try:
        tester = make_tester(commits, base.id)
        with contextlib.closing(tester.trials([base.id, *listed], lambda commit: report.announce(
                describe(commit)))) as trials:
            for commit, trial in trials:
                report.add(describe(commit), trial)
        if found.trouble:
            report.add(Commit("", found.trouble.subject, ""),
                       Trial(found.trouble.code, found.trouble.what))
        if choice.report:
            _make_sure(tester, table)
            report.write()
    except (Fail, OSError) as error:
        fail = error if isinstance(error, Fail) else from_os_error(error)
        report.stop(fail.what)
        raise fail from None
    except KeyboardInterrupt:
        report.stop("interrupted")
        raise
    for line in table.summary():
        show(line)
    if choice.report:
        names = [path.name for path in choice.mbox]
        write_letter(folder, table, for_mails(
            tester.setup, table, names, bool(choice.kdir), choice.kernel) if choice.mbox
            else for_range(tester.setup, table), show)
    show(f"{table.code.word}: see {os.path.relpath(folder)}/"
         + ("; * is from an earlier run" if any(row.trial.known for row in table.rows) else ""))
    if choice.format == "b4":
        result(as_b4(table, choice.subject).rstrip())
    return table.code


def _make_sure(tester: Tester, table: Table) -> None:
    """Boot again until there is a culprit that is sure, or none."""
    while table.culprit and not table.seen:
        row, failure = table.culprit
        if failure.case == BUILT:  # a compiler has no moods
            return
        say(f"-- making sure of {row.commit.short}")
        table.make_sure(_look_again(tester, row, table.rows[failure.passed], failure.case))


def _look_again(tester: Tester, row: Row, passed: Row, case: str) -> Seen:
    """Boot the commit that breaks a case, and the last that does not."""
    with contextlib.closing(tester.boots(row.commit.id)) as bad, \
            contextlib.closing(tester.boots(passed.commit.id)) as before:
        return look_again(bad, before, lambda trial: is_bad(states(trial).get(case, ABSENT)),
                          lambda trial: states(trial).get(case) == PASS,
                          lambda failed: say(f"{case} failed {failed} of {CERTAIN} times: finding "
                                             "out how often it does"))


def main(args: argparse.Namespace) -> Exit:
    setup = arguments.setup(args)
    choice = Choice(args.kdir, args.kernel, args.range, tuple(args.mbox), args.base, args.report,
                    args.format)
    with build_lock("suite ci"):
        require(for_commits(setup, not args.no_sandbox), not args.no_install)
        if STDIN in choice.mbox:
            mail = sys.stdin.buffer.read()
            choice = _from_stdin(choice, mail)
            if choice.format == "b4" and choice.mbox and not review.is_patch(mail):
                result("[]")  # by b4's words, "nothing to report for this message"
                return Exit.OK
        return ci(choice, BUILD / "results" / "ci", lambda commits, base: Tester(
            setup, commits, base, not args.no_sandbox))


def _from_stdin(choice: Choice, mail: bytes) -> Choice:
    """What a mail on standard input comes to; one of b4's may be a part of a series."""
    held = BUILD / "ci" / "stdin.mbx"
    write(held, mail)
    choice = dataclasses.replace(choice, mbox=tuple(
        held if path == STDIN else path for path in choice.mbox))
    series = review.tracked() if choice.format == "b4" and choice.kdir else None
    if not series:
        return choice
    return dataclasses.replace(
        choice, mbox=(), range="..".join(series),
        subject=review.subject_of(mail) if review.is_patch(mail) else None)
