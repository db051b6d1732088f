# SPDX-License-Identifier: GPL-2.0
"""Between two commits, a good one and a bad one: finds the one that breaks a case.

git bisects, in our repository. What a regression does only now and then is
taken into account: the bad end says how often, and a commit has to pass so
many times in a row that hardly any is called good by chance.
"""

from __future__ import annotations

import dataclasses
import itertools
import json
import os
import re
import shutil
import time
from pathlib import Path
from typing import Callable, List, Optional, Tuple

from base.files import REPO, fresh, write
from base.outcome import BAD, Exit, Fail
from base.progress import result, say
from commits.chance import CERTAIN, Seen, repeats, sample
from commits.command import for_range
from commits.report import write_letter
from commits.repository import Commit, Commits
from commits.table import Table, worst
from commits.tester import Tester
from commits.trial import OF_THE_COMMIT, Trial, assertion

AGAIN = 2  # if the bad end always fails, so must any bad commit; once may be an accident
DONE = re.compile(r"^([0-9a-f]{40,64}) is the first bad commit", re.MULTILINE)
LEFT = re.compile(r"The first bad commit could be any of:\n((?:[0-9a-f]{40,64}\n)+)")
ROUGHLY = re.compile(r"\(roughly (\d+) steps?\)")


@dataclasses.dataclass
class Found:
    """The culprit, and how sure that is."""

    commit: Commit
    parent: Commit
    trial: Trial
    before: Trial  # of the parent
    seen: Seen
    reverted: str
    sure: bool
    steps: int

    @property
    def bad(self) -> str:
        return f"{self.seen.failed} of {self.seen.boots}"

    @property
    def good(self) -> str:
        return f"{self.seen.passed} of {self.seen.before}"


class Bisection:
    """Between two commits; every step's outcome is remembered by Tester."""

    def __init__(self, commits: Commits, tester: Tester, good: str, bad: str) -> None:
        self.commits = commits
        self.tester = tester
        self.good, self.bad = good, bad
        self.repeat = 1
        self.failed_of = (0, 0)  # of so many boots of the bad end
        self.trial_of_bad: Optional[Trial] = None
        self.steps: List[Tuple[str, Trial]] = []

    def check_ends(self) -> None:
        """The ends have to be what they are called."""
        count = len(self.commits.between(self.good, self.bad))
        good = self._test(self.good)
        self._expect_good(good)
        boots = self.tester.boots(self.bad)
        trials_of_bad = sample(boots, lambda trial: trial.code in BAD, lambda failed: say(
            f"{self.bad[:12]} failed {failed} of {CERTAIN} times: finding out how often it does"))
        failed = sum(trial.code in BAD for trial in trials_of_bad)
        self.trial_of_bad = next((trial for trial in trials_of_bad if trial.code in BAD),
                                 trials_of_bad[0])
        if not failed:
            raise Fail(Exit.BAD_INPUT, f"--bad={self.bad[:12]} passes, {len(trials_of_bad)} times "
                       "in a row", "pass a commit that fails; ./suite ci says which do")
        self.failed_of = failed, len(trials_of_bad)
        self.repeat = repeats(failed, len(trials_of_bad), count)
        say(f"{self.bad[:12]} failed {failed} of {len(trials_of_bad)} times; a commit is good if "
            "it passes " + (f"{self.repeat} times" if self.repeat > 1 else "once"))
        self._expect_good(self._test(self.good))

    def _expect_good(self, trial: Trial) -> None:
        if trial.code is not Exit.OK:
            raise Fail(Exit.BAD_INPUT, f"--good={self.good[:12]} is not good: {trial.line()}",
                       self._begin_later() if trial.code is Exit.NO_FEATURE else
                       "pass a commit that passes; ./suite ci says which do")

    def _begin_later(self) -> str:
        first = self.commits.first_with_feature(self.good, self.bad)
        return f"begin with the commit that brings it: --good={first[:12]}"

    def _test(self, commit: str) -> Trial:
        return self.tester.test(commit, self.repeat, AGAIN if self.repeat == 1 else 1)

    def run(self) -> str:
        """Let git choose, until it knows the first bad commit."""
        ours = self.commits.ours.git
        self.commits.bisect("reset")
        ours("update-ref", "--no-deref", "HEAD", self.bad)
        said = self.commits.bisect("start", "--no-checkout", self.bad, self.good)
        while True:
            found, left = DONE.search(said), LEFT.search(said)
            if found:
                return found.group(1)
            if left:
                raise self._undecided(left.group(1).split())
            commit = ours("rev-parse", "BISECT_HEAD").strip()
            subject = self.commits.describe(commit).subject
            roughly = ROUGHLY.search(said)
            say(f"-- step {len(self.steps) + 1}"
                + (f", about {roughly.group(1)} more after it" if roughly else "")
                + f": {subject}")
            trial = self._test(commit)
            result(f"{commit[:12]}  {trial.columns} {subject}")
            self.steps.append((commit, trial))
            word = "good" if trial.code is Exit.OK else "bad" if trial.code in BAD else "skip"
            said = self.commits.bisect(word)

    def _undecided(self, left: List[str]) -> Fail:
        codes = [trial.code for _, trial in self.steps if trial.code in OF_THE_COMMIT]
        lines = "\n".join(f"  {commit[:12]} {self.commits.describe(commit).subject}"
                          for commit in left)
        return Fail(worst(codes), "the first bad commit is one of these, but those before the "
                    f"last one cannot be tested:\n{lines}", "mend them, or read them")

    def confirm(self, commit: str) -> Found:
        """See it fail again, its parent pass again, and the tip pass without it."""
        say("-- making sure")
        parent = self.commits.parents(commit)[0]
        enough = self.repeat if self.repeat > 1 else CERTAIN
        failed: List[Trial] = []
        boots = 0
        for trial in itertools.islice(self.tester.boots(commit), enough):
            boots += 1
            if trial.code in BAD:
                failed.append(trial)
                if len(failed) == CERTAIN:
                    break
        else:
            failed = failed or [trial]
        passed = 0
        for before in itertools.islice(self.tester.boots(parent), enough):
            if before.code is not Exit.OK:
                break
            passed += 1
        undone = self.commits.reverted(commit, self.bad)
        called_good = 1 + sum(trial.code is Exit.OK for _, trial in self.steps)
        bad_boots = sum(trial.code in BAD for trial in failed)
        return Found(self.commits.describe(commit), self.commits.describe(parent), failed[-1],
                     before, Seen(bad_boots, boots, passed, enough, called_good, self.failed_of),
                     self._test(undone).word if undone else "does not revert cleanly",
                     bad_boots == min(CERTAIN, enough) and passed == enough,
                     len(self.steps))


def bisect(kdir: Path, good_name: str, bad_name: str, folder: Path,
           make_tester: Callable[[Commits, str], Tester], repo: Path = REPO,
           report: bool = False) -> Found:
    """The whole way from two names to a commit."""
    begin = time.monotonic()
    commits = Commits(kdir, repo=repo)
    good = commits.resolve(good_name, "--good")
    bad = commits.resolve(bad_name, "--bad")
    commits.related(good, bad)
    between = commits.between(good, bad)
    if not between:
        raise Fail(Exit.BAD_INPUT, f"--bad={bad_name} does not come after --good={good_name}",
                   "name commits of one branch, the older one as --good=")
    commits.see_that_all_is_there([good, *between])
    commits.say_what_is_ignored()
    commits.follow(bad)
    bisection = Bisection(commits, make_tester(commits, good), good, bad)
    bisection.check_ends()
    found = bisection.confirm(bisection.run())
    _report(fresh(folder), found, bisection, time.monotonic() - begin)
    if report:
        table = _table(found, bisection, f"bisection, {good_name}..{bad_name}", folder)
        write_letter(folder, table, for_range(bisection.tester.setup, table))
    return found


def _table(found: Found, bisection: Bisection, what: str, folder: Path) -> Table:
    """What is to be told to others: the commit before the culprit, that one, and the bad end."""
    rows = [(found.parent, found.before), (found.commit, found.trial)]
    if found.commit.id != bisection.bad and bisection.trial_of_bad:
        rows.append((bisection.commits.describe(bisection.bad), bisection.trial_of_bad))
    table = Table(len(rows) - 1, f"{what}, in {found.steps} steps")
    for commit, trial in rows:
        table.add(commit, trial, folder)
    if table.culprit:
        table.make_sure(found.seen)
    return table


def _report(folder: Path, found: Found, bisection: Bisection, spent: float) -> None:
    """Say it, and keep it."""
    found.trial.copy_files(folder)
    log, trace = folder / "test.log", folder / "trace.txt"
    said = assertion(found.trial.log)
    result(f"first bad commit: {found.commit.id}\n  {found.commit.subject}\n"
           f"  {found.commit.author}\n{found.trial.line()}")
    if found.trial.where:
        result(found.trial.where)
    if found.trial.got_to:
        result(found.trial.got_to)
    elif found.trial.first_bad_case:
        result(f"first case: {found.trial.first_bad_case}")
    for line in said.splitlines():
        result(f"  {line.strip()}")
    for line in found.trial.remarks:
        result(line)
    result(f"it fails {found.bad} times, its parent {found.parent.short} passes {found.good}; "
           f"{bisection.bad[:12]} without it: {found.reverted}")
    if not found.sure:
        result("that is not as it should be: the commit may be the wrong one. What is remembered "
               "of the steps is forgotten now; run the same command again")
        for _, trial in bisection.steps:
            if trial.folder:
                shutil.rmtree(trial.folder, ignore_errors=True)
    result(f"{len(bisection.steps)} steps, {spent:.0f} s; "
           f"see {os.path.relpath(trace if trace.exists() else log)}")
    write(folder / "bisect.json", json.dumps({
        "commit": found.commit.id, "subject": found.commit.subject,
        "author": found.commit.author, "parent": found.parent.id,
        "verdict": found.trial.word, "reason": found.trial.reason,
        "first_case": found.trial.first_bad_case, "assertion": said,
        "where": found.trial.where, "sure": found.sure,
        "bad": found.bad, "parent_good": found.good, "reverted_on_tip": found.reverted,
        "error": found.seen.error,
        "bad_failed": list(bisection.failed_of), "repeat": bisection.repeat,
        "steps": [{"commit": commit, "verdict": trial.word, "reason": trial.reason,
                   "seconds": round(trial.seconds, 2), "known": trial.known}
                  for commit, trial in bisection.steps],
        "seconds": round(spent, 1)}, indent=2).encode() + b"\n")
