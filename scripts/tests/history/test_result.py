# SPDX-License-Identifier: GPL-2.0
from __future__ import annotations

import json
import unittest
from dataclasses import replace
from pathlib import Path

from history.bugs import Bug
from history.result import MISSED, NO_BUILD, NO_PATCH, Result, as_json, complaints, summary

BUG = Bug(Path("some.patch"), "some", 2020, "mm/code.c", "0123456789ab", "All is lost.")
EXCUSED = replace(BUG, name="excused", excuse="nobody can tell")


class ResultTest(unittest.TestCase):
    def test_rows(self) -> None:
        for result, row in (
                (Result(BUG, "case", "s.a", ("s.a",)), "s.a"),
                (Result(BUG, "case", "s.a", ("s.a", "s.b")), "s.a and 1 more"),
                (Result(BUG, "case", "s.a", ("s.b",), "it did not run"),
                 "s.a and 1 more: it did not run"),
                (Result(BUG, "crash", "s.a", (), "Oops: 0"), "crash in s.a: Oops: 0")):
            self.assertRegex(result.row(), rf"^caught +some +trimmed +{row}$")
        self.assertRegex(Result(BUG, MISSED).row(), "^missed +some +trimmed$")
        self.assertRegex(Result(EXCUSED, MISSED).row(),
                         "^missed +excused +trimmed +nobody can tell$")
        self.assertRegex(Result(BUG, NO_BUILD, reason="no ;\nhere").row(),
                         "^does not build +some +trimmed +no ;$")

    def test_what_is_as_the_patch_says_is_no_complaint(self) -> None:
        self.assertEqual(complaints([Result(BUG, how, "s.a") for how in
                                     ("case", "warning", "crash", "hang")]
                                    + [Result(EXCUSED, MISSED)]), [])

    def test_what_is_not_is_one(self) -> None:
        for result, said in ((Result(BUG, MISSED), "some is missed: All is lost."),
                             (Result(EXCUSED, "case", "s.a"), "excused is caught by s.a"),
                             (Result(EXCUSED, NO_PATCH, reason="line 3"),
                              "excused does not apply: line 3"),
                             (Result(BUG, NO_BUILD, reason="error"), "does not build: error")):
            complaint, = complaints([result])
            self.assertIn(said, complaint)

    def test_a_summary_counts(self) -> None:
        results = [Result(BUG, "case"), Result(BUG, "hang"), Result(EXCUSED, MISSED),
                   Result(BUG, NO_PATCH)]
        self.assertEqual(summary(results), "4 bugs: 2 caught (1 by a case, 1 by time limit), "
                         "1 missed, 1 does not apply")
        self.assertEqual(summary([]), "0 bugs: 0 caught, 0 missed")

    def test_json_has_it_all(self) -> None:
        held = json.loads(as_json([Result(BUG, "case", "s.a", ("s.a",), seconds=2.0)]))
        only, = held["bugs"]
        self.assertEqual((only["bug"], only["fix"], only["outcome"], only["failed"]),
                         ("some", "0123456789ab", "case", ["s.a"]))

    def test_it_can_be_kept(self) -> None:
        result = Result(BUG, "case", "s.a", ("s.a", "s.b"), "why", 2.0, 1.0)
        self.assertEqual(Result.of(BUG, json.loads(json.dumps(result.kept()))), result)
