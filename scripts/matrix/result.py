# SPDX-License-Identifier: GPL-2.0
"""What came of a row: its verdict, suite by suite."""

from __future__ import annotations

import dataclasses
import json
from collections import Counter
from dataclasses import dataclass
from typing import Any, Dict, List, Mapping, Optional, Sequence, Tuple

from base.outcome import Exit
from base.progress import seconds
from guest.verdict import STAMP, Suite, Verdict, around
from matrix.rows import Row


@dataclass(frozen=True)
class Tally:
    """A suite that ran."""

    name: str
    passed: int
    failed: Dict[str, str]  # by case, what the kernel said
    skipped: Dict[str, str]  # by case, why
    seconds: float

    @classmethod
    def of(cls, suite: Suite) -> Tally:
        return cls(suite.name, sum(case.state == "ok" for case in suite.cases),
                   {case.name: "\n".join(around(case.said)) for case in suite.cases
                    if case.state == "not ok"},
                   {case.name: case.reason for case in suite.cases if case.state == "skip"},
                   round(suite.seconds or 0.0, 3))


@dataclass(frozen=True)
class Result:
    row: Row
    code: Exit
    reason: str = ""
    suites: Tuple[Tally, ...] = ()
    built: float = 0.0  # seconds that the build took
    booted: float = 0.0  # ... and the boot
    guest: float = 0.0  # ... of these by the guest's own clock
    least: Optional[int] = None  # MiB of memory with which it passes, if that is known

    @classmethod
    def ran(cls, row: Row, verdict: Verdict, found: Sequence[Suite], log: str,
            built: float, booted: float) -> Result:
        stamps = STAMP.findall(log)
        return cls(row, verdict.code, verdict.reason, tuple(map(Tally.of, found)),
                   round(built, 1), round(booted, 1), float(stamps[-1]) if stamps else 0.0)

    def kept(self) -> Dict[str, Any]:
        """What a file can hold of it."""
        return {**{name: value for name, value in vars(self).items() if name != "row"},
                "code": self.code.name, "suites": [vars(suite) for suite in self.suites]}

    @classmethod
    def of(cls, row: Row, kept: Mapping[str, Any]) -> Result:
        given: Dict[str, Any] = {**kept, "code": Exit[kept["code"]], "suites": tuple(
            Tally(**suite) for suite in kept["suites"])}
        return cls(row, **given)

    @property
    def counts(self) -> Tuple[int, int, int]:
        """Cases that passed, failed and were skipped."""
        return (sum(suite.passed for suite in self.suites),
                sum(len(suite.failed) for suite in self.suites),
                sum(len(suite.skipped) for suite in self.suites))

    def line(self) -> str:
        """A line of the table."""
        told = []
        if self.suites:
            told.append("{} passed, {} failed, {} skipped".format(*self.counts))
        if self.booted:
            told.append(f"build {seconds(self.built)}, boot {seconds(self.booted)}")
        if self.reason:
            told.append(self.reason.splitlines()[0])
        return f"{self.code.word:<15}{self.row.name:<20} {'; '.join(told)}"

    def complaint(self) -> List[str]:
        """What is wrong with it, in a few lines."""
        failed = [f"{suite.name}.{case}" for suite in self.suites for case in suite.failed]
        return [] if self.code is Exit.OK else \
            [f"{self.row.name}: {line}" for line in
             (f"{self.code.word}{f': {self.reason}' if self.reason else ''}", *failed)]


def exit_code(results: Sequence[Result]) -> Exit:
    """That of the campaign: what the machine did not let run is no pass, and no failure."""
    codes = {result.code for result in results}
    return Exit.CASE_FAILED if codes - {Exit.OK, Exit.MISSING} else \
        Exit.MISSING if codes != {Exit.OK} else Exit.OK


def summary(results: Sequence[Result]) -> str:
    """The campaign in a line."""
    count = Counter(result.code for result in results)
    return f"{len(results)} rows: " + ", ".join(
        f"{count[code]} {code.word}" for code in Exit if count[code])


def as_json(results: Sequence[Result]) -> bytes:
    return json.dumps({"summary": summary(results), "rows": [
        {**dataclasses.asdict(result.row), **result.kept(), "code": int(result.code),
         "verdict": result.code.name_in_json,
         **dict(zip(("passed", "failed", "skipped"), result.counts))}
        for result in results]}, indent=1).encode(errors="surrogateescape") + b"\n"
