# SPDX-License-Identifier: GPL-2.0
from __future__ import annotations

import shutil
import subprocess
import tempfile
import unittest
from pathlib import Path
from typing import Any, Dict, List, Tuple

from base.outcome import Exit, Fail
from mutants import find
from mutants.find import Change, Mutant
from series.git import Repository
from series.queue import put
from series.worktree import Tree
from tests import fixture

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


class InstrumentTest(unittest.TestCase):
    def check(self, text: str, mutants: List[Tuple[str, str, str]], wanted: str) -> None:
        numbered = list(enumerate((mutant(text, *each) for each in mutants), 1))
        self.assertEqual(find.instrument(text, numbered), wanted)

    def test_ranges_nest(self) -> None:
        self.check("if (a && b < c)", [("b < c", "b > c", "expression"),
                                       ("a && b < c", "a", "condition"), ("c", "d", "expression")],
                   "if ((mutant(2) ? !!(a) : !!(a && (mutant(1) ? (b > c) : "
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
    def tree(self, text: str) -> Tree:
        """What was made of the kernel."""
        ours = Repository(self.root / "ours.git")
        put(ours, ours.home / "index", {"mm/code.c": text.encode(), "mm/other.c": b"other\n"})
        fixture.lay(self.kernel, {"mm/code.c": text})
        return Tree(self.kernel, "7.3.4", "", ours.git(
            "write-tree", index=ours.home / "index").strip(), ours)

    def changes(self) -> Change:
        before = "".join(f"line {number}\n" for number in range(1, 31))
        after = before.replace("line 3\n", "").replace("line 20\n", "line 20\nnew\n")
        self.patch("3.patch", "mm/code.c", before, after)
        self.made = self.tree(after)
        return find.undo(self.made, self.repo / "patches/v7.3/3.patch")["mm/code.c"]

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

    def test_before_and_after_are_the_texts(self) -> None:
        change = self.changes()
        self.assertEqual(change.after, (self.kernel / "mm/code.c").read_text())
        self.assertEqual(change.before, "".join(f"line {number}\n" for number in range(1, 31)))

    def test_what_was_edited_since_counts(self) -> None:
        edited = self.changes().after.replace("line 28\n", "line 28, edited\n")
        fixture.lay(self.kernel, {"mm/code.c": edited})
        change = find.undo(self.made, self.repo / "patches/v7.3/3.patch")["mm/code.c"]
        self.assertEqual(change.after, edited)
        self.assertIn("line 28, edited\n", change.before)
        self.assertEqual(change.added, {20})

    def test_a_tree_without_the_patch_is_refused(self) -> None:
        with self.assertRaises(Fail) as caught:
            find.undo(self.tree(fixture.CODE), self.repo / "patches/v7.3/1.patch")
        self.assertEqual(caught.exception.code, Exit.PATCH)


@unittest.skipUnless(shutil.which("spatch"), "coccinelle is not installed")
class OperatorsTest(unittest.TestCase):
    matched: List[Dict[str, Any]]

    @classmethod
    def setUpClass(cls) -> None:
        with tempfile.TemporaryDirectory() as held:
            fixture.lay(Path(held), {"mm/a.c": CODE})
            cls.matched = find.matches(Path(held), ["mm/a.c"], Path(held) / "made")["mm/a.c"]

    def mutants(self, added: Tuple[int, int]) -> List[str]:
        hunk = find.Hunk(added[0], 0, *added)
        self.found = find.in_scope(Change("", CODE, [hunk], [hunk]),
                                   find.every("mm/a.c", CODE, self.matched), self.matched)
        return [f"{mutant.operator}: {find.words(mutant.before)} => {find.words(mutant.after)}"
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

    def test_a_whole_file_has_more_and_a_key_is_the_same(self) -> None:
        self.mutants((4, 1))
        some = {mutant.key for mutant in self.found}
        every = find.every("mm/a.c", CODE, self.matched)
        self.assertEqual(find.in_scope(Change.whole(CODE), every, self.matched), every)
        self.assertLess(some, {mutant.key for mutant in every})
        self.assertIn("f: delete statement: g(i);", {mutant.key for mutant in every})

    def test_what_holds_all_of_them_is_c(self) -> None:
        self.mutants((0, 12))
        text = find.instrument(CODE, list(enumerate(self.found, 1)))
        around = ("struct page; int mutant(int); void g(int);"
                  "int PageOffline(struct page *); int PageBuddy(struct page *);"
                  "int PageTable(struct page *); int PageLRU(struct page *);"
                  "int PageReserved(struct page *);\n"
                  "#define EBUSY 16\n#define ENOENT 2\n#define true 1\n#define false 0\n")
        done = subprocess.run(["gcc", "-xc", "-fsyntax-only", "-"], input=around + text, text=True,
                              stderr=subprocess.PIPE, check=False)
        self.assertEqual(done.returncode, 0, done.stderr)
