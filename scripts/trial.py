# SPDX-License-Identifier: GPL-2.0
"""One commit: lay the suite over it, build, boot, judge; and remember the outcome.

What came of a tree is remembered by the tree's content: a rerun, a rebased
branch and a bisection that was interrupted test nothing twice.
"""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import json
import os
import re
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any, Dict, Iterator, List, Optional, Tuple

import kernel as kernels
import kunit
import tools
from commits import Commits
from host import child_env, digest, fresh, spawn, write
from options import Options
from verdict import Exit, Fail

# These are a commit's own; any other failure is of what is around it.
OF_THE_COMMIT = (Exit.PATCH, Exit.BUILD, Exit.NO_FEATURE)
BAD = (Exit.CASE_FAILED, Exit.CRASH, Exit.HANG)
WORDS = {Exit.OK: "pass", Exit.CASE_FAILED: "fail", Exit.CRASH: "crash", Exit.HANG: "hang",
         Exit.BUILD: "build error", Exit.PATCH: "does not apply", Exit.NO_FEATURE: "no feature",
         Exit.MISSING: "infrastructure", Exit.INTERRUPTED: "interrupted"}
# Line tables: they cost little, and a crash can be read.
DEBUG_FLAGS = "KCFLAGS=-g1"
FILES = ("test.log", "results.json", "results.ktap", "trace.txt", "build-errors.log")
ASSERTION = re.compile(r"^ *# \w+: (?:EXPECTATION|ASSERTION) FAILED at .*", re.MULTILINE)
NEXT_RESULT = re.compile(r"^ *(?:not )?ok \d+ |^ *# \w+: (?:EXPECTATION|ASSERTION) FAILED",
                         re.MULTILINE)
BEGUN = re.compile(r"^ *# Subtest: (\w+)", re.MULTILINE)
ENDED = re.compile(r"^ *(?:not )?ok \d+ ([\w, -]+\w)", re.MULTILINE)
TRACE_BEFORE, TRACE_LINES = 3, 70
TRACE_END = "---[ end "
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
    folder: Optional[Path] = None  # with the logs
    known: bool = False  # from an earlier run

    @property
    def word(self) -> str:
        return WORDS[self.code]

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

    @property
    def where(self) -> str:
        """Where it crashed, decoded."""
        trace = self.folder / "trace.txt" if self.folder else None
        found = INSTRUCTION.search(trace.read_text()) if trace and trace.exists() else None
        return found.group() if found else ""

    @property
    def got_to(self) -> str:
        """How far a boot got that did not come to its end."""
        log = self.folder / "test.log" if self.folder else None
        if self.code not in (Exit.CRASH, Exit.HANG) or not log or not log.exists():
            return ""
        text = log.read_text(errors="replace")
        begun, ended = (list(mark.finditer(text))[-1:] for mark in (BEGUN, ENDED))
        words = [f"in {mark.group(1)}" for mark in begun]
        if ended and not (begun and ended[0].start() < begun[0].start()):
            words = [word for word in words if word != f"in {ended[0].group(1)}"]
            words.append(f"after {ended[0].group(1)}")
        return ", ".join(words)

    def line(self) -> str:
        if self.code in kunit.WORDS:
            return kunit.Verdict(self.code, self.reason, self.counts).line()
        return f"{self.word}: {self.reason}"


def cases(results: Dict[str, Any], above: str = "") -> Iterator[Tuple[str, str]]:
    """Name and state of each case in kunit.py's JSON, in order."""
    for group in results.get("sub_groups", []):
        yield from cases(group, f"{above}{group['name']}.")
    for case in results.get("test_cases", []):
        if case["name"]:  # one that the kernel did not survive has none
            yield f"{above}{case['name']}", str(case["status"])


def assertion(log: str) -> str:
    """The lines of the first expectation that failed."""
    found = ASSERTION.search(log)
    if not found:
        return ""
    end = NEXT_RESULT.search(log, found.end())
    return log[found.start():end.start() if end else found.end() + 1000].strip()


class Tester:
    """Tests commits one after the other, in one working tree and build folder."""

    def __init__(self, options: Options, commits: Commits) -> None:
        self.options = options
        self.commits = commits

    def test(self, commit: str, passes: int = 1, fails: int = 1) -> Trial:
        """The outcome for a commit: the first that it has so many times."""
        begin = time.monotonic()
        try:
            tree = self.commits.lay(commit)
            folder = self.commits.work / "verdicts" / digest(tree.encode(), self._setup())[:16]
            known = _load(folder)
            if known and known.boots >= (passes if known.code is Exit.OK else
                                         fails if known.code in BAD else 1):
                return known
            kernel = self._build(tree, fresh(folder))
        except Fail as fail:
            if fail.code not in OF_THE_COMMIT:
                raise
            if fail.code is not Exit.BUILD:
                return Trial(fail.code, fail.what)
            return _save(Trial(fail.code, fail.what, folder=folder,
                               seconds=time.monotonic() - begin))
        boots = {True: 0, False: 0}
        while boots[True] < passes and boots[False] < fails:
            verdict, found = self._boot(kernel, folder)
            boots[verdict.code is Exit.OK] += 1
        return _save(Trial(verdict.code, verdict.reason, verdict.counts, found,
                           boots[verdict.code is Exit.OK], time.monotonic() - begin, folder))

    def boots(self, commit: str) -> Iterator[Trial]:
        """Build a commit, and boot it again and again, whatever is remembered."""
        tree = self.commits.lay(commit)
        folder = fresh(self.commits.work / "again" / commit)
        kernel = self._build(tree, folder)
        for number in itertools.count(1):
            verdict, found = self._boot(kernel, folder / str(number))
            yield Trial(verdict.code, verdict.reason, verdict.counts, found,
                        folder=folder / str(number))

    def _setup(self) -> bytes:
        """All that the outcome depends on but the tree."""
        given = self.options
        paths = [shutil.which(name) or name for name in
                 (tools.compiler(given), f"qemu-system-{tools.QEMU.get(given.arch, ('',))[0]}")]
        return repr([given.arch, given.config, given.kunit_args, given.llvm, DEBUG_FLAGS,
                     *((path, os.stat(path).st_mtime) for path in paths
                       if os.path.exists(path))]).encode()

    def _build(self, tree: str, folder: Path) -> kernels.Kernel:
        self.commits.check_out(tree)
        kernel = dataclasses.replace(kernels.describe(self.commits.tree, self.options),
                                     more_variables=(DEBUG_FLAGS,))
        try:
            kernel.kunitconfigs()
        except Fail as fail:
            raise Fail(Exit.NO_FEATURE, fail.what, fail.remedy) from None
        try:
            kernels.build(kernel)
        except Fail as fail:
            errors = kernel.state / "errors.log"
            if fail.code is Exit.BUILD and errors.exists():
                write(folder / "build-errors.log", errors.read_bytes())
            raise
        return kernel

    def _boot(self, kernel: kernels.Kernel,
              folder: Path) -> Tuple[kunit.Verdict, Dict[str, str]]:
        """Boot once; how long a good boot takes says when another one hangs."""
        usual = kernel.state / "boot-seconds"
        patience = kunit.PATIENCE
        if usual.exists():
            patience = min(patience, round(10 + 4 * float(usual.read_text())))
        begin = time.monotonic()
        verdict = kunit.boot(kernel, quiet=True, patience=patience)
        if verdict.code is Exit.OK:
            write(usual, f"{time.monotonic() - begin}".encode())
        kunit.keep(kernel, folder)
        if verdict.code is Exit.CRASH:
            _write_trace(kernel, folder)
        results = folder / "results.json"
        return verdict, dict(cases(json.loads(results.read_text()))) if results.exists() else {}


def _write_trace(kernel: kernels.Kernel, folder: Path) -> None:
    """What the console says of a crash, its addresses as source lines."""
    lines = (folder / "test.log").read_text(errors="replace").splitlines()
    first = next((number for number, line in enumerate(lines) if kunit.CRASH.search(line)), None)
    tool = kernel.tree / "scripts/decode_stacktrace.sh"
    if first is None or not tool.exists():
        return
    raw = folder / "trace.raw"
    last = next((number for number, line in enumerate(lines) if number > first
                 and TRACE_END in line), first + TRACE_LINES)
    raw.write_text("\n".join(lines[max(0, first - TRACE_BEFORE):last + 1]) + "\n")
    # The tool takes the prefix of binutils from there.
    env = {**child_env(), "CROSS_COMPILE": kernel.options.cross_compile,
           "LLVM": kernel.options.llvm}
    with open(raw) as given, open(folder / "trace.txt", "w") as decoded, \
            spawn(["bash", str(tool), str(kernel.out / "vmlinux")], stdin=given, stdout=decoded,
                  stderr=subprocess.DEVNULL, env=env) as child:
        child.wait()
    raw.unlink()


def _load(folder: Path) -> Optional[Trial]:
    with contextlib.suppress(FileNotFoundError):
        held = json.loads((folder / "trial.json").read_text())
        return Trial(Exit[held.pop("code")], folder=folder, known=True, **held)
    return None


def _save(trial: Trial) -> Trial:
    """Keep it for other runs; last of all, so that the logs are there, too."""
    assert trial.folder
    held = dataclasses.asdict(trial)
    del held["folder"], held["known"]
    held["code"] = trial.code.name
    write(trial.folder / "trial.json", json.dumps(held).encode())
    return trial


def changed(before: Dict[str, str], after: Dict[str, str]) -> List[Tuple[str, str, str]]:
    """The cases whose state is another one, with both states."""
    names = dict.fromkeys([*after, *before])
    return [(name, before.get(name, "absent"), after.get(name, "absent")) for name in names
            if before.get(name) != after.get(name)]
