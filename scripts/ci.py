#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""A verdict for each commit of a range, or for each mail of a series.

Nothing is written to KDIR. A commit that fails does not stop the rest;
trouble that is no commit's fault does, and a rerun goes on from there.
"""

from __future__ import annotations

import dataclasses
import json
import os
import re
import xml.etree.ElementTree as xml
from pathlib import Path
from typing import Any, Callable, Dict, List, Optional, Tuple

import tools
import trial as trials
from commits import Commit, Commits, Unapplied, imported
from host import BUILD, REPO, fresh, write
from options import Options, from_environment
from progress import say, seconds
from tree import build_lock
from trial import Tester, Trial, changed
from verdict import Exit, Fail, from_os_error, run_verb

# The worst comes first. Nothing is said about commits without the feature,
# unless there are no others.
BY_WEIGHT = (Exit.MISSING, Exit.BAD_INPUT, Exit.CRASH, Exit.HANG, Exit.BUILD, Exit.PATCH,
             Exit.CASE_FAILED, Exit.OK, Exit.NO_FEATURE)
SHOWN = 5  # changed cases of a commit; the files have them all
MAILS = (".patch", ".mbox", ".mbx", ".eml")
COVER = re.compile(r"0+-|.*\.cover$")


@dataclasses.dataclass(frozen=True)
class Row:
    """A commit and what came of it."""

    commit: Commit
    trial: Trial
    changed: List[Tuple[str, str, str]]  # against the last commit that ran: case, before, after
    folder: Path

    def print(self, place: str) -> None:
        print(f"{place:>7}  {self.commit.short:<12}  {self.trial.columns} "
              f"{self.commit.subject}", flush=True)
        details = [] if self.trial.code is Exit.OK else self.trial.line().splitlines()[:12]
        details += [self.trial.where] if self.trial.where else []
        if self.trial.got_to:  # all that come after it are absent, which is no news
            details.append(self.trial.got_to)
        else:
            details += [f"{case}: {before} -> {after}" for case, before, after
                        in self.changed[:SHOWN]]
            if len(self.changed) > SHOWN:
                details.append(f"and {len(self.changed) - SHOWN} more changed cases")
        for line in details:
            print(f"{'':25}{line}")
        if self.trial.code in trials.BAD or self.trial.code is Exit.BUILD:
            print(f"{'':25}see {os.path.relpath(self.folder)}/")

    def as_json(self) -> Dict[str, Any]:
        return {"commit": self.commit.id, "subject": self.commit.subject,
                "author": self.commit.author, "verdict": self.trial.word,
                "code": int(self.trial.code), "reason": self.trial.reason,
                "counts": self.trial.counts,
                "changed": [{"case": case, "before": before, "after": after}
                            for case, before, after in self.changed],
                "seconds": round(self.trial.seconds, 2), "known": self.trial.known,
                "folder": self.folder.name}


def worst(codes: List[Exit]) -> Exit:
    return min(codes, key=BY_WEIGHT.index)


class Report:
    """The rows so far, on the screen and in the results folder."""

    def __init__(self, folder: Path, count: int) -> None:
        self.folder = fresh(folder)
        self.count = count
        self.rows: List[Row] = []  # that of the base first
        self.states: Dict[str, str] = {}
        print(f"{'':>7}  {'commit':<12}  {'verdict':<14} seconds subject", flush=True)

    @property
    def code(self) -> Exit:
        """The base is for comparison: it is not what is judged."""
        return worst([row.trial.code for row in self.rows[1:]] or [Exit.MISSING])

    def announce(self, commit: Commit) -> None:
        done = len(self.rows)
        # The base may have taken a cold build: as soon as there are others, go by them.
        spent = [row.trial.seconds for row in self.rows if not row.trial.known]
        spent = spent[1:] or spent
        left = f", about {seconds(sum(spent) / len(spent) * (self.count + 1 - done))} left" \
            if spent else ""
        say(f"-- {self._place(done)}{left}: {commit.subject}")

    def _place(self, number: int) -> str:
        return f"{number}/{self.count}" if number else "base"

    def add(self, commit: Commit, trial: Trial) -> None:
        number = len(self.rows)
        folder = self.folder / f"{number:02}-{commit.short}"
        trial.copy_files(folder)
        row = Row(commit, trial, changed(self.states, trial.cases)
                  if self.states and trial.cases else [], folder)
        self.rows.append(row)
        if trial.cases:
            self.states = trial.cases
        row.print(self._place(number))
        self.write()

    def write(self, stopped: str = "") -> None:
        """Whatever happens next, the rows so far are kept."""
        complete = len(self.rows) == self.count + 1
        code = Exit.MISSING if not complete else self.code
        held = {"verdict": trials.WORDS[code], "code": int(code), "complete": complete,
                "stopped": stopped, "base": self.rows[0].as_json() if self.rows else None,
                "commits": [row.as_json() for row in self.rows[1:]]}
        write(self.folder / "ci.json", json.dumps(held, indent=2).encode() + b"\n")
        write(self.folder / "ci.junit.xml", self._junit(stopped))

    def _junit(self, stopped: str) -> bytes:
        suite = xml.Element("testsuite", name="offline-skippable")
        for row in self.rows[1:]:
            case = xml.SubElement(suite, "testcase", classname="offline-skippable",
                                  name=_printable(f"{row.commit.short} {row.commit.subject}"),
                                  time=f"{row.trial.seconds:.2f}")
            if row.trial.code is Exit.NO_FEATURE:
                xml.SubElement(case, "skipped", message=_printable(row.trial.reason))
            elif row.trial.code is not Exit.OK:
                text = [f"{name}: {before} -> {after}" for name, before, after in row.changed]
                xml.SubElement(case, "failure", type=row.trial.word,
                               message=_printable(row.trial.line())).text = "\n".join(text)
        if stopped:
            case = xml.SubElement(suite, "testcase", classname="offline-skippable",
                                  name="infrastructure")
            xml.SubElement(case, "error", type="infrastructure", message=_printable(stopped))
        for count, found in (("tests", "testcase"), ("failures", "testcase/failure"),
                             ("errors", "testcase/error"), ("skipped", "testcase/skipped")):
            suite.set(count, str(len(suite.findall(found))))
        xml.indent(suite)
        return bytes(xml.tostring(suite, encoding="utf-8", xml_declaration=True)) + b"\n"


def _printable(text: str) -> str:
    """XML cannot have what a crashing console may print."""
    return re.sub(r"[^\t\n\x20-\ud7ff\ue000-\ufffd]", "?", text)


def mails(paths: List[Path]) -> List[Path]:
    """The files that MBOX= means; a folder's are in the order of their names."""
    found: List[Path] = []
    for path in paths:
        if path.is_dir():
            found += sorted(file for file in path.iterdir()
                            if file.suffix in MAILS and not COVER.match(file.name))
        elif path.is_file():
            found.append(path)
        else:
            raise Fail(Exit.BAD_INPUT, f"MBOX={path} is not there",
                       "pass a mailbox, or patches, or a folder of patches")
    if not found:
        raise Fail(Exit.BAD_INPUT, f"MBOX={' '.join(map(str, paths))} has no patches",
                   f"pass files, or a folder of files that end in {', '.join(MAILS)}")
    return found


def chosen(options: Options, repo: Path) -> Tuple[Commits, str, List[str],
                                                     Optional[Unapplied]]:
    """What is to be tested: the base, the commits, and why mails do not make more of them."""
    if options.mbox and not options.range:
        found = mails(options.mbox)
        commits = Commits(options.kdir or imported(options.kernel, repo), repo)
        base = commits.resolve(options.base or "HEAD", f"BASE={options.base}")
        made, trouble = commits.am(base, found)
        return commits, base, made, trouble
    if options.range and options.kdir and not options.mbox:
        commits = Commits(options.kdir, repo)
        base, listed = commits.range(options.range)
        return commits, base, listed, None
    raise Fail(Exit.BAD_INPUT, "it is not clear what to test",
               "make ci KDIR=~/linux RANGE=base..tip, or: make ci MBOX=series.mbx "
               "(on KDIR= and BASE=, or on the kernel that is fetched)")


def ci(options: Options, folder: Path, make_tester: Callable[[Options, Commits], Tester] = Tester,
       repo: Path = REPO) -> Exit:
    commits, base, listed, trouble = chosen(options, repo)
    commits.say_what_is_ignored()
    commits.follow(listed[-1] if listed else base)
    tester = make_tester(options, commits)
    report = Report(folder, len(listed) + (1 if trouble else 0))
    try:
        for commit in [base, *listed]:
            described = commits.describe(commit)
            report.announce(described)
            report.add(described, tester.test(commit))
        if trouble:
            report.add(Commit("", trouble.subject, ""), Trial(trouble.code, trouble.what))
    except (Fail, OSError) as error:
        fail = error if isinstance(error, Fail) else from_os_error(error)
        report.write(fail.what)
        raise fail from None
    except KeyboardInterrupt:
        report.write("interrupted")
        raise
    print(f"{trials.WORDS[report.code]}: see {os.path.relpath(folder)}/"
          + ("; * is from an earlier run" if any(row.trial.known for row in report.rows) else ""))
    return report.code


def main() -> Exit:
    options = from_environment(os.environ)
    with build_lock("make ci"):
        tools.require(options)
        return ci(options, BUILD / "results" / "ci")


if __name__ == "__main__":
    run_verb(main)
