# SPDX-License-Identifier: GPL-2.0
"""Rows and results that never were."""

from __future__ import annotations

from base.outcome import Exit
from matrix.result import Result, Tally
from matrix.rows import Row


def tally(name: str = "scan", **given: str) -> Tally:
    """A suite of two cases that pass, and those that are given: failed, or skipped and why."""
    failed = {case: "EXPECTATION FAILED" for case, why in given.items() if not why}
    return Tally(name, 2, failed, {case: why for case, why in given.items() if why}, 0.25)


def result(row: Row, code: Exit = Exit.OK, *suites: Tally, reason: str = "") -> Result:
    return Result(row, code, reason, suites, built=100.0, booted=3.0, guest=2.0)
