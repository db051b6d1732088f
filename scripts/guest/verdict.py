# SPDX-License-Identifier: GPL-2.0
"""What came of a boot: one word for it, from kunit.py's results and the console."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from typing import Any, Dict, Iterator, List, Optional, Tuple

from base.outcome import Exit, Fail

TIME = r"(?:\[ *\d+\.\d+\] )?"  # in front of each line of the kernel's, with printk.time
# (Lockups are the watchdogs' word for a hang.)
CRASH = re.compile(r"Kernel panic|kernel BUG at|\bOops: |Internal error: "
                   r"|\bBUG: (?!soft lockup|workqueue lockup|KCSAN: )")
# Warnings that a case expects are suppressed by KUnit, and do not get here.
WARNING = re.compile(rf"^{TIME}(WARNING: .*)", re.MULTILINE)
# Of a kernel that looks for data races.
KCSAN = re.compile(rf"^{TIME}BUG: (KCSAN: .*)", re.MULTILINE)
BANNER = "Linux version"  # the first words of a kernel
BEGIN = "KTAP version"  # before the first case
THE_END = "reboot: "  # the last words of a kernel that got to its end
WORDS = {Exit.OK: "PASS", Exit.CASE_FAILED: "FAIL", Exit.CRASH: "CRASH", Exit.HANG: "HANG"}
COUNTS = ("passed", "failed", "crashed", "skipped", "errors")
STATES = {"PASS": "passed", "FAIL": "failed", "ERROR": "crashed", "SKIP": "skipped"}
# Lines of KTAP. What is before the indent is the time, or the end of another line.
SUBTEST = re.compile(rf"^{TIME}( *)# Subtest: (\S+)")
RESULT = re.compile(rf"^{TIME}( *)(not )?ok \d+ ?(.*?)(?: # SKIP ?(.*))?$")
# How many suites there are to be.
PLAN = re.compile(rf"^{TIME}1\.\.(\d+)$", re.MULTILINE)
# The kernel's own count of what is in a suite. (One of a single result has no such line.)
TOTALS = re.compile(rf"^{TIME}# Totals: .*\btotal:(\d+)")
# How a case is skipped that shows a known bug of the kernel, see kunit_known_bug().
KNOWN_BUG = re.compile(r": known bug, mended by \S+$")
STAMP = re.compile(r"^\[ *(\d+\.\d+)\] ", re.MULTILINE)
BEGUN = re.compile(r"^ *# Subtest: (\w+)", re.MULTILINE)
ENDED = re.compile(r"^ *(?:not )?ok \d+ ([\w, -]+\w)", re.MULTILINE)
TRACE_BEFORE, TRACE_LINES, TRACE_END = 3, 70, "---[ end "
CONTEXT = 40  # lines of the kernel's words around a failure, at the most


@dataclass(frozen=True)
class Verdict:
    code: Exit
    reason: str
    counts: Dict[str, int]
    retried: Tuple[str, ...] = ()  # how earlier boots ended, of which the machine gets the blame

    def line(self) -> str:
        """One line that says it all."""
        told = ", ".join(f"{self.counts.get(name, 0)} {name}" for name in COUNTS
                         if self.counts.get(name) or name in ("passed", "failed"))
        return f"{WORDS[self.code]}: {told}{f' ({self.reason})' if self.reason else ''}"

    def after(self, earlier: List[str]) -> Verdict:
        return replace(self, retried=tuple(earlier))


def last_boot(log: str) -> Tuple[str, str]:
    """What a machine said before it was reset for the last time, and since then."""
    start = log.rfind(BANNER)
    start = log.rfind("\n", 0, max(start, 0)) + 1
    return log[:start], log[start:]


def judge(status: int, results: Optional[Dict[str, Any]], log: str, hung: bool,
          earlier: str = "", loses_end: bool = False) -> Verdict:
    """The verdict on a boot, from kunit.py's exit status, its JSON, and the console.

    `earlier` is what the console had before somebody reset the machine. A console that
    `loses_end` may lack the last words of a kernel, but not the result of the last suite.
    """
    counts = counted(results) if results else {}
    ran = counts.get("passed", 0) + counts.get("failed", 0)
    if BANNER not in log:
        lines = [line for line in log.splitlines() if line.startswith("qemu-system-")]
        if lines and not hung:
            raise Fail(Exit.MISSING, f"QEMU did not start: {lines[-1]}",
                       "see that QEMU is installed whole, its firmware included, and takes the "
                       "--qemu_args that were given")
        return Verdict(Exit.HANG if hung else Exit.CRASH, "the kernel printed nothing", counts)
    crash = first_crash(earlier) or first_crash(log)
    if crash:
        return Verdict(Exit.CRASH, crash, counts)
    if hung:
        return Verdict(Exit.HANG, "the kernel never got to its end", counts)
    if THE_END not in log and not (loses_end and has_last_result(log)):
        return Verdict(Exit.CRASH, "the machine reset itself before the kernel got to its end",
                       counts)
    if counts.get("crashed"):
        return Verdict(Exit.CRASH, "a case never came to its end", counts)
    if counts.get("failed"):
        return Verdict(Exit.CASE_FAILED, "", counts)
    failed = next((f"{case.suite}.{case.name}" for suite in suites(earlier)
                   for case in suite.cases if case.state == "not ok"), "")
    if failed:
        return Verdict(Exit.CASE_FAILED, f"{failed} failed before the reset", counts)
    if not ran:
        reason = "all cases were skipped" if counts.get("skipped") else "no case ran"
        return Verdict(Exit.CASE_FAILED, reason, counts)
    warning = WARNING.search(earlier, earlier.find(BEGIN)) or \
        WARNING.search(log, log.find(BEGIN))
    if warning:
        return Verdict(Exit.CASE_FAILED, f"the kernel warned: {warning.group(1)}", counts)
    lost = lost_results(log)
    if lost:
        return Verdict(Exit.CASE_FAILED, lost, counts)
    if counts.get("errors") or status:
        return Verdict(Exit.CASE_FAILED, "kunit.py found errors in the results", counts)
    race = KCSAN.search(log)
    if race:  # and nothing else is wrong
        return Verdict(Exit.CASE_FAILED, race.group(1), counts)
    return Verdict(Exit.OK, "", counts)


def has_last_result(log: str) -> bool:
    plan = PLAN.search(log, max(log.find(BEGIN), 0))
    return bool(plan and re.search(rf"^{TIME}(not )?ok {plan.group(1)} ", log, re.MULTILINE))


def lost_results(log: str) -> str:
    """In which suite the kernel counts more, or fewer, results than the console has.

    kunit.py notices most of them, but not when the last parameters of a case are gone.
    """
    for suite in suites(log):
        there = len(suite.cases)
        if suite.total != there and (suite.total is not None or there > 1):
            listed = "an unknown number" if suite.total is None else suite.total
            return f"the console has {there} of {listed} results of {suite.name}"
    return ""


def counted(results: Dict[str, Any]) -> Dict[str, int]:
    """How many cases ended in which way. An older kunit.py leaves the counting to others."""
    if "misc" in results:
        return {name: int(results["misc"][name]) for name in COUNTS}
    states = [state for _, state in case_states(results)]
    return {name: states.count(state) for state, name in STATES.items()}


def first_crash(log: str) -> str:
    """The line in which the kernel says that it crashed, without the time."""
    found = CRASH.search(log)
    if not found:
        return ""
    line = log[log.rfind("\n", 0, found.start()) + 1:].split("\n", 1)[0]
    return without_times(line).strip()


def around_crash(log: str) -> List[str]:
    """What the console says of a crash: the lines from shortly before it to the trace's end."""
    lines = log.splitlines()
    first = next((number for number, line in enumerate(lines) if CRASH.search(line)), None)
    if first is None:
        return []
    last = next((number for number, line in enumerate(lines) if number > first
                 and TRACE_END in line), first + TRACE_LINES)
    return lines[max(0, first - TRACE_BEFORE):last + 1]


def without_times(log: str) -> str:
    return STAMP.sub("", log)


def got_to(log: str) -> str:
    """How far a boot got that did not come to its end; its console is given without times."""
    begun, ended = (list(mark.finditer(log))[-1:] for mark in (BEGUN, ENDED))
    words = [f"in {mark.group(1)}" for mark in begun]
    if ended and not (begun and ended[0].start() < begun[0].start()):
        words = [word for word in words if word != f"in {ended[0].group(1)}"]
        words.append(f"after {ended[0].group(1)}")
    return ", ".join(words)


def before_any_case(verdict: Verdict, log: str) -> bool:
    """Did the boot end badly before there was anything to test?"""
    return verdict.code in (Exit.CRASH, Exit.HANG) and BEGIN not in log


@dataclass
class Case:
    """A result on the console: a case, or one of the parameters of a case."""

    suite: str
    name: str
    state: str  # "ok", "not ok" or "skip"
    reason: str  # why it was skipped
    said: List[str]  # what the kernel printed since the result before it

    @property
    def known_bug(self) -> bool:
        """Was it skipped because it shows a known bug of the kernel?"""
        return self.state == "skip" and bool(KNOWN_BUG.search(self.reason))


@dataclass
class Suite:
    name: str
    cases: List[Case] = field(default_factory=list)
    seconds: Optional[float] = None  # by the kernel's clock
    total: Optional[int] = None  # how many results it has, as the kernel counts them


def suites(log: str) -> List[Suite]:
    """The suites on a console, in order; the last one may be cut short."""
    found: List[Suite] = []
    groups: List[Tuple[int, str]] = []  # subtests that have begun: indent and name
    said: List[str] = []
    begun = 0.0
    begin = log.find(BEGIN)
    for line in log[begin:].splitlines() if begin >= 0 else ():
        stamp = STAMP.match(line)
        subtest, result = SUBTEST.match(line), RESULT.match(line)
        totals = TOTALS.match(line)
        if totals and found:
            found[-1].total = int(totals.group(1))
        if subtest:
            indent = len(subtest.group(1))
            groups = [group for group in groups if group[0] < indent] + [(indent,
                                                                         subtest.group(2))]
            if len(groups) == 1:
                found.append(Suite(subtest.group(2)))
                begun = float(stamp.group(1)) if stamp else 0.0
                said = []
        elif result and found and groups:
            indent = len(result.group(1))
            inner = [group for group in groups if group[0] > indent]
            groups = [group for group in groups if group[0] <= indent]
            if not groups:  # the suite's own
                if stamp:
                    found[-1].seconds = float(stamp.group(1)) - begun
            elif not inner:
                name = " ".join([*(name for _, name in groups[1:]), result.group(3)]).strip()
                state = "not ok" if result.group(2) else \
                    "ok" if result.group(4) is None else "skip"
                found[-1].cases.append(Case(found[-1].name, name, state,
                                            result.group(4) or "", said))
            said = []
        else:
            said.append(without_times(line))
    return found


def case_states(results: Dict[str, Any], above: str = "") -> Iterator[Tuple[str, str]]:
    """Name and state of each case in kunit.py's JSON, in order."""
    for group in results.get("sub_groups", []):
        yield from case_states(group, f"{above}{group['name']}.")
    for case in results.get("test_cases", []):
        if case["name"]:  # one that the kernel did not survive has none
            yield f"{above}{case['name']}", str(case["status"])


def ktap(log: str) -> str:
    """The results on a console as KTAP: what comes before them is left out, and the times."""
    begin = log.find(BEGIN)
    if begin < 0:
        return ""
    lines = log[log.rfind("\n", 0, begin) + 1:].splitlines()
    return "".join(f"{without_times(line)}\n" for line in lines if THE_END not in line)


def around(said: List[str]) -> List[str]:
    """The kernel's words about a failure, without what is empty or too long."""
    lines = [line.rstrip() for line in said if line.strip()
             and not line.strip().startswith(("KTAP version", "1.."))]
    if len(lines) > CONTEXT:
        lines = [*lines[:CONTEXT // 2], f"[{len(lines) - CONTEXT} more lines]",
                 *lines[-CONTEXT // 2:]]
    return lines
