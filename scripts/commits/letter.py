# SPDX-License-Identifier: GPL-2.0
"""The table as a mail to a list: what broke, since when, how sure that is, how to see it.

The lines for regzbot are those of the kernel's own
Documentation/admin-guide/reporting-regressions.rst: the commit, or the range
from the last good one to the first bad one. Whom to send it to, and from whom
it is, is up to whoever sends it.
"""

from __future__ import annotations

import email.header
from typing import List

from base.outcome import Exit
from base.project import NAME
from commits.table import Failure, Row, Table, expectation, safe

VERBS = {Exit.CRASH.word: "crashes", Exit.HANG.word: "hangs"}
WIDTH = 200  # of a line that is quoted
HEAD = ("MIME-Version: 1.0", "Content-Type: text/plain; charset=utf-8",
        "Content-Transfer-Encoding: 8bit")


def _quoted(lines: List[str]) -> List[str]:
    """Indented, so that no line of somebody else's begins one of ours."""
    return [f"    {safe(line)[:WIDTH]}" for line in lines]


def introduced(table: Table, row: Row, failure: Failure) -> str:
    """The line for regzbot; empty, where there is nothing that it could track."""
    if table.mails:
        return ""
    good = table.rows[failure.passed]
    where = row.commit.short if good.number == row.number - 1 else \
        f"{good.commit.short}..{row.commit.short}"
    return f"#regzbot introduced: {where}"


def subject(table: Table) -> str:
    culprit = table.culprit
    if culprit and introduced(table, *culprit):
        row, failure = culprit
        return f"[REGRESSION] {safe(failure.case)} {VERBS.get(failure.state, 'fails')} since " \
            f"{row.title}"
    return f"{NAME}: {table.code.word}: {safe(table.what)}"


def _finding(table: Table, row: Row, failure: Failure, command: str) -> List[str]:
    since = table.rows[failure.passed]
    told = [f"First bad commit:\n\n    {row.title}\n",
            f"First case that it breaks: {safe(failure.case)}"]
    if since.number != row.number - 1:
        told.append(f"It passes on {since.commit.short}; the commits between the two say nothing "
                    "of it.")
    told += ["What was said of it:", "", *_quoted(expectation(row, failure)), ""]
    if table.seen:
        told += [*(f"{line[0].upper()}{line[1:]}." for line in table.seen.lines()), ""]
    told += ["To reproduce it:", "", f"    {command}", ""]
    line = introduced(table, row, failure)
    if line:
        told += [line, ""]
    elif table.mails:
        told += ["(The commits are made of mails, and have no id that regzbot could know.)", ""]
    return told


def letter(table: Table, command: str) -> bytes:
    """The mail; `command` is what reproduces the first failure, or the whole of it."""
    culprit = table.culprit
    told = [f"Tested: {safe(table.what)}"]
    told += [f"Base:   {table.rows[0].title}: {table.rows[0].trial.word}"] if table.rows else []
    told.append("")
    if culprit:
        told += _finding(table, *culprit, command)
    else:
        told += ["None of these commits is seen to break anything.", "",
                 "To reproduce it:", "", f"    {command}", ""]
    other = table.not_blamed()
    told += [*(f"{line[0].upper()}{line[1:]}" for line in other), *[""][:len(other)],
             "Each commit:", ""]
    for row in table.rows:
        told += [f"{row.place:>7}  {row.trial.word:<14}  {row.title}"[:WIDTH],
                 *(f"{'':25}{line}"[:WIDTH] for line in row.case_lines(3))]
    text = subject(table)
    head = email.header.Header(text, "us-ascii" if text.isascii() else "utf-8",
                               header_name="Subject").encode()
    return "\n".join([f"Subject: {head}", *HEAD, "", *told, ""]).encode()
