# SPDX-License-Identifier: GPL-2.0
from __future__ import annotations

import json
from typing import Any, Dict, Sequence, Tuple
from unittest import mock

from base.outcome import Exit, Fail
from base.project import MARK, MARK_FILE
from guest.setup import Setup
from measure import coverage
from measure.coverage import Change, Job, Report, change, read
from series.git import Repository
from series.snapshot import snapshot
from series.worktree import Tree
from tests import fixture

BEFORE = "int a(void)\n{\n\tgone();\n\treturn 1;\n}\n\nint b(void)\n{\n\treturn 2;\n}\n"
AFTER = "int a(void)\n{\n\treturn 1;\n}\n\nint b(void)\n{\n\tif (x)\n\t\ty();\n\treturn 2;\n}\n"


def counted(path: str, functions: Sequence[Tuple[str, int, int]],
            lines: Dict[int, Tuple[int, Sequence[int]]]) -> str:
    """As gcov says it."""
    found: Dict[str, Any] = {
        "file": path,
        "functions": [{"name": name, "start_line": first, "end_line": last,
                       "execution_count": 1} for name, first, last in functions],
        "lines": [{"line_number": number, "count": count,
                   "branches": [{"count": taken} for taken in branches]}
                  for number, (count, branches) in lines.items()]}
    return json.dumps({"current_working_directory": "/", "files": [found]}) + "\n"


class ChangeTest(fixture.Case):
    def change(self, before: str, after: str) -> Change:
        return change(Repository(self.root / "ours.git"), before.encode(), after.encode())

    def test_added_lines_and_places_of_removed_ones_are_told(self) -> None:
        found = self.change(BEFORE, AFTER)
        self.assertEqual((found.added, found.removed), ({8, 9}, {2}))

    def test_nothing_changed(self) -> None:
        found = self.change(BEFORE, BEFORE)
        self.assertEqual((found.added, found.removed), (set(), set()))

    def test_a_condition_that_goes_on_in_an_added_line_belongs_to_it(self) -> None:
        found = self.change("f();\nif (a &&\n    b)\n", "f();\nif (a &&\n    c)\n")
        self.assertEqual(found.added, {2, 3})


class ReportTest(fixture.Case):
    FUNCTIONS = (("a", 1, 4), ("b", 6, 11))

    def report(self, lines: Dict[int, Tuple[int, Sequence[int]]], *wanted: str) -> Report:
        fixture.lay(self.kernel, {"mm/a.c": AFTER})
        said = counted(str(self.kernel / "mm/a.c"), self.FUNCTIONS, lines)
        return Report(self.kernel, read(said, self.kernel),
                      {"mm/a.c": change(Repository(self.root / "ours.git"), BEFORE.encode(),
                                        AFTER.encode())},
                      {"mm/a.c": wanted} if wanted else {})

    def test_all_that_was_added_runs(self) -> None:
        report = self.report({1: (0, ()), 3: (0, ()), 6: (5, ()), 8: (5, (2, 3)), 9: (2, ())})
        self.assertEqual(report.gaps, [])
        found = json.loads(report.as_json())
        self.assertEqual(found["added"], {"lines": 2, "lines_hit": 2, "branches": 2,
                                          "branches_hit": 2})
        self.assertEqual([(function["name"], function["lines_hit"], function["lines"])
                          for function in found["functions"]], [("a", 0, 2), ("b", 3, 3)])

    def test_what_does_not_run_is_named(self) -> None:
        report = self.report({8: (5, (5, 0)), 9: (0, ())})
        self.assertEqual([str(gap) for gap in report.gaps], [
            "mm/a.c:8: 1 of 2 branches not taken: if (x)", "mm/a.c:9: not run: y();"])
        self.assertIn("mm/a.c:9: not run: y();", report.rows())

    def test_only_as_many_branches_are_excused_as_there_is_a_reason_for(self) -> None:
        with mock.patch.dict(coverage.EXCUSED, {("mm/a.c", "if (x)"): (1, "so it is")}):
            report = self.report({8: (5, (5, 0))})
            self.assertEqual(report.gaps, [])
            self.assertIn("so it is", "\n".join(report.rows()))
            self.assertEqual(len(self.report({8: (5, (0, 0))}).gaps), 1)
            self.assertEqual(len(self.report({8: (0, ())}).gaps), 1)

    def test_functions_that_are_wanted_are_told_whether_changed_or_not(self) -> None:
        report = self.report({1: (1, ()), 3: (0, ()), 6: (5, ()), 8: (5, (2, 3))}, "a*")
        self.assertEqual([(found.name, found.lines, found.missed) for found in report.covered],
                         [("a", 2, [3])])
        self.assertIn("mm/a.c: 1 of 2 lines run, and 0 of 1 functions as a whole", report.rows())
        self.assertIn("DA:3,0", report.trace)

    def test_files_without_a_change_are_told_as_well(self) -> None:
        fixture.lay(self.kernel, {"mm/a.c": AFTER})
        said = counted(str(self.kernel / "mm/a.c"), self.FUNCTIONS, {1: (0, ()), 8: (1, ())})
        report = Report(self.kernel, read(said, self.kernel), {}, {"mm/a.c": ["*"]})
        self.assertEqual((report.functions, report.gaps), ([], []))
        self.assertEqual([(found.name, found.missed) for found in report.covered],
                         [("a", [1]), ("b", [])])

    def test_objects_add_up(self) -> None:
        path = str(self.kernel / "a.h")
        said = counted(path, (), {1: (0, (0, 0))}) + counted(path, (), {1: (3, (1, 2))})
        line = read(said, self.kernel)["a.h"].lines[1]
        self.assertEqual((line.count, line.branches), (3, [0, 0, 1, 2]))

    def test_the_trace_is_what_lcov_reads(self) -> None:
        report = self.report({1: (1, ()), 8: (0, (0, 0)), 9: (0, ())})
        self.assertEqual(report.trace, [
            "TN:", f"SF:{self.kernel / 'mm/a.c'}", "FN:1,a", "FNDA:1,a", "FN:6,b", "FNDA:1,b",
            "DA:1,1", "BRDA:8,0,0,-", "BRDA:8,0,1,-", "DA:8,0", "DA:9,0", "end_of_record"])


class JobTest(fixture.Case):
    def tree(self) -> Tree:
        ours = Repository(self.root / "ours.git")
        found = snapshot(self.kernel, ours, "kdir")
        return Tree(self.kernel, "7.3.4", found, found, ours)

    def test_a_tree_that_has_the_series_or_the_feature_is_refused(self) -> None:
        for files in ({MARK_FILE: MARK}, {MARK_FILE: "", **fixture.FEATURE}):
            fixture.lay(self.kernel, files)
            with self.assertRaises(Fail) as caught:
                Job().describe(self.tree(), Setup())
            self.assertEqual(caught.exception.code, Exit.BAD_INPUT)
            self.assertIn("already", caught.exception.what)

    def test_clang_is_refused(self) -> None:
        with self.assertRaises(Fail) as caught:
            Job().describe(self.tree(), Setup(llvm="1"))
        self.assertEqual(caught.exception.code, Exit.BAD_INPUT)

    def test_edits_of_the_tree_that_is_built_count_as_changes(self) -> None:
        job = Job()
        job.tree, job.paths = self.tree(), ["mm/code.c", "mm/new.c"]
        fixture.lay(self.kernel, {"mm/code.c": f"first\n{fixture.CODE}", "mm/new.c": "a\nb\n"})
        self.assertEqual({path: found.added for path, found in job._changes().items()},
                         {"mm/code.c": {1}, "mm/new.c": {1, 2}})
