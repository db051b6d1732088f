# SPDX-License-Identifier: GPL-2.0
"""What came of a bug that was put back, and whether that is what its patch says."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, replace
from typing import Any, Dict, List, Mapping, Optional, Sequence, Tuple

from history.bugs import Bug
from mutants.result import KILLED, STILLBORN, told

CAUGHT = KILLED  # a bug is caught by the same as a mutant is killed
MISSED, NO_PATCH, NO_BUILD = "missed", "does not apply", STILLBORN


@dataclass(frozen=True)
class Result:
    bug: Bug
    outcome: str
    first: str = ""  # the first case that went wrong
    failed: Tuple[str, ...] = ()
    reason: str = ""
    seconds: float = 0.0  # that the boot took
    built: float = 0.0  # ... and before it the build

    def kept(self) -> Dict[str, Any]:
        """What a file can hold of it."""
        return {name: value for name, value in vars(self).items() if name != "bug"}

    @classmethod
    def of(cls, bug: Bug, kept: Mapping[str, Any]) -> Result:
        return replace(cls(bug, **kept), failed=tuple(kept["failed"]))

    @property
    def word(self) -> str:
        return "caught" if self.outcome in CAUGHT else self.outcome

    def row(self) -> str:
        """A line of the table."""
        config = f"{self.bug.config}{'+' if self.bug.options else ''}"
        return f"{self.word:<15}{self.bug.name:<39} {config:<8} {self._told()}".rstrip()

    def _told(self) -> str:
        if self.outcome == MISSED:
            return self.bug.excuse
        if self.outcome not in CAUGHT:
            return self.reason.splitlines()[0] if self.reason else ""
        others = len(set(self.failed) - {self.first})
        more = f" and {others} more" if others else ""
        how = "" if self.outcome == "case" else f"{self.outcome} in "
        return f"{how}{self.first}{more}{f': {self.reason}' if self.reason else ''}"

    def complaint(self) -> Optional[str]:
        """How that is not what the patch says, if it is not."""
        if self.outcome in CAUGHT:
            return f"{self.bug.name} is caught by {self.first}: take `Missed:` out of its patch" \
                if self.bug.excuse else None
        if self.outcome == MISSED:
            return None if self.bug.excuse else f"{self.bug.name} is missed: {self.bug.harm}"
        return f"{self.bug.name} {self.outcome}: {self.reason}"


def complaints(results: Sequence[Result]) -> List[str]:
    return [complaint for result in results for complaint in [result.complaint()] if complaint]


def summary(results: Sequence[Result]) -> str:
    """The campaign in a line."""
    count = Counter(result.outcome for result in results)
    caught = told(count)
    rest = [f"{count[outcome]} {outcome}" for outcome in (MISSED, NO_PATCH, NO_BUILD)
            if count[outcome] or outcome == MISSED]
    return f"{len(results)} bugs: {sum(count[how] for how in CAUGHT)} caught" \
        f"{f' ({caught})' if caught else ''}, {', '.join(rest)}"


def as_json(results: Sequence[Result]) -> bytes:
    return json.dumps({"summary": summary(results), "bugs": [{
        "bug": result.bug.name, "year": result.bug.year, "file": result.bug.path,
        "fix": result.bug.fix, "harm": result.bug.harm, "config": result.bug.config,
        "options": result.bug.options,
        "excuse": result.bug.excuse, **result.kept(),
    } for result in results]}, indent=1).encode() + b"\n"
