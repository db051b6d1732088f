#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Tells which lines and branches of the series the suites run, function by function.

gcov counts inside the guest, in the objects whose sources the feature's patch
changes; its numbers come out by way of a user space. What counts is what the
compiler made: a line whose code is all inlined from a header, as that of
__SetPageOfflineSkippable() is, is counted there; what was made twice has its
branches twice. What the series adds has to run.
"""

from __future__ import annotations

import json
import os
import re
import tarfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Dict, List, Set, Tuple

import fetch
import kernel as kernels
import kunit
import series
import tools
import userspace
from host import BUILD, fresh, install, run, write
from options import Options, from_environment
from overlay import touched
from progress import Progress
from tree import build_lock, has_series
from verdict import Exit, Fail, run_verb

# command, Debian package
TOOLS = (*userspace.TOOLS, ("genhtml", "lcov"), ("diff", "diffutils"))
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


def changed(tree: Path) -> List[str]:
    """The files that the feature's patch, the first of the series, changes."""
    return touched(series.queue_for(series.version_of(tree)[0]).patches()[:1])


def change(before: Path, after: Path) -> Change:
    said = run(["diff", "-N", "-U0", str(before), str(after)]).stdout
    added: Set[int] = set()
    removed: Set[int] = set()
    for found in HUNK.finditer(said):
        first, count = int(found.group(1)), int(found.group(2) or 1)
        added.update(range(first, first + count))
        if not count:
            removed.add(first)
    text = after.read_text().splitlines()
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


class Report:
    """What ran of what the series touches."""

    def __init__(self, tree: Path, sources: Dict[str, Source], changes: Dict[str, Change]) -> None:
        self.tree = tree
        self.functions: List[Tuple[str, Function, List[Line]]] = []
        self.added: List[Line] = []
        self.gaps: List[Gap] = []
        self.excused: List[Gap] = []
        self.trace: List[str] = []
        for path, made in changes.items():
            self._file(path, sources.get(path, Source()), made)

    def _file(self, path: str, source: Source, made: Change) -> None:
        text = (self.tree / path).read_text().splitlines()
        functions = [function for function in source.functions if made.within(function)]
        for function in sorted(functions, key=lambda function: function.first):
            self.functions.append((path, function, [
                line for number, line in sorted(source.lines.items())
                if function.first <= number <= function.last]))
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
                *map(str, self.gaps)]

    def as_json(self) -> str:
        return json.dumps({
            "added": tally(self.added), "missed": [str(gap) for gap in self.gaps],
            "excused": [str(gap) for gap in self.excused],
            "functions": [{"file": path, "name": function.name, "calls": function.count,
                           **tally(lines)} for path, function, lines in self.functions]},
            indent=2) + "\n"


def describe(tree: Path, options: Options) -> kernels.Kernel:
    """The kernel of `make kunit`, with gcov counting in the objects of the feature."""
    if options.llvm:
        raise Fail(Exit.BAD_INPUT, "coverage is counted by gcc", "leave LLVM= out")
    names = [Path(path).stem for path in changed(tree) if path.endswith(".c")]
    return userspace.describe(tree, options, "coverage",
                              tuple(f"GCOV_PROFILE_{name}.o=y" for name in names))


def boot(kernel: kernels.Kernel, base: Path) -> kunit.Verdict:
    """Boot, count, report. The tree without the series is at base."""
    counts = kernel.state / "gcov.tar"
    verdict = userspace.boot(kernel, SCRIPT, counts)
    if verdict.code is not Exit.OK:
        return verdict
    sources = read(_gcov(kernel, counts), kernel.tree)
    uncounted = [path for path in changed(kernel.tree) if path.endswith(".c")
                 and path not in sources]
    if uncounted:
        raise Fail(Exit.BUILD, f"gcov counted nothing in {', '.join(uncounted)}",
                   "see that the kernel's config has what builds them")
    report = Report(kernel.tree, sources, {path: change(base / path, kernel.tree / path)
                                           for path in changed(kernel.tree)})
    write(BUILD / "coverage/coverage.json", report.as_json().encode())
    _html(kernel, "\n".join([*report.trace, ""]))
    print("\n".join(report.rows()))
    if not report.gaps:
        return verdict
    return kunit.Verdict(Exit.CASE_FAILED, f"of what the series adds, not all runs: "
                         f"{report.gaps[0]}", verdict.counts)


def _gcov(kernel: kernels.Kernel, counts: Path) -> str:
    """Have gcov bring the guest's counters together with the compiler's notes."""
    folder = fresh(BUILD / "coverage/gcov")
    with tarfile.open(counts) as archive:
        for member in archive:
            if member.isfile():
                path = Path(f"/{os.path.normpath(member.name)}")
                data = archive.extractfile(member)
                assert data
                write(folder / path.name, data.read())
                install(path.with_suffix(".gcno"), folder / path.with_suffix(".gcno").name)
    done = run([tools.compiler(kernel.options).replace("gcc", "gcov"), "--json-format",
                "--branch-probabilities", "--stdout",
                *(str(path) for path in sorted(folder.glob("*.gcda")))], cwd=folder)
    if done.returncode or done.stderr:
        raise Fail(Exit.BUILD, f"gcov cannot read what the kernel counted: {done.stderr.strip()}",
                   "use a gcov as old as the compiler; remove "
                   f"{kernel.out} if another compiler was used in there")
    return done.stdout


def _html(kernel: kernels.Kernel, trace: str) -> None:
    info = BUILD / "coverage/coverage.info"
    write(info, trace.encode())
    with Progress("writing HTML"):
        done = run(["genhtml", "--quiet", "--branch-coverage", "--legend",
                    f"--prefix={kernel.tree}", "--title=offline-skippable pages",
                    f"--output-directory={fresh(BUILD / 'coverage/html')}", str(info)])
    if done.returncode:
        raise Fail(Exit.MISSING, f"genhtml failed: {done.stderr.strip()}",
                   f"see {info}; the figures are in {BUILD / 'coverage/coverage.json'}")


def coverage(options: Options, folder: Path) -> kunit.Verdict:
    """The whole way from source to report."""
    tools.require(options, TOOLS)
    base = options.kdir.resolve() if options.kdir else fetch.source(options.kernel)
    if has_series(base):
        raise Fail(Exit.BAD_INPUT, f"{base} has the series already, so there is no telling what "
                   "the series adds", "pass a tree without it, or none")
    return kunit.kunit(options, folder, describe, lambda kernel: boot(kernel, base))


def main() -> Exit:
    options = from_environment(os.environ)
    folder = BUILD / "results" / f"coverage-{options.arch}"
    with build_lock("make coverage"):
        return kunit.recorded(folder, lambda: coverage(options, folder))


if __name__ == "__main__":
    run_verb(main)
