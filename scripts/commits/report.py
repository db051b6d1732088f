# SPDX-License-Identifier: GPL-2.0
"""The verdicts of many commits, on the screen as they come, and in the results folder."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Callable

from base.files import fresh, write
from base.outcome import BAD, Exit
from base.progress import result, say, seconds
from commits import formats
from commits.letter import letter
from commits.page import page
from commits.repository import Commit
from commits.table import Row, Table, safe
from commits.trial import Trial


class Report:
    """Shows the rows of a table, and keeps them."""

    def __init__(self, folder: Path, table: Table, show: Callable[[str], None] = result) -> None:
        self.folder = fresh(folder)
        self.table = table
        self.show = show
        self.announced = 0
        self.show(f"{'':>7}  {'commit':<12}  {'verdict':<14} seconds subject")

    def announce(self, commit: Commit) -> None:
        # The base may have taken a cold build: as soon as there are others, go by them.
        spent = [row.trial.seconds for row in self.table.rows if not row.trial.known]
        spent = spent[1:] or spent
        left = sum(spent) / len(spent) * (self.table.count + 1 - self.announced) \
            if spent else 0.0
        say(f"-- {self.table.place(self.announced)}"
            f"{f', about {seconds(left)} left' if spent else ''}: {safe(commit.subject)}")
        self.announced += 1

    def add(self, commit: Commit, trial: Trial) -> None:
        folder = self.folder / f"{len(self.table.rows):02}-{commit.short}"
        trial.copy_files(folder)
        self._show(self.table.add(commit, trial, folder))
        self.write()

    def _show(self, row: Row) -> None:
        trial = row.trial
        self.show(f"{row.place:>7}  {row.commit.short:<12}  {trial.columns} "
                  f"{safe(row.commit.subject)}")
        lines = row.details()
        if trial.code in BAD or trial.code is Exit.BUILD:
            lines.append(f"see {os.path.relpath(row.folder)}/")
        for line in lines:
            self.show(f"{'':25}{line}")

    def stop(self, why: str) -> None:
        """Whatever happens next, the rows so far are kept."""
        self.table.stopped = why
        self.write()

    def write(self) -> None:
        for name, form in (("ci.json", formats.as_json), ("ci.junit.xml", formats.as_junit),
                           ("ci.md", formats.as_markdown)):
            write(self.folder / name, form(self.table))


def write_letter(folder: Path, table: Table, command: str,
                 show: Callable[[str], None] = result) -> None:
    """Write the mail and the page, and say where they are."""
    text = letter(table, command)
    for name, data in (("report.eml", text), ("report.html", page(table, text.decode()))):
        write(folder / name, data)
        show(f"written: {os.path.relpath(folder / name)}")
