# SPDX-License-Identifier: GPL-2.0
"""Finds the mutants of what a patch changes, and writes sources that hold them.

Coccinelle matches the semantic patches in *.cocci beside this file, the
operators, on the syntax tree; here, positions become ranges of text, and ranges that are out
of scope go. In scope are the lines that the patch adds or changes, statements
that depend on a test there, and in all of each function that it touches:
conditions, heads of loops, and what is returned. For a file as a whole, all
its lines count as changed.

Mutants of expressions and statements share one source. Each is a branch that
is taken if the mutant is alive: see mutant.h. Others, a hunk of the patch
undone, have a source of their own.
"""

from __future__ import annotations

import bisect
import dataclasses
import json
import re
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Dict, Iterable, List, Optional, Sequence, Set, Tuple

from base.files import digest, write
from base.outcome import Exit, Fail
from base.process import CPUS, child_env, run
from series.git import Repository
from series.queue import put, touched
from series.worktree import Tree

OPERATORS = Path(__file__).resolve().parent
MACROS = OPERATORS / "macros.h"  # that Coccinelle should know
# The kernel's C is ASCII but for names in comments; Coccinelle counts bytes.
ENCODING = "latin-1"
# To Coccinelle these are calls, but what they declare lasts until the end of the block.
DECLARES = re.compile(r"(?:guard|LIST_HEAD|DEFINE_\w+|DECLARE_\w+)\b")
Range = Tuple[int, int]  # offsets in the text of a file: first, and one past the last


@dataclass(frozen=True)
class Mutant:
    """One change of the kernel; its key outlives changes elsewhere in the file."""

    key: str
    path: str
    function: str
    operator: str
    line: int
    last_line: int
    before: str
    after: str
    kind: str = "source"  # that is, one of its own; or what emit.py says
    place: Range = (0, 0)
    body: Range = (0, 0)  # the first and the last line of the function
    family: str = "hunks"  # or the file that has the operator
    sources: Dict[str, str] = field(default_factory=dict, compare=False)  # its own, if any

    @property
    def where(self) -> str:
        return self.function or self.path


@dataclass(frozen=True)
class Hunk:
    """A change: lines from `first` on, counted from 0, before the patch and after it."""

    before_first: int
    before_count: int
    first: int
    count: int


@dataclass(frozen=True)
class Change:
    """What a patch makes of a file."""

    before: str
    after: str
    hunks: List[Hunk]  # with the lines around them
    exact: List[Hunk]

    @property
    def added(self) -> Set[int]:
        """Lines, counted from 1, that the patch adds or changes."""
        return {line + 1 for hunk in self.exact
                for line in range(hunk.first, hunk.first + hunk.count)}

    def touches(self, first: int, last: int, within: Optional[Hunk] = None) -> bool:
        """Does the patch change anything between the first and the last line of a function?"""
        for hunk in self.exact:
            if within and not within.first <= hunk.first < within.first + within.count:
                continue
            if hunk.count and hunk.first < last and hunk.first + hunk.count >= first:
                return True
            # What is gone was between two lines.
            if not hunk.count and first <= hunk.first < last:
                return True
        return False

    @classmethod
    def whole(cls, text: str) -> Change:
        """A file of which each line is in scope, and no hunk can be undone."""
        return cls("", text, [], [Hunk(0, 0, 0, len(text.splitlines()))])

    def without(self, hunk: Hunk) -> str:
        old, new = self.before.splitlines(True), self.after.splitlines(True)
        new[hunk.first:hunk.first + hunk.count] = \
            old[hunk.before_first:hunk.before_first + hunk.before_count]
        return "".join(new)


def undo(tree: Tree, patch: Path) -> Dict[str, Change]:
    """Undo a patch on what is built, in git's objects alone, and compare."""
    paths = [path for path in touched([patch]) if path.endswith((".c", ".h"))]
    ours, index = tree.ours, tree.ours.home / "mutants.index"
    ours.git("read-tree", tree.id, index=index)
    # Somebody may have edited them since.
    put(ours, index, {path: (tree.path / path).read_bytes() for path in paths
                      if (tree.path / path).is_file()})
    after = ours.git("write-tree", index=index).strip()
    done = ours.attempt("apply", "--cached", "--reverse", *(f"--include={path}" for path in paths),
                        str(patch), index=index)
    if done.returncode:
        raise Fail(Exit.PATCH, f"{patch.name} cannot be undone in {tree.path}: "
                   f"{done.stderr.strip()}", "update the series that the tree carries")
    return between(ours, ours.git("write-tree", index=index).strip(), after, paths)


def between(ours: Repository, before: str, after: str, paths: Iterable[str]) -> Dict[str, Change]:
    """What is different in files of two trees."""
    def text(of: str, path: str) -> str:
        return (ours.file(of, path) or b"").decode(ENCODING)

    def hunks(path: str, context: int) -> List[Hunk]:
        return _hunks(ours.git("diff-tree", "-p", "--no-renames", f"-U{context}", before, after,
                               "--", path))
    return {path: Change(text(before, path), text(after, path), hunks(path, 3), hunks(path, 0))
            for path in paths}


def _hunks(diff: str) -> List[Hunk]:
    found = []
    for numbers in re.findall(r"^@@ -(\d+)(?:,(\d+))? \+(\d+)(?:,(\d+))? @@", diff, re.MULTILINE):
        first, count, then_first, then_count = (int(number or "1") for number in numbers)
        # Of no lines, git names the one in front of them.
        found.append(Hunk(first - (count > 0), count, then_first - (then_count > 0), then_count))
    return found


class Source:
    """A file, with offsets for the positions that Coccinelle names."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.starts = [0]
        for line in text.splitlines(True):
            self.starts.append(self.starts[-1] + len(line))

    def range(self, found: Sequence[int]) -> Range:
        line, column, last_line, last_column = found
        return self.starts[line - 1] + column, self.starts[last_line - 1] + last_column

    def line(self, offset: int) -> int:
        return bisect.bisect_right(self.starts, offset)

    def slice(self, place: Range) -> str:
        return self.text[place[0]:place[1]]


def matches(tree: Path, paths: Sequence[str], made: Path) -> Dict[str, List[Dict[str, Any]]]:
    """All that the operators match in the files; what was found is kept in `made`."""
    write(made / "none.iso", b"")
    jobs = [(path, operators) for path in paths for operators in sorted(OPERATORS.glob("*.cocci"))]
    with ThreadPoolExecutor(CPUS) as pool:
        found = list(pool.map(lambda job: _matched(tree / job[0], job[1], made), jobs))
    return {path: [{**match, "family": job[1].stem} for job, lines in zip(jobs, found)
                   if job[0] == path for match in lines] for path in paths}


def _matched(file: Path, operators: Path, made: Path) -> List[Dict[str, Any]]:
    known = made / digest(file.read_bytes(), operators.read_bytes(), MACROS.read_bytes(),
                          (OPERATORS / "emit.py").read_bytes())
    if not known.exists():
        # Isomorphisms would match what is not written there.
        done = run(["spatch", "--very-quiet", "--no-includes", "--macro-file",
                    str(MACROS), "--iso-file", str(made / "none.iso"), "--sp-file",
                    str(operators), str(file)],
                   env={**child_env(), "PYTHONPATH": str(OPERATORS)})
        if done.returncode or not all(line.startswith("{") for line in done.stdout.splitlines()):
            raise Fail(Exit.BUILD, f"spatch {operators.name} on {file}: "
                       f"{(done.stderr or done.stdout).strip()[:1000]}",
                       "mend the semantic patch, or install coccinelle 1.1.1 or later")
        write(known, done.stdout.encode())
    return [json.loads(line) for line in known.read_text().splitlines()]


def _overlap(one: Range, other: Range) -> bool:
    return one[0] < other[1] and other[0] < one[1]


def _inside(inner: Range, outer: Range) -> bool:
    return outer[0] <= inner[0] and inner[1] <= outer[1]


def words(text: str) -> str:
    """A text without comments and line breaks, for keys and for readers."""
    return " ".join(re.sub(r"/\*.*?\*/", " ", text, flags=re.DOTALL).split())


def every(path: str, text: str, found: Iterable[Dict[str, Any]]) -> List[Mutant]:
    """All mutants of a file; so a key is the same, whatever is in scope."""
    source = Source(text)
    mutants: Dict[Tuple[Range, str], Mutant] = {}
    for match in found:
        if "operator" not in match:
            continue
        place = source.range(match["range"])
        before = source.slice(place)
        if match["kind"] == "statement" and DECLARES.match(before):
            continue
        if match["kind"] == "statement" and before.startswith("return ") \
                and text[place[1]:source.starts[match["body"][1]]].strip() == "}":
            continue  # a function cannot end without what it returns
        after = match["replacement"].format(
            **{name: source.slice(source.range(part)) for name, part in match["parts"].items()})
        mutants.setdefault((place, words(after)), Mutant(
            f"{match['function']}: {match['operator']}: {words(before)}", path,
            match["function"], match["operator"], source.line(place[0]),
            source.line(place[1] - 1), before, after, match["kind"], place,
            (match["body"][0], match["body"][1]), match["family"]))
    return _numbered(sorted(mutants.values(), key=lambda mutant: (mutant.place, mutant.operator)))


def in_scope(change: Change, mutants: Iterable[Mutant],
             found: Iterable[Dict[str, Any]]) -> List[Mutant]:
    """Those of the mutants of a file that are in scope."""
    source = Source(change.after)
    lines = [(source.starts[line - 1], source.starts[line]) for line in sorted(change.added)]
    worthy = []
    for match in found:
        if match.get("scope") == "condition" or match.get("scope") == "branch" and any(
                _overlap(source.range(match["parts"]["test"]), line) for line in lines):
            worthy.append(source.range(match["range"]))
    return [mutant for mutant in mutants if change.touches(*mutant.body) and (
        mutant.operator.startswith("return ")
        or any(_inside(mutant.place, outer) for outer in worthy)
        or any(_overlap(mutant.place, line) for line in lines))]


def _numbered(mutants: Iterable[Mutant]) -> List[Mutant]:
    """Tell those apart that would have the same key."""
    seen: Dict[str, int] = {}
    result = []
    for mutant in mutants:
        seen[mutant.key] = count = seen.get(mutant.key, 0) + 1
        result.append(mutant if count == 1 else
                      dataclasses.replace(mutant, key=f"{mutant.key} #{count}"))
    return result


def instrument(text: str, numbered: Sequence[Tuple[int, Mutant]]) -> str:
    """The text with all mutants in it; ranges nest, as the syntax does."""
    ranges: Dict[Range, List[Tuple[int, Mutant]]] = {}
    for number, mutant in numbered:
        ranges.setdefault(mutant.place, []).append((number, mutant))
    # An outer range comes before those in it.
    order = sorted(ranges, key=lambda place: (place[0], -place[1]))

    def write_range(first: int, last: int, at: int) -> Tuple[str, int]:
        parts, here = [], first
        while at < len(order) and order[at][0] < last:
            place = order[at]
            parts.append(text[here:place[0]])
            inner, at = write_range(*place, at + 1)
            parts.append(_branches(inner, ranges[place]))
            here = place[1]
        return "".join((*parts, text[here:last])), at

    return write_range(0, len(text), 0)[0]


def _branches(inner: str, numbered: Sequence[Tuple[int, Mutant]]) -> str:
    """The alternatives for a range; lines keep their numbers."""
    def after(mutant: Mutant) -> str:
        return mutant.after.replace("\n", " ")

    if numbered[0][1].kind == "statement":
        tests = [f"if (mutant({number})) {{ {after(mutant)} }} else "
                 for number, mutant in numbered]
        return f"{{ {''.join(tests)}{{ {inner} }} }}"
    # Where only the truth counts, one may be a pointer, and another a number.
    truth = "!!" if any(mutant.kind == "condition" for _, mutant in numbered) else ""
    tests = [f"mutant({number}) ? {truth}({after(mutant)}) : " for number, mutant in numbered]
    return f"({''.join(tests)}{truth}({inner}))"


def _code(text: str) -> str:
    """What the compiler sees, but for macros."""
    done = run(["gcc", "-fpreprocessed", "-dD", "-E", "-P", "-xc", "-"], input=text)
    return "".join(done.stdout.split())


def undone(found: Dict[str, Change], bodies: Dict[str, Dict[Range, str]]) -> List[Mutant]:
    """Mutants with a source of their own: a hunk undone, and all of a file."""
    result = []
    for path, change in found.items():
        after = _code(change.after)
        cases = [(hunk, change.without(hunk)) for hunk in change.hunks]
        cases = [(hunk, text) for hunk, text in cases if _code(text) != after]
        for number, (hunk, text) in enumerate(cases, 1):
            functions = {name for (first, last), name in bodies.get(path, {}).items()
                         if change.touches(first, last, within=hunk)}
            result.append(Mutant(
                f"{path}: undo hunk: {number} of {len(cases)}", path,
                functions.pop() if len(functions) == 1 else "", "undo hunk",
                hunk.first + 1, hunk.first + hunk.count,
                "".join(change.after.splitlines(True)[hunk.first:hunk.first + hunk.count]),
                "".join(change.before.splitlines(True)[
                    hunk.before_first:hunk.before_first + hunk.before_count]),
                sources={path: text}))
        if len(cases) > 1:
            result.append(Mutant(f"{path}: undo file: all hunks", path, "", "undo file", 1, 1,
                                 "", "", sources={path: change.before}))
    return result


def find(tree: Path, changes: Dict[str, Change], made: Path) -> Tuple[List[Mutant], Set[str]]:
    """The mutants of what is changed, in a fixed order; and the keys of all in these files."""
    # A header below include/ is not ours alone, and has next to no code.
    paths = [path for path in changes if not path.startswith("include/")]
    matched = matches(tree, paths, made)
    mutants: List[Mutant] = []
    keys: Set[str] = set()
    for path in paths:
        possible = every(path, changes[path].after, matched[path])
        keys.update(mutant.key for mutant in possible)
        mutants += in_scope(changes[path], possible, matched[path])
    bodies = {path: {(match["body"][0], match["body"][1]): str(match["function"])
                     for match in matched[path]} for path in paths}
    mutants += undone(changes, bodies)
    return mutants, keys.union(mutant.key for mutant in mutants)
