# SPDX-License-Identifier: GPL-2.0
"""The verdicts of many commits: on the screen, as JSON, JUnit's XML and a Markdown table."""

from __future__ import annotations

import dataclasses
import json
import os
import re
import xml.etree.ElementTree as xml
from pathlib import Path
from typing import Any, Dict, List, Tuple

from base.files import fresh, write
from base.outcome import BAD, Exit
from base.progress import result, say, seconds
from commits.repository import Commit
from commits.trial import Trial, changed
from guest.boot import printable

# The worst comes first. Nothing is said about commits without the feature,
# unless there are no others.
BY_WEIGHT = (Exit.MISSING, Exit.BAD_INPUT, Exit.CRASH, Exit.HANG, Exit.BUILD, Exit.PATCH,
             Exit.CASE_FAILED, Exit.OK, Exit.NO_FEATURE)
SHOWN = 5  # changed cases of a commit; the files have them all
SPECIAL = re.compile(r"([\\`*_{}\[\]<>#+!|~@&$])")  # in Markdown


def worst(codes: List[Exit]) -> Exit:
    return min(codes, key=BY_WEIGHT.index)


@dataclasses.dataclass(frozen=True)
class Row:
    """A commit and what came of it."""

    commit: Commit
    trial: Trial
    changed: List[Tuple[str, str, str]]  # against the last commit that ran: case, before, after
    folder: Path

    def details(self) -> List[str]:
        trial = self.trial
        found = [] if trial.code is Exit.OK else trial.line().splitlines()[:12]
        found += [trial.where] if trial.where else []
        if trial.got_to:  # all that come after it are absent, which is no news
            found.append(trial.got_to)
        else:
            found += [f"{case}: {before} -> {after}" for case, before, after
                      in self.changed[:SHOWN]]
            if len(self.changed) > SHOWN:
                found.append(f"and {len(self.changed) - SHOWN} more changed cases")
        return [*found, *trial.remarks]

    def print(self, place: str) -> None:
        result(f"{place:>7}  {self.commit.short:<12}  {self.trial.columns} {self.commit.subject}")
        for line in self.details():
            result(f"{'':25}{line}")
        if self.trial.code in BAD or self.trial.code is Exit.BUILD:
            result(f"{'':25}see {os.path.relpath(self.folder)}/")

    def as_json(self) -> Dict[str, Any]:
        return {"commit": self.commit.id, "subject": self.commit.subject,
                "author": self.commit.author, "verdict": self.trial.word,
                "code": int(self.trial.code), "reason": self.trial.reason,
                "counts": self.trial.counts,
                "changed": [{"case": case, "before": before, "after": after}
                            for case, before, after in self.changed],
                "seconds": round(self.trial.seconds, 2), "known": self.trial.known,
                "folder": self.folder.name}

    def as_markdown(self, place: str) -> str:
        cells = [place, self.commit.short, self.trial.word, f"{self.trial.seconds:.1f}",
                 "<br>".join([_plain(self.commit.subject), *map(_plain, self.details())])]
        return f"| {' | '.join(cells)} |"


def _plain(text: str) -> str:
    """Text that Markdown takes as it is: whoever wrote the commit wrote it."""
    return SPECIAL.sub(r"\\\1", printable(text).replace("\n", " "))


class Report:
    """The rows so far, on the screen and in the results folder."""

    def __init__(self, folder: Path, count: int) -> None:
        self.folder = fresh(folder)
        self.count = count
        self.rows: List[Row] = []  # that of the base first
        self.states: Dict[str, str] = {}
        self.announced = 0
        result(f"{'':>7}  {'commit':<12}  {'verdict':<14} seconds subject")

    @property
    def code(self) -> Exit:
        """The base is for comparison: it is not what is judged."""
        return worst([row.trial.code for row in self.rows[1:]] or [Exit.MISSING])

    def announce(self, commit: Commit) -> None:
        # The base may have taken a cold build: as soon as there are others, go by them.
        spent = [row.trial.seconds for row in self.rows if not row.trial.known]
        spent = spent[1:] or spent
        left = sum(spent) / len(spent) * (self.count + 1 - self.announced) if spent else 0.0
        say(f"-- {self._place(self.announced)}"
            f"{f', about {seconds(left)} left' if spent else ''}: {commit.subject}")
        self.announced += 1

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
        held = {"verdict": code.word, "code": int(code), "complete": complete,
                "stopped": stopped, "base": self.rows[0].as_json() if self.rows else None,
                "commits": [row.as_json() for row in self.rows[1:]]}
        write(self.folder / "ci.json", json.dumps(held, indent=2).encode() + b"\n")
        write(self.folder / "ci.junit.xml", self._junit(stopped))
        write(self.folder / "ci.md", self._markdown(code, stopped))

    def _markdown(self, code: Exit, stopped: str) -> bytes:
        lines = [f"**offline-skippable: {code.word}**", "",
                 "| | commit | verdict | seconds | |", "|---|---|---|---|---|"]
        lines += [row.as_markdown(self._place(number)) for number, row in enumerate(self.rows)]
        lines += ["", f"stopped: {_plain(stopped)}"] if stopped else []
        return "\n".join([*lines, ""]).encode()

    def _junit(self, stopped: str) -> bytes:
        suite = xml.Element("testsuite", name="offline-skippable")
        for row in self.rows[1:]:
            case = xml.SubElement(suite, "testcase", classname="offline-skippable",
                                  name=printable(f"{row.commit.short} {row.commit.subject}"),
                                  time=f"{row.trial.seconds:.2f}")
            if row.trial.code is Exit.NO_FEATURE:
                xml.SubElement(case, "skipped", message=printable(row.trial.reason))
            elif row.trial.code is not Exit.OK:
                text = [f"{name}: {before} -> {after}" for name, before, after in row.changed]
                xml.SubElement(case, "failure", type=row.trial.word, message=printable(
                    row.trial.line())).text = printable("\n".join(text))
        if stopped:
            case = xml.SubElement(suite, "testcase", classname="offline-skippable",
                                  name="infrastructure")
            xml.SubElement(case, "error", type="infrastructure", message=printable(stopped))
        for count, found in (("tests", "testcase"), ("failures", "testcase/failure"),
                             ("errors", "testcase/error"), ("skipped", "testcase/skipped")):
            suite.set(count, str(len(suite.findall(found))))
        xml.indent(suite)
        return bytes(xml.tostring(suite, encoding="utf-8", xml_declaration=True)) + b"\n"
