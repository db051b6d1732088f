# SPDX-License-Identifier: GPL-2.0
from __future__ import annotations

import shutil
import subprocess
import tempfile
import unittest
from pathlib import Path
from typing import Any, Dict, List, Tuple

import fixture  # first: it sets the path

import mutant_report
import mutate
from kernel import Kernel
from mutant_kernel import DoesNotBuild, Run, Workshop
from mutant_result import (EQUIVALENT, STILLBORN, SURVIVED, Result, complaints, equivalents, guilt,
                           judged, named, summary)
from mutants import matching, sample
from mutate import Change, Mutant
from verdict import Exit, Fail

LOG = """\
KTAP version 1
1..2
    KTAP version 1
    # Subtest: scan
    1..3
        KTAP version 1
        # Subtest: stops
        not ok 1 first page
    # stops: pass:0 fail:1 skip:0 total:1
    not ok 1 stops
    ok 2 finds # SKIP no memory
    ok 3 ends
not ok 1 scan
    KTAP version 1
    # Subtest: migrate
    1..1
    ok 1 moves
ok 2 migrate
reboot: Restarting system
"""
ORDER = ["scan.stops", "scan.finds", "scan.ends", "migrate.moves"]
CODE = """\
static int f(struct page *page, int n)
{
	int i;

	if (PageOffline(page) && !n)
		return -EBUSY;
	for (i = 0; i < n; i++) {
		if (PageLRU(page))
			continue;
		g(i);
	}
	return 0;
}
"""


def mutant(text: str, before: str, after: str, kind: str = "expression",
           function: str = "f") -> Mutant:
    place = (text.index(before), text.index(before) + len(before))
    return Mutant(f"{function}: {after}: {before}", "mm/a.c", function, "op", 1, 1, before, after,
                  kind, place, (1, 3))


def plain(key: str, function: str = "f", operator: str = "op") -> Mutant:
    return Mutant(key, "mm/a.c", function, operator, 1, 1, "a", "b", body=(1, 2))


class InstrumentTest(unittest.TestCase):
    def check(self, text: str, mutants: List[Tuple[str, str, str]], wanted: str) -> None:
        numbered = list(enumerate((mutant(text, *each) for each in mutants), 1))
        self.assertEqual(mutate.instrument(text, numbered), wanted)

    def test_ranges_nest(self) -> None:
        self.check("if (a && b < c)", [("b < c", "b > c", "expression"),
                                       ("a && b < c", "a", "condition"), ("c", "d", "expression")],
                   "if ((mutant(2) ? (a) : !!(a && (mutant(1) ? (b > c) : "
                   "(b < (mutant(3) ? (d) : (c)))))))")

    def test_statements_are_one_statement_still(self) -> None:
        self.check("if (a) next; else end;", [("next;", ";", "statement"),
                                              ("next;", "break;", "statement")],
                   "if (a) { if (mutant(1)) { ; } else if (mutant(2)) { break; } "
                   "else { next; } } else end;")

    def test_several_of_one_place_and_places_side_by_side(self) -> None:
        self.check("a + b", [("a", "1", "expression"), ("a", "2", "expression"),
                             ("b", "3", "expression")],
                   "(mutant(1) ? (1) : mutant(2) ? (2) : (a)) + (mutant(3) ? (3) : (b))")


class ChangeTest(fixture.Case):
    def changes(self) -> Change:
        before = "".join(f"line {number}\n" for number in range(1, 31))
        after = before.replace("line 3\n", "").replace("line 20\n", "line 20\nnew\n")
        self.patch("3.patch", "mm/code.c", before, after)
        fixture.lay(self.kernel, {"mm/code.c": after})
        return mutate.changes(self.kernel, self.repo / "patches/v7.3/3.patch",
                              self.root / "scratch")["mm/code.c"]

    def test_lines_and_functions_that_a_patch_touches(self) -> None:
        change = self.changes()
        self.assertEqual(change.added, {20})
        self.assertEqual([change.touches(*body) for body in
                          ((1, 2), (1, 5), (3, 9), (10, 20), (20, 22), (21, 25))],
                         [False, True, False, True, True, False])

    def test_a_hunk_is_undone_alone(self) -> None:
        change = self.changes()
        first, second = (change.without(hunk) for hunk in change.hunks)
        self.assertIn("line 2\nline 3\nline 4\n", first)
        self.assertIn("line 20\nnew\nline 21\n", first)
        self.assertIn("line 2\nline 4\n", second)
        self.assertIn("line 20\nline 21\n", second)

    def test_a_tree_without_the_patch_is_refused(self) -> None:
        with self.assertRaises(Fail) as caught:
            mutate.changes(self.kernel, self.repo / "patches/v7.3/1.patch", self.root / "scratch")
        self.assertEqual(caught.exception.code, Exit.PATCH)


@unittest.skipUnless(shutil.which("spatch"), "coccinelle is not installed")
class OperatorsTest(unittest.TestCase):
    matched: List[Dict[str, Any]]

    @classmethod
    def setUpClass(cls) -> None:
        with tempfile.TemporaryDirectory() as held:
            fixture.lay(Path(held), {"mm/a.c": CODE})
            cls.matched = mutate.matches(Path(held), ["mm/a.c"], Path(held) / "made")["mm/a.c"]

    def mutants(self, added: Tuple[int, int]) -> List[str]:
        hunk = mutate.Hunk(added[0], 0, *added)
        self.found = mutate.in_source("mm/a.c", Change("", CODE, [hunk], [hunk]), self.matched)
        return [f"{mutant.operator}: {mutate.words(mutant.before)} => {mutate.words(mutant.after)}"
                for mutant in self.found]

    def test_all_that_is_in_scope_and_nothing_else(self) -> None:
        found = self.mutants((4, 1))
        for wanted in ("&& to ||: PageOffline(page) && !n => (PageOffline(page)) || (!n)",
                       "drop left operand: PageOffline(page) && !n => !n",
                       "drop right operand: PageOffline(page) && !n => PageOffline(page)",
                       "negate condition: PageOffline(page) && !n => !(PageOffline(page) && !n)",
                       "PageOffline to PageBuddy: PageOffline(page) => PageBuddy(page)",
                       "negate operand: PageOffline(page) => !(PageOffline(page))",
                       "drop !: !n => n", "return 0: -EBUSY => 0", "return -ENOENT: 0 => -ENOENT",
                       "delete statement: return -EBUSY; => ;", "start one later: 0 => (0) + 1",
                       "end one earlier: n => (n) - 1", "no step: i++ => 0",
                       "< to <=: i < n => (i) <= (n)", "condition to true: PageLRU(page) => true"):
            self.assertIn(wanted, found)
        # Neither on a line that the patch adds, nor a condition.
        self.assertNotIn("delete statement: g(i); => ;", found)
        self.assertNotIn("continue to break: continue; => break;", found)
        self.assertEqual(len(found), len(set(found)))

    def test_what_holds_all_of_them_is_c(self) -> None:
        self.mutants((0, 12))
        text = mutate.instrument(CODE, list(enumerate(self.found, 1)))
        around = ("struct page; int mutant(int); void g(int);"
                  "int PageOffline(struct page *); int PageBuddy(struct page *);"
                  "int PageTable(struct page *); int PageLRU(struct page *);"
                  "int PageReserved(struct page *);\n"
                  "#define EBUSY 16\n#define ENOENT 2\n#define true 1\n#define false 0\n")
        done = subprocess.run(["gcc", "-xc", "-fsyntax-only", "-"], input=around + text, text=True,
                              stderr=subprocess.PIPE, check=False)
        self.assertEqual(done.returncode, 0, done.stderr)


class WorkshopTest(fixture.Case):
    def test_a_source_that_does_not_compile_is_told_from_one_that_survives(self) -> None:
        out = self.root / "out"
        # As kbuild notes it down: objtool has the last word.
        fixture.lay(out, {"image": "", "mm/.code.o.cmd": "savedcmd_mm/code.o := gcc -nostdinc "
                          f"-c -o mm/code.o {self.kernel}/mm/code.c ; true mm/code.o\n"})
        kernel = Kernel(self.kernel, out, self.options(), {"kernel_path": "image"})
        with self.assertRaises(DoesNotBuild) as caught:
            Workshop(kernel, self.root / "made", []).image({"mm/code.c": "int f("})
        self.assertIn("error", str(caught.exception))


class RunTest(unittest.TestCase):
    def run_of(self, log: str) -> Run:
        run = Run(ORDER)
        for line in log.splitlines():
            run.feed(line)
        return run

    def test_cases_by_suite(self) -> None:
        run = self.run_of(LOG)
        self.assertEqual(list(run.cases.values()), ["not ok", "skip", "ok", "ok"])
        self.assertEqual(list(run.cases), ORDER)
        self.assertEqual((run.how, run.first, run.failed, run.ended),
                         ("case", "scan.stops", ["scan.stops"], True))

    def test_a_warning_or_a_crash_is_that_of_the_case_that_runs(self) -> None:
        good = LOG.replace("not ok", "ok")
        for words, how in (("WARNING: mm/a.c:1 at f\n", "warning"), ("BUG: bad\n", "crash")):
            run = self.run_of(good.replace("    ok 3 ends\n", f"{words}    ok 3 ends\n"))
            self.assertEqual((run.how, run.first, run.reason), (how, "scan.ends", words.strip()))
        self.assertEqual(self.run_of("WARNING: early\n" + good).how, "")

    def test_the_first_trouble_counts(self) -> None:
        run = self.run_of(LOG + "BUG: late\n")
        self.assertEqual((run.how, run.first), ("case", "scan.stops"))


class ResultTest(fixture.Case):
    def test_equivalents_need_a_mutant_and_a_reason(self) -> None:
        mutants = [plain("f: a: b"), plain("f: a: c")]
        fixture.lay(self.root, {"good": "# why\n\nf: a: b\n\tFor this\n\treason.\n",
                                "bad": "f: a: d\n\tReason.\n", "worse": "f: a: b\n"})
        self.assertEqual(equivalents(mutants, self.root / "good"), {"f: a: b": "For this reason."})
        for name, words in (("bad", "no such mutant"), ("worse", "no reason")):
            with self.assertRaises(Fail) as caught:
                equivalents(mutants, self.root / name)
            self.assertIn(words, caught.exception.what)

    def test_survivors_and_false_excuses_are_complaints(self) -> None:
        excused = {"one": "x", "three": "x"}
        results = judged([Result(plain("one"), SURVIVED), Result(plain("two"), SURVIVED),
                          Result(plain("three"), "case", "s.c"), Result(plain("four"), "hang")],
                         excused)
        self.assertEqual([result.outcome for result in results],
                         [EQUIVALENT, SURVIVED, "case", "hang"])
        found = complaints(results, excused)
        self.assertEqual(len(found), 2)
        self.assertIn("survived: two", found[0])
        self.assertIn("not equivalent: three", found[1])

    def test_guilt(self) -> None:
        fixture.lay(self.root, {"guilt": "# names\nf  ^scan\\.\n"})
        results = [Result(plain("one"), "case", "scan.stops"), Result(plain("two"), "hang", "x.y"),
                   Result(plain("three"), SURVIVED), Result(plain("four", "g"), "case", "x.y")]
        self.assertEqual(named(results, guilt(self.root / "guilt")), (1, 2))

    def test_the_summary_and_the_page_tell_all(self) -> None:
        results = [Result(plain("one"), "case", "scan.stops", ("scan.stops",), seconds=2.0),
                   Result(plain("two", operator="&& to ||"), SURVIVED, seconds=4.0),
                   Result(plain("three"), STILLBORN, reason="error: <x>")]
        lines = summary(results, 2)
        self.assertIn("3 mutants: 1 killed (1 by a case), 1 survived", lines[0])
        page = mutant_report.page({"summary": lines}, results,
                                  {"mm/a.c": Change("", "a\nb\n", [], [])}, ["scan.stops"])
        for words in ("&amp;&amp; to ||", "scan.stops", "error: &lt;x&gt;", "mm/a.c"):
            self.assertIn(words, page)

    def test_some_can_be_asked_for(self) -> None:
        mutants = [plain("f: == to !=: a == b"), plain("g: == to <: a[*] == b")]
        self.assertEqual(matching(mutants, "*"), mutants)
        self.assertEqual(matching(mutants, "g: *"), mutants[1:])
        with self.assertRaises(Fail) as caught:
            matching(mutants, "g")
        self.assertEqual(caught.exception.code, Exit.BAD_INPUT)

    def test_a_sample_has_all_functions_and_several_operators(self) -> None:
        mutants = [plain(f"{function}{number}", function, f"op{number // 2}")
                   for function in "fgh" for number in range(6)]
        chosen = sample(mutants, {"f0"})
        self.assertEqual(chosen, sample(mutants[::-1], {"f0"}))
        self.assertEqual({each.function for each in chosen}, {"f", "g", "h"})
        for function in "fgh":
            operators = [each.operator for each in chosen if each.function == function]
            self.assertEqual(len(operators), len(set(operators)))
