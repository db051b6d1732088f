# SPDX-License-Identifier: GPL-2.0
"""What came of many boots: which cases fail now and then, and what clean boots prove."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass
from typing import Any, Dict, List, Mapping, Sequence, Tuple

from base.outcome import Exit

CONFIDENCE = 0.95
OK, NOT_OK = "ok", "not ok"


@dataclass(frozen=True)
class Ended:
    """One boot."""

    number: int
    how: str  # it was started: all that is not the same for each
    code: Exit
    reason: str
    cases: Dict[str, str]  # "ok", "not ok" or "skip"
    seconds: float
    retried: Tuple[str, ...] = ()  # how earlier tries ended, before the first case
    console: str = ""  # kept, as something is wrong

    def kept(self) -> Dict[str, Any]:
        return {**vars(self), "code": self.code.name}

    @classmethod
    def of(cls, kept: Mapping[str, Any]) -> Ended:
        given: Dict[str, Any] = {**kept, "code": Exit[kept["code"]], "retried": tuple(kept["retried"])}
        return cls(**given)

    @property
    def failed(self) -> List[str]:
        return [case for case, state in self.cases.items() if state == NOT_OK]

    def line(self) -> str:
        """One line; where to look, if something is wrong."""
        told = "; ".join(filter(None, (self.reason, ", ".join(self.failed), self.console)))
        return f"{self.code.word:<6} boot {self.number} ({self.how}) {self.seconds:.1f} s" \
            f"{f': {told}' if told else ''}"


def bound(clean: int) -> float:
    """With that confidence, what never failed in so many boots fails in fewer than this share."""
    return float(1 - (1 - CONFIDENCE) ** (1 / clean))


def passes(boots: Sequence[Ended]) -> Dict[str, int]:
    """How often each case passed, of those that do anywhere."""
    return dict(Counter(case for ended in boots for case, state in ended.cases.items()
                        if state == OK))


def failures(boots: Sequence[Ended]) -> Dict[str, List[int]]:
    """The boots in which each case failed; what did not come to an end failed, too."""
    listed = passes(boots)
    found: Dict[str, List[int]] = {}
    for ended in boots:
        for case in (*ended.failed, *(case for case in listed if case not in ended.cases)):
            found.setdefault(case, []).append(ended.number)
    return found


def summary(found: Mapping[int, Ended]) -> List[str]:
    boots = list(found.values())
    bad = [ended for ended in boots if ended.code is not Exit.OK]
    lines, failed = [ended.line() for ended in bad], failures(boots)
    lines += [f"{case} failed, or did not run, in {len(where)} of {len(boots)} boots"
              for case, where in failed.items()
              if any(case in ended.failed for ended in bad)]
    retried = sum(len(ended.retried) for ended in boots)
    if retried:
        lines.append(f"{retried} boots ended before the first case and were tried again: that is "
                     "put down to the machine")
    clean = {case: count for case, count in passes(boots).items() if case not in failed}
    told = f"{len(boots)} boots, {len(bad)} of them not clean"
    if clean:
        least = min(clean.values())
        told += f": {len(clean)} cases never failed; each passed {least} times or more, so with " \
            f"{CONFIDENCE:.0%} confidence it fails in fewer than {bound(least):.2%} of boots"
    return [*lines, told]


def exit_code(found: Mapping[int, Ended]) -> Exit:
    return Exit.CASE_FAILED if any(ended.code is not Exit.OK for ended in found.values()) else \
        Exit.OK


def as_json(found: Mapping[int, Ended]) -> bytes:
    boots = list(found.values())
    failed = failures(boots)
    return json.dumps({
        "boots": len(boots), "clean": sum(ended.code is Exit.OK for ended in boots),
        "confidence": CONFIDENCE,
        "cases": {case: {"passed": count, "failed": failed.get(case, []),
                         "bound": None if case in failed else bound(count)}
                  for case, count in passes(boots).items()},
        "not_clean": [ended.kept() for ended in boots if ended.code is not Exit.OK],
    }, indent=1).encode(errors="surrogateescape") + b"\n"
