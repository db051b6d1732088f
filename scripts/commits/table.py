# SPDX-License-Identifier: GPL-2.0
"""What came of many commits, case by case, and whose doing each failure is.

This is all that is known; how it is shown is up to formats.py, letter.py and
page.py.
"""

from __future__ import annotations

import dataclasses
import enum
import re
from pathlib import Path
from typing import Dict, List, Optional, Sequence, Tuple

from base.outcome import BAD, Exit
from commits.chance import Seen
from commits.repository import Commit
from commits.trial import Trial, assertion, changed
from guest.boot import printable

# The worst comes first. Nothing is said about commits without the feature,
# unless there are no others.
BY_WEIGHT = (Exit.MISSING, Exit.BAD_INPUT, Exit.CRASH, Exit.HANG, Exit.BUILD, Exit.PATCH,
             Exit.CASE_FAILED, Exit.OK, Exit.NO_FEATURE)
# What has a state beside the cases. (Those have a dot in their names.)
BUILT, BOOT, CONSOLE = "build", "boot", "console"
PASS, ABSENT = "PASS", "absent"
SAYS_NOTHING = ("SKIP", ABSENT)  # about whether the kernel is right
SHOWN = 5  # cases of a commit; the JSON and the page have them all


def worst(codes: Sequence[Exit]) -> Exit:
    return min(codes, key=BY_WEIGHT.index)


def safe(text: str) -> str:
    """One line of what somebody else wrote, without what a reader of it could obey.

    A terminal obeys control characters, and regzbot what begins with its name.
    """
    line = "".join(letter if letter.isprintable() else " " for letter in printable(text))
    return re.sub(r"#(?=\s*regzbot)", "# ", line, flags=re.IGNORECASE)


def is_bad(state: str) -> bool:
    return state != PASS and state not in SAYS_NOTHING


def states(trial: Trial) -> Dict[str, str]:
    """The state of all that was tried, in the order in which it was."""
    if trial.code in (Exit.PATCH, Exit.BUILD):
        return {BUILT: trial.word}
    if trial.code is Exit.OK:
        return {BUILT: PASS, BOOT: PASS, CONSOLE: PASS, **trial.cases}
    if trial.code not in BAD:
        return {}
    if trial.code is not Exit.CASE_FAILED:
        return {BUILT: PASS, BOOT: trial.word, **trial.cases}
    # Of a boot with a failed case, nothing is known of what else was on the console.
    console = {} if any(map(is_bad, trial.cases.values())) else {CONSOLE: trial.word}
    return {BUILT: PASS, BOOT: PASS, **console, **trial.cases}


class Judged(enum.Enum):
    """Whose doing a failure is."""

    BROKEN = "broken"  # by this commit, or by those before it that say nothing of it
    SINCE = "since"  # by an earlier one
    BASE = "base"
    UNKNOWN = "unknown"


@dataclasses.dataclass(frozen=True)
class Failure:
    """A case (or build, boot, console) that is bad on a commit."""

    case: str
    state: str
    judged: Judged
    text: str
    passed: int = -1  # the last commit before it where it passes, by its number


@dataclasses.dataclass(frozen=True)
class Row:
    """A commit and what came of it."""

    number: int  # 0 is the base
    place: str
    commit: Commit
    trial: Trial
    changed: List[Tuple[str, str, str]]  # against the last that ran: case, before, after
    failures: List[Failure]
    folder: Path

    @property
    def title(self) -> str:
        """As kernel developers write it. A mail that does not apply has no id."""
        subject = f'("{safe(self.commit.subject)}")'
        return f"{self.commit.short} {subject}" if self.commit.id else subject

    @property
    def broken(self) -> List[Failure]:
        return [failure for failure in self.failures if failure.judged is Judged.BROKEN]

    @property
    def judged(self) -> str:
        """What the failures say of the commit, all together."""
        texts = list(dict.fromkeys(failure.text for failure in self.broken or self.failures))
        return "".join(texts[:1]) + (", and others" if texts[1:] else "")

    def case_lines(self, most: Optional[int] = None) -> List[str]:
        """Each failure and whose doing it is, and each other case that is not as before."""
        before = {case: old for case, old, _ in self.changed}
        told = [f"{failure.case}: "
                + (f"{before[failure.case]} -> " if failure.case in before else "")
                + f"{failure.state}, {failure.text}"
                for failure in sorted(self.failures, key=lambda one: one not in self.broken)]
        failed = {failure.case for failure in self.failures}
        if not self.trial.got_to:  # all that come after a crash are absent, which is no news
            told += [f"{case}: {old} -> {new}" for case, old, new in self.changed
                     if case not in failed]
        if most is not None and len(told) > most:
            told = [*told[:most], f"and {len(told) - most} more cases"]
        return list(map(safe, told))

    def details(self) -> List[str]:
        trial = self.trial
        found = [] if trial.code is Exit.OK else trial.line().splitlines()[:12]
        found += [line for line in (trial.where, trial.got_to) if line]
        return [*map(safe, found), *self.case_lines(SHOWN), *trial.remarks]


class Table:
    """The rows so far; that of the base first."""

    def __init__(self, count: int, what: str, mails: bool = False) -> None:
        self.count = count
        self.what = what  # is tested
        self.mails = mails  # so that the commits are nobody's but ours
        self.rows: List[Row] = []
        self.stopped = ""
        self.seen: Optional[Seen] = None  # of the first that is broken
        self._ran: Dict[str, str] = {}  # the cases as they were when they last did

    @property
    def complete(self) -> bool:
        return len(self.rows) == self.count + 1

    @property
    def code(self) -> Exit:
        """The base is for comparison: it is not what is judged."""
        return worst([row.trial.code for row in self.rows[1:]] or [Exit.MISSING]) \
            if self.complete and not self.stopped else Exit.MISSING

    def place(self, number: int) -> str:
        return f"{number}/{self.count}" if number else "base"

    def add(self, commit: Commit, trial: Trial, folder: Path) -> Row:
        number = len(self.rows)
        row = Row(number, self.place(number), commit, trial,
                  changed(self._ran, trial.cases) if self._ran and trial.cases else [],
                  [self._judge(case, state) for case, state in states(trial).items()
                   if is_bad(state)], folder)
        self.rows.append(row)
        # A boot that did not come to its end says nothing of the cases that it did not get to.
        self._ran = {**self._ran, **trial.cases} if trial.code in (Exit.CRASH, Exit.HANG) \
            else trial.cases or self._ran
        return row

    def _judge(self, case: str, state: str) -> Failure:
        """Whose doing a failure of the next commit is: those before it tell."""
        here = len(self.rows)
        since = here  # when it began
        for row in reversed(self.rows):
            before = states(row.trial).get(case, ABSENT)
            if before == PASS:
                return self._after(case, state, row.number, since)
            if is_bad(before):
                since = row.number
        if not here:
            return Failure(case, state, Judged.BASE, "fails on the base")
        if since == 0:
            return Failure(case, state, Judged.BASE, "fails on the base too")
        return Failure(case, state, Judged.UNKNOWN,
                       "nothing before it to compare with" if since == here else
                       f"fails since {self.rows[since].commit.short}, with nothing before that "
                       "to compare with")

    def _after(self, case: str, state: str, passed: int, since: int) -> Failure:
        if since < len(self.rows):
            return Failure(case, state, Judged.SINCE, f"fails since "
                           f"{self.rows[since].commit.short}", passed)
        text = "broken by this" if passed == since - 1 else \
            f"broken after {self.rows[passed].commit.short}, by this or one that says nothing " \
            "of it"
        return Failure(case, state, Judged.BROKEN, text, passed)

    @property
    def culprit(self) -> Optional[Tuple[Row, Failure]]:
        """The first commit that breaks something, and the first case that it breaks."""
        return next(((row, row.broken[0]) for row in self.rows[1:] if row.broken), None)

    @property
    def cases(self) -> List[str]:
        """All that any commit has a state of."""
        return list(dict.fromkeys(case for row in self.rows for case in states(row.trial)))

    def not_blamed(self) -> List[str]:
        """What fails without being any of these commits' doing, for all that is known."""
        told: List[str] = []
        for judged, words in ((Judged.BASE, "fails on the base too"),
                              (Judged.UNKNOWN, "fails, and it is not known since when")):
            cases = dict.fromkeys(
                failure.case + (f" ({failure.text})" if judged is Judged.UNKNOWN else "")
                for row in self.rows[1:] for failure in row.failures if failure.judged is judged)
            if cases:
                told.append(f"{words}: {_some(list(cases))}")
        return told

    def make_sure(self, seen: Seen) -> None:
        """Take in what more boots have told of the culprit; that may acquit it."""
        assert self.culprit
        row, failure = self.culprit
        if seen.sure:
            self.seen = seen
            return
        text = f"fails now and then, on {self.rows[failure.passed].commit.short} too" \
            if seen.failed else f"failed once, then in none of {seen.boots} boots"
        for later in self.rows[row.number:]:
            later.failures[:] = [
                dataclasses.replace(one, judged=Judged.UNKNOWN, text=text, passed=-1)
                if (one.case, one.passed) == (failure.case, failure.passed) else one
                for one in later.failures]

    def summary(self) -> List[str]:
        """Base and outcome, in a few lines that stand alone."""
        told = [f"tested: {safe(self.what)}"]
        if self.rows:
            base = self.rows[0]
            told.append(f"base: {base.title}: {base.trial.word}")
        culprit = self.culprit
        if culprit:
            row, failure = culprit
            once = "" if self.seen or failure.case == BUILT else "; each was booted once"
            told.append(f"first bad commit: {row.title}: {safe(failure.case)} {failure.text}"
                        f"{once}")
        told += self.seen.lines() if self.seen else []
        told += self.not_blamed()
        if self.stopped:
            told.append(f"stopped: {safe(self.stopped)}")
        return told


def expectation(row: Row, failure: Failure) -> List[str]:
    """What KUnit, or the kernel, says of a failure: file, line and text."""
    told = assertion(row.trial.log, failure.case) if "." in failure.case else ""
    lines = told.splitlines() or [*row.trial.line().splitlines()[:12], row.trial.where,
                                  row.trial.got_to]
    return [safe(line).strip() for line in lines if line.strip()]


def _some(cases: List[str]) -> str:
    more = len(cases) - SHOWN
    return safe(", ".join(cases[:SHOWN])) + (f" and {more} more" if more > 0 else "")
