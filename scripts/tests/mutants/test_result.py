# SPDX-License-Identifier: GPL-2.0
from __future__ import annotations

import json

from base.outcome import Fail
from mutants import report
from mutants.find import Change
from mutants.result import (EQUIVALENT, NOT_RUN, STILLBORN, SURVIVED, Result, complaints,
                            each_is_mutated, equivalents, guilt, judged, named, summary)
from tests import fixture
from tests.mutants.some import plain


class ResultTest(fixture.Case):
    def test_equivalents_need_a_mutant_and_a_reason(self) -> None:
        keys = {"f: a: b", "f: a: c", "g: a"}
        fixture.lay(self.root, {"good": "# why\n\nf: a: b\n\tFor this\n\treason.\n",
                                "common": "f: a: b\n# or\nf: a: c\n\tTwo\n\tlines.\ng: a\n\tOne.\n",
                                "bad": "f: a: d\n\tReason.\n", "worse": "f: a: b\n"})
        self.assertEqual(equivalents(keys, file=self.root / "good"),
                         {"f: a: b": "For this reason."})
        self.assertEqual(equivalents(keys, file=self.root / "common"),
                         {"f: a: b": "Two lines.", "f: a: c": "Two lines.", "g: a": "One."})
        for name, words in (("bad", "no such mutant"), ("worse", "no reason")):
            with self.assertRaises(Fail) as caught:
                equivalents(keys, file=self.root / name)
            self.assertIn(words, caught.exception.what)
        # A part of the mutants has no say in what there is.
        self.assertEqual(equivalents(keys, False, self.root / "bad"), {"f: a: d": "Reason."})

    def test_a_function_that_was_not_read_is_told(self) -> None:
        each_is_mutated([plain("one"), plain("two", "g")], ["f", "g"])
        with self.assertRaises(Fail) as caught:
            each_is_mutated([plain("one")], ["f", "g"])
        self.assertIn("no mutant of g()", caught.exception.what)

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

    def test_what_does_not_run_is_told_by_function(self) -> None:
        results = [Result(plain(key, "f"), SURVIVED, reason=NOT_RUN) for key in ("one", "two")]
        self.assertEqual(complaints(results, {}), ["no case runs: 2 mutants of f"])
        self.assertIn("2 survived (2 of them in code that no case runs)", summary(results, 1)[0])

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
        page = report.page({"what": "<mm>", "summary": lines}, results,
                                  {"mm/a.c": Change("", "a\nb\n", [], [])}, ["scan.stops"])
        for words in ("Mutants of &lt;mm&gt;", "&amp;&amp; to ||", "scan.stops", "error: &lt;x&gt;",
                      "mm/a.c"):
            self.assertIn(words, page)

    def test_what_is_kept_of_a_result_brings_it_back(self) -> None:
        result = Result(plain("one"), "case", "scan.stops", ("scan.stops", "scan.ends"), "why",
                        2.5, 1.5)
        kept = json.loads(json.dumps(result.kept()))
        self.assertEqual(Result.of(plain("one"), kept), result)
