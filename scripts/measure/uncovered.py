# SPDX-License-Identifier: GPL-2.0
"""The lines of a function that do not run, and why."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Dict, Iterable, List, Tuple

REASONS = Path(__file__).resolve().parent / "uncovered"
HEAD = re.compile(r"(?P<path>\S+) (?P<name>\w+) (?P<lines>\d+)")

Key = Tuple[str, str]  # file and function


@dataclass(frozen=True)
class Reason:
    """Why so many lines of a function do not run, at the most."""

    lines: int
    text: str


def reasons(listed: Path = REASONS) -> Dict[Key, Reason]:
    """As the file has them: what it is about, and indented below it why."""
    found: Dict[Key, Reason] = {}
    key: Key = ("", "")
    for line in listed.read_text().splitlines():
        head = HEAD.fullmatch(line)
        if head:
            key = (head["path"], head["name"])
            found[key] = Reason(int(head["lines"]), "")
        elif line.startswith("\t"):
            text = f"{found[key].text} {line.strip()}".strip()
            found[key] = Reason(found[key].lines, text)
        elif line and not line.startswith("#"):
            raise ValueError(f"{listed}: neither a function nor a reason: {line}")
    return found


@dataclass(frozen=True)
class Covered:
    """A function, and which of its lines do not run."""

    path: str
    name: str
    lines: int
    missed: List[int]

    def why(self, known: Dict[Key, Reason]) -> str:
        """The reason, unless more lines do not run than it is about."""
        reason = known.get((self.path, self.name), Reason(0, ""))
        return reason.text if len(self.missed) <= reason.lines else ""

    def row(self, known: Dict[Key, Reason]) -> str:
        return (f"{self.path} {self.name}: {len(self.missed)} of {self.lines} lines not run: "
                f"{told(self.missed)} ({self.why(known) or 'nobody has said why'})")


def told(numbers: Iterable[int]) -> str:
    """Numbers as ranges."""
    ranges: List[Tuple[int, int]] = []
    for number in sorted(numbers):
        if ranges and ranges[-1][1] + 1 == number:
            ranges[-1] = (ranges[-1][0], number)
        else:
            ranges.append((number, number))
    return ", ".join(str(first) if first == last else f"{first}-{last}" for first, last in ranges)


def rows(functions: List[Covered], known: Dict[Key, Reason]) -> List[str]:
    """A line for each file, and one for each function that does not run as a whole."""
    found: List[str] = []
    for path in dict.fromkeys(function.path for function in functions):
        of_file = [function for function in functions if function.path == path]
        lines = sum(function.lines for function in of_file)
        missed = sum(len(function.missed) for function in of_file)
        whole = sum(not function.missed for function in of_file)
        found.append(f"{path}: {lines - missed} of {lines} lines run, and {whole} of "
                     f"{len(of_file)} functions as a whole")
        found += [function.row(known) for function in of_file if function.missed]
    return found
