# SPDX-License-Identifier: GPL-2.0
"""What came of a commit, how it is told, and how it is kept."""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import json
import re
from pathlib import Path
from typing import Dict, List, Optional, Tuple

from base.files import write
from base.outcome import Exit
from guest.verdict import WORDS, Case, Verdict, got_to, suites, without_times

# These are a commit's own; any other failure is of what is around it.
OF_THE_COMMIT = (Exit.PATCH, Exit.BUILD, Exit.NO_FEATURE)
FILES = ("test.log", "results.json", "results.ktap", "trace.txt", "build-errors.log")
ASSERTION = re.compile(r"^ *# \w+: (?:EXPECTATION|ASSERTION) FAILED at .*", re.MULTILINE)
NEXT_RESULT = re.compile(r"^ *(?:not )?ok \d+ |^ *# \w+: (?:EXPECTATION|ASSERTION) FAILED",
                         re.MULTILINE)
# A file of ours, as the compiler sees it, from the folder that is built in.
OURS = re.compile(r"( at )(?:\.\./)+tree/[^/ ]+/")
# The line of a trace that has the instruction, by architecture.
INSTRUCTION = re.compile(r"^(?:RIP: |EIP: |pc : |epc : |NIP |Krnl PSW : ).*", re.MULTILINE)


@dataclasses.dataclass(frozen=True)
class Trial:
    """What came of a commit."""

    code: Exit
    reason: str
    counts: Dict[str, int] = dataclasses.field(default_factory=dict)
    cases: Dict[str, str] = dataclasses.field(default_factory=dict)  # and each one's state
    boots: int = 1  # with that outcome
    seconds: float = 0.0
    retried: Tuple[str, ...] = ()  # how earlier boots ended, before the first case
    folder: Optional[Path] = None  # with the logs
    known: bool = False  # from an earlier run

    @property
    def word(self) -> str:
        return self.code.word

    @property
    def columns(self) -> str:
        """Verdict and seconds, for tables; a star, if it is from an earlier run."""
        return f"{self.word:<14} {self.seconds:6.1f}{'*' if self.known else ' '}"

    @property
    def first_bad_case(self) -> str:
        return next((name for name, state in self.cases.items() if state not in ("PASS", "SKIP")),
                    "")

    def copy_files(self, folder: Path) -> None:
        """Put the logs where the user will look for them."""
        for name in FILES:
            if self.folder and (self.folder / name).exists():
                write(folder / name, (self.folder / name).read_bytes())

    def _text(self, name: str) -> str:
        path = self.folder / name if self.folder else None
        return path.read_text(errors="replace") if path and path.exists() else ""

    @property
    def log(self) -> str:
        """The console, without the times."""
        return without_times(self._text("test.log"))

    @property
    def where(self) -> str:
        """Where it crashed, decoded."""
        found = INSTRUCTION.search(without_times(self._text("trace.txt")))
        return found.group() if found else ""

    @property
    def got_to(self) -> str:
        """How far a boot got that did not come to its end."""
        return got_to(self.log) if self.code in (Exit.CRASH, Exit.HANG) else ""

    def line(self) -> str:
        if self.code in WORDS:
            return Verdict(self.code, self.reason, self.counts).line()
        return f"{self.word}: {self.reason}"

    @property
    def remarks(self) -> List[str]:
        """What is to be known about the boots, whatever came of the last one."""
        return [f"an earlier boot ended before the first case ({reason}): that is put down to the "
                "machine" for reason in self.retried]


def assertion(log: str, case: str = "") -> str:
    """The lines of the first expectation that failed; of a case, if one is given by its name."""
    if case:
        log = "\n".join(line for suite in suites(log) for found in suite.cases
                        if found.state == "not ok" and _is_case(found, case)
                        for line in found.said)
    found = ASSERTION.search(log)
    if not found:
        return ""
    end = NEXT_RESULT.search(log, found.end())
    lines = log[found.start():end.start() if end else found.end() + 1000].splitlines()
    # KUnit indents what it says; all else on the console is somebody else's.
    said = itertools.takewhile(lambda line: line.startswith(" "), lines[1:])
    return "\n".join([OURS.sub(r"\1", lines[0]), *said]).strip()


def _is_case(found: Case, name: str) -> bool:
    """Is that the name of a result of the console? kunit.py puts a dot before a parameter."""
    suite, _, case = name.partition(".")
    return found.suite == suite and found.name == case.replace(".", " ", 1)


def changed(before: Dict[str, str], after: Dict[str, str]) -> List[Tuple[str, str, str]]:
    """The cases whose state is another one, with both states."""
    names = dict.fromkeys([*after, *before])
    return [(name, before.get(name, "absent"), after.get(name, "absent")) for name in names
            if before.get(name) != after.get(name)]


def load(folder: Path) -> Optional[Trial]:
    with contextlib.suppress(FileNotFoundError):
        held = json.loads((folder / "trial.json").read_text())
        held["retried"] = tuple(held["retried"])
        return Trial(Exit[held.pop("code")], folder=folder, known=True, **held)
    return None


def save(trial: Trial) -> Trial:
    """Keep it for other runs; last of all, so that the logs are there, too."""
    assert trial.folder
    held = dataclasses.asdict(trial)
    del held["folder"], held["known"]
    held["code"] = trial.code.name
    write(trial.folder / "trial.json", json.dumps(held).encode())
    return trial
