# SPDX-License-Identifier: GPL-2.0
"""What KCSAN reports on a console: which functions race, and whether that is for us to mend.

A report is ours if one of the two accesses is in a function of the feature, the
driver, or the suites. `explained` has those of ours that are harmless, with the
reason.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import AbstractSet, Dict, List, Sequence, Tuple

from base.files import reasons
from base.outcome import Exit, Fail
from base.process import run
from guest.build import Kernel
from guest.verdict import KCSAN, without_times

EXPLAINED = Path(__file__).with_name("explained")
RULE = re.compile(r"^=+$")
ACCESS = re.compile(r"(read|write)\b.* of \d+ bytes by ")
FRAME = re.compile(r"^ (\w[\w.]*)\+0x")
SUFFIX = re.compile(r"\.(constprop|isra|part|cold)\b.*")
# The objects whose functions are ours; of the last one, the functions that the feature is in.
OBJECTS = ("mm/memory_hotplug.o", "mm/page_isolation.o", "drivers/virtio/virtio_mem.o",
           "mm/tests/*.o", "drivers/virtio/tests/*.o", "lib/kunit/fault.o")
FUNCTIONS = ("__offline_isolated_pages",)


@dataclass(frozen=True)
class Report:
    """A data race. `functions` are those that access the data, two at the most."""

    functions: Tuple[str, ...]
    text: str

    @property
    def name(self) -> str:
        return " / ".join(self.functions)

    def is_of(self, names: AbstractSet[str]) -> bool:
        return not names.isdisjoint(self.functions)


def reports(console: str) -> List[Report]:
    """All of them, in order. Lines of others may be among those of a report."""
    found, held = [], []
    inside = False
    for line in without_times(console).splitlines():
        if KCSAN.match(line):
            inside, held = True, [line]
        elif inside and RULE.match(line):
            found.append(_read(held))
            inside = False
        elif inside:
            held.append(line)
    return [*found, *([_read(held)] if inside else [])]


def _read(lines: Sequence[str]) -> Report:
    """The functions are the first ones of the stacks, as in the title, but in one order."""
    functions, first = [], False
    for line in lines:
        frame = FRAME.match(line)
        if ACCESS.search(line):
            first = True
        elif first and frame:
            functions.append(SUFFIX.sub("", frame.group(1)))
            first = False
    return Report(tuple(sorted(functions)), "\n".join(lines))


def ours(kernel: Kernel) -> AbstractSet[str]:
    """The functions that are for us to mend."""
    objects = [str(path) for pattern in OBJECTS for path in sorted(kernel.out.glob(pattern))]
    done = run([f"{kernel.setup.cross_compile}nm", "--defined-only", "--format=posix", *objects])
    if done.returncode:
        raise Fail(Exit.MISSING, f"nm cannot read the kernel's objects: {done.stderr.strip()}",
                   "see that binutils is installed whole")
    words = [line.split() for line in done.stdout.splitlines()]
    return {SUFFIX.sub("", name) for name, kind, *_ in (each for each in words if len(each) > 2)
            if kind in "tT"} | set(FUNCTIONS)


def explained(file: Path = EXPLAINED) -> Dict[str, str]:
    """Patterns of the names of reports, each with the reason why it is harmless."""
    found = reasons(file)
    for name, reason in found.items():
        if not reason:
            raise Fail(Exit.BAD_INPUT, f"{file.name}: {name}: no reason is given",
                       f"mend or remove the entry in {file}")
    return found


@dataclass(frozen=True)
class Finding:
    """All reports of one name."""

    report: Report
    times: int
    ours: bool
    reason: str  # why it is harmless, if that is known

    @property
    def counts(self) -> bool:
        """Is it for us to mend?"""
        return self.ours and not self.reason

    def row(self) -> str:
        word = "MEND" if self.counts else "explained" if self.ours else "elsewhere"
        more = f": {self.reason}" if self.reason else ""
        return f"data race {word:<9} {self.times:4} times  {self.report.name}{more}"


def findings(console: str, names: AbstractSet[str], excuses: Dict[str, str]) -> List[Finding]:
    """What was reported, the worst first."""
    found = reports(console)
    count = Counter(report.name for report in found)
    first = {report.name: report for report in reversed(found)}
    made = [Finding(report, count[name], report.is_of(names), next(
        (reason for pattern, reason in excuses.items() if fnmatchcase(name, pattern)), ""))
        for name, report in first.items()]
    return sorted(made, key=lambda finding: (not finding.counts, not finding.ours,
                                             -finding.times, finding.report.name))
