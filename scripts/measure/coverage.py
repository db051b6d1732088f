# SPDX-License-Identifier: GPL-2.0
"""Tell which lines and branches the suites run, function by function.

gcov counts inside the guest, in the objects whose sources the feature's patch
changes, and in those that are about memory hotplug as a whole; its numbers come
out by way of a user space. What counts is what the compiler made: a line whose
code is all inlined from a header, as that of SetPageOfflineSkippable() is, is
counted there; what was made twice has its branches twice. What the series adds
has to run, or the verdict is fail, unless EXCUSED in scripts/measure/coverage.py
says why no case can run it. Of the functions about memory hotplug, those are
named that do not run to the last line; scripts/measure/uncovered says why.
build/coverage/ gets the figures as JSON, and the sources in html/index.html.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import tarfile
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Dict, List, Mapping, Optional, Sequence, Set, Tuple

from base.files import BUILD, fresh, write
from base.outcome import Exit, Fail
from base.process import run
from base.progress import Progress, result
from guest import initramfs, job, verb
from guest import build as kernels
from guest.requirements import COVERAGE
from guest.setup import Setup
from guest.verdict import Verdict
from measure import uncovered
from measure.uncovered import Covered
from mutants.scope import files
from series.git import Repository
from series.overlay import Overlay, feature_patch
from series.queue import touched
from series.worktree import Source as KernelSource
from series.worktree import Tree

RESULTS = BUILD / "coverage"
# File and source line: how many of its branches no case can take, and why.
EXCUSED: Dict[Tuple[str, str], Tuple[int, str]] = {
    ("mm/page_alloc.c", "if (unlikely(!PageBuddy(page) && PageHWPoison(page))) {"):
        (1, "a page that is neither free nor offline nor HWPoison is a BUG() right below"),
}
# stat() says that files in debugfs are empty, so tar cannot take them from there.
SCRIPT = """cd /debug/gcov
find . -name '*.gcda' | while read -r file; do
	mkdir -p "/gcov/${file%/*}"
	cat "$file" > "/gcov/$file"
done
tar -c -C /gcov . >&3"""
HUNK = re.compile(r"^@@ -\S+ \+(\d+)(?:,(\d+))? @@", re.MULTILINE)
# The end of a line whose statement goes on in the next.
GOES_ON = re.compile(r"(&&|\|\||[-+*=?,(])$")


@dataclass
class Line:
    """How often a line ran, and each of its branches."""

    count: int = 0
    branches: List[int] = field(default_factory=list)


@dataclass(frozen=True)
class Function:
    name: str
    first: int
    last: int
    count: int


@dataclass
class Source:
    """What gcov counted in one file, all objects together."""

    lines: Dict[int, Line] = field(default_factory=dict)
    functions: List[Function] = field(default_factory=list)

    def of(self, function: Function) -> Dict[int, Line]:
        return {number: line for number, line in sorted(self.lines.items())
                if function.first <= number <= function.last}


@dataclass(frozen=True)
class Change:
    """What the series does to a file, by the numbers that lines have then."""

    added: Set[int]
    removed: Set[int]  # the lines after which it takes some away

    def within(self, function: Function) -> bool:
        return any(function.first <= number <= function.last for number in self.added) \
            or any(function.first <= number < function.last for number in self.removed)


@dataclass(frozen=True)
class Gap:
    """What the series adds and did not run: a line, or as many of its branches."""

    path: str
    number: int
    line: Line
    text: str

    @property
    def branches(self) -> int:
        return self.line.branches.count(0) if self.line.count else 0

    def __str__(self) -> str:
        what = f"{self.branches} of {len(self.line.branches)} branches not taken" \
            if self.branches else "not run"
        return f"{self.path}:{self.number}: {what}: {self.text}"


def tally(lines: List[Line]) -> Dict[str, int]:
    branches = [count for line in lines for count in line.branches]
    return {"lines": len(lines), "lines_hit": sum(line.count > 0 for line in lines),
            "branches": len(branches), "branches_hit": sum(count > 0 for count in branches)}


def change(ours: Repository, before: bytes, after: bytes) -> Change:
    """What git takes for the difference of two texts."""
    said = ours.git("diff", "--unified=0", ours.blob(before), ours.blob(after))
    added: Set[int] = set()
    removed: Set[int] = set()
    for found in HUNK.finditer(said):
        first, count = int(found.group(1)), int(found.group(2) or 1)
        added.update(range(first, first + count))
        if not count:
            removed.add(first)
    text = after.decode(errors="replace").splitlines()
    for number in sorted(added):
        # The compiler may count a branch where its statement begins.
        while number > 1 and GOES_ON.search(text[number - 2]):
            number -= 1
            added.add(number)
    return Change(added, removed)


def read(said: str, tree: Path) -> Dict[str, Source]:
    """What gcov prints: a line of JSON for each object file."""
    sources: Dict[str, Source] = {}
    for text in said.splitlines():
        made = json.loads(text)
        for part in made["files"]:
            path = os.path.join(made["current_working_directory"], part["file"])
            source = sources.setdefault(os.path.relpath(path, tree), Source())
            source.functions += [
                Function(found["name"], found["start_line"], found["end_line"],
                         found["execution_count"]) for found in part["functions"]]
            for found in part["lines"]:
                line = source.lines.setdefault(found["line_number"], Line())
                line.count += found["count"]
                line.branches += [branch["count"] for branch in found["branches"]]
    return sources


NO_CHANGE = Change(set(), set())


class Report:
    """What ran of what the series touches, and of the functions of some files."""

    def __init__(self, tree: Path, sources: Dict[str, Source], changes: Dict[str, Change],
                 wanted: Mapping[str, Sequence[str]]) -> None:
        self.tree = tree
        self.covered: List[Covered] = []
        self.known = uncovered.reasons()
        self.functions: List[Tuple[str, Function, List[Line]]] = []
        self.added: List[Line] = []
        self.gaps: List[Gap] = []
        self.excused: List[Gap] = []
        self.trace: List[str] = []
        for path in dict.fromkeys([*changes, *wanted]):
            self._file(path, sources.get(path, Source()), changes.get(path, NO_CHANGE),
                       wanted.get(path, ()))

    def _file(self, path: str, source: Source, made: Change, wanted: Sequence[str]) -> None:
        text = (self.tree / path).read_text().splitlines()
        functions = []
        for function in sorted(source.functions, key=lambda function: function.first):
            lines = source.of(function)
            if made.within(function):
                self.functions.append((path, function, list(lines.values())))
            if any(fnmatchcase(function.name, pattern) for pattern in wanted):
                missed = [number for number, line in lines.items() if not line.count]
                self.covered.append(Covered(path, function.name, len(lines), missed))
            elif not made.within(function):
                continue
            functions.append(function)
        shown = {number: line for number, line in sorted(source.lines.items())
                 if number in made.added or any(function.first <= number <= function.last
                                                for function in functions)}
        for number, line in shown.items():
            if number not in made.added:
                continue
            self.added.append(line)
            if not line.count or 0 in line.branches:
                gap = Gap(path, number, line, text[number - 1].strip())
                branches, _ = EXCUSED.get((path, gap.text), (0, ""))
                (self.excused if branches and branches == gap.branches else self.gaps).append(gap)
        self._trace(path, functions, shown)

    def _trace(self, path: str, functions: List[Function], lines: Dict[int, Line]) -> None:
        """For genhtml, as geninfo(1) has it."""
        self.trace += ["TN:", f"SF:{self.tree / path}"]
        for function in functions:
            self.trace += [f"FN:{function.first},{function.name}",
                           f"FNDA:{function.count},{function.name}"]
        for number, line in lines.items():
            self.trace += [f"BRDA:{number},0,{which},{count if line.count else '-'}"
                           for which, count in enumerate(line.branches)]
            self.trace.append(f"DA:{number},{line.count}")
        self.trace.append("end_of_record")

    def rows(self) -> List[str]:
        found = [(f"{path} {function.name}", tally(lines))
                 for path, function, lines in self.functions]
        found.append(("all that the series adds", tally(self.added)))
        return [f"{'':<62}  {'lines':>8}  {'branches':>8}",
                *(f"{name:<62}  {'{lines_hit}/{lines}'.format(**counts):>8}  "
                  f"{'{branches_hit}/{branches}'.format(**counts):>8}" for name, counts in found),
                *(f"{gap} (excused: {EXCUSED[gap.path, gap.text][1]})" for gap in self.excused),
                *map(str, self.gaps), "", *uncovered.rows(self.covered, self.known)]

    def as_json(self) -> str:
        return json.dumps({
            "added": tally(self.added), "missed": [str(gap) for gap in self.gaps],
            "excused": [str(gap) for gap in self.excused],
            "functions": [{"file": path, "name": function.name, "calls": function.count,
                           **tally(lines)} for path, function, lines in self.functions],
            "hotplug": [{"file": found.path, "name": found.name, "lines": found.lines,
                         "missed": found.missed, "why": found.why(self.known)}
                        for found in self.covered]},
            indent=2) + "\n"


class Job:
    """How the kernel is built and what its boot tells, for the job that does both."""

    def __init__(self) -> None:
        self.tree: Optional[Tree] = None
        self.paths: List[str] = []  # the files that the feature's patch changes
        self.wanted = files()

    def describe(self, tree: Tree, setup: Setup) -> kernels.Kernel:
        """The kernel of `suite kunit`, with gcov counting in the objects of the feature."""
        if setup.llvm:
            raise Fail(Exit.BAD_INPUT, "coverage is counted by gcc", "leave --llvm out")
        overlay = Overlay(tree.ours)
        if overlay.has_series(tree.base) or overlay.has_feature(tree.base):
            raise Fail(Exit.BAD_INPUT, "the kernel has the feature already, so there is no telling "
                       "what the series adds", "pass a tree without it as --kdir=, or none")
        patch = feature_patch(tree.version.rpartition(".")[0])
        assert patch  # or else the feature would not be there
        self.tree, self.paths = tree, touched([patch])
        return initramfs.describe(tree.path, setup, "coverage", tuple(
            f"GCOV_PROFILE_{Path(path).stem}.o=y" for path in self._sources()))

    def _sources(self) -> List[str]:
        return [path for path in dict.fromkeys([*self.paths, *self.wanted])
                if path.endswith(".c")]

    def boot(self, kernel: kernels.Kernel) -> Verdict:
        """Boot, count, report."""
        counts = kernel.state / "gcov.tar"
        verdict = initramfs.boot(kernel, SCRIPT, counts)
        if verdict.code is not Exit.OK:
            return verdict
        sources = read(_gcov(kernel, counts, self._sources()), kernel.tree)
        uncounted = [path for path in self._sources() if path not in sources]
        if uncounted:
            raise Fail(Exit.BUILD, f"gcov counted nothing in {', '.join(uncounted)}",
                       "see that the kernel's config has what builds them")
        report = Report(kernel.tree, sources, self._changes(), self.wanted)
        write(RESULTS / "coverage.json", report.as_json().encode())
        _html(kernel, "\n".join([*report.trace, ""]))
        for row in report.rows():
            result(row)
        if not report.gaps:
            return verdict
        return Verdict(Exit.CASE_FAILED, f"of what the series adds, not all runs: "
                       f"{report.gaps[0]}", verdict.counts)

    def _changes(self) -> Dict[str, Change]:
        """What is different in the files that were built: the series, and edits of the user's."""
        assert self.tree
        ours, base = self.tree.ours, self.tree.base
        return {path: change(ours, ours.file(base, path) or b"",
                             (self.tree.path / path).read_bytes()) for path in self.paths}


def _gcov(kernel: kernels.Kernel, counts: Path, sources: Sequence[str]) -> str:
    """Have gcov bring the guest's counters together with the compiler's notes.

    The options for an object also go for others of that name, which are left out.
    """
    wanted = {str(kernel.out.resolve() / Path(source).with_suffix(".gcda")) for source in sources}
    folder = fresh(RESULTS / "gcov")
    with tarfile.open(counts) as archive:
        for member in archive:
            path = Path(f"/{os.path.normpath(member.name)}")
            if member.isfile() and str(path) in wanted:
                data = archive.extractfile(member)
                assert data
                write(folder / path.name, data.read())
                notes = path.with_suffix(".gcno")
                shutil.copyfile(notes, folder / notes.name)
    done = run([kernel.setup.compiler.replace("gcc", "gcov"), "--json-format",
                "--branch-probabilities", "--stdout",
                *(str(path) for path in sorted(folder.glob("*.gcda")))], cwd=folder)
    if done.returncode or done.stderr:
        raise Fail(Exit.BUILD, f"gcov cannot read what the kernel counted: {done.stderr.strip()}",
                   "use a gcov as old as the compiler; remove "
                   f"{kernel.out} if another compiler was used in there")
    return done.stdout


def _html(kernel: kernels.Kernel, trace: str) -> None:
    info = RESULTS / "coverage.info"
    write(info, trace.encode())
    with Progress("writing HTML"):
        done = run(["genhtml", "--quiet", "--branch-coverage", "--legend",
                    f"--prefix={kernel.tree}", "--title=offline-skippable pages",
                    f"--output-directory={fresh(RESULTS / 'html')}", str(info)])
    if done.returncode:
        raise Fail(Exit.MISSING, f"genhtml failed: {done.stderr.strip()}",
                   f"see {info}; the figures are in {RESULTS / 'coverage.json'}")


add_arguments = verb.add_arguments


def coverage(source: KernelSource, setup: Setup, folder: Path) -> Verdict:
    """The whole way from source to report."""
    counted = Job()
    return job.run(source, setup, folder, counted.describe, counted.boot)


def main(args: argparse.Namespace) -> Exit:
    return verb.run(args, "coverage", coverage, COVERAGE)
