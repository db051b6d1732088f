# SPDX-License-Identifier: GPL-2.0
from __future__ import annotations

import json
import unittest

from base.outcome import Exit
from guest.verdict import Verdict, suites
from matrix.page import page
from matrix.result import Result, as_json, exit_code, summary
from matrix.rows import Row
from tests.matrix.some import result, tally

LOG = """\
[    0.100000] KTAP version 1
[    0.100000] 1..1
[    0.100000]     # Subtest: scan
[    0.200000]     ok 1 stops
[    0.200000]     # ends: EXPECTATION FAILED
[    0.300000]     not ok 2 ends
[    0.300000]     ok 3 moves # SKIP no memory
[    0.600000] not ok 1 scan
[    0.700000] reboot: Restarting system
"""


class ResultTest(unittest.TestCase):
    def test_a_boot_is_told_suite_by_suite(self) -> None:
        ran = Result.ran(Row("a"), Verdict(Exit.CASE_FAILED, "", {}), suites(LOG), LOG, 60.04, 3.0)
        self.assertEqual(ran.counts, (1, 1, 1))
        self.assertEqual((ran.suites[0].skipped, ran.suites[0].seconds), ({"moves": "no memory"},
                                                                          0.5))
        self.assertIn("EXPECTATION FAILED", ran.suites[0].failed["ends"])
        self.assertEqual((ran.built, ran.guest), (60.0, 0.7))
        self.assertEqual(ran.line(), "fail           a                    1 passed, 1 failed, "
                         "1 skipped; build 60 s, boot 3 s")
        self.assertEqual(ran.complaint(), ["a: fail", "a: scan.ends"])

    def test_it_can_be_kept(self) -> None:
        ran = result(Row("a"), Exit.CRASH, tally(ends="", moves="no memory"), reason="Oops: 0")
        self.assertEqual(Result.of(Row("a"), json.loads(json.dumps(ran.kept()))), ran)

    def test_what_did_not_run_is_no_pass_and_no_failure(self) -> None:
        good, bad, spoilt = (result(Row("a"), code) for code in (
            Exit.OK, Exit.BUILD, Exit.MISSING))
        self.assertEqual(exit_code([good, good]), Exit.OK)
        self.assertEqual(exit_code([good, spoilt]), Exit.MISSING)
        self.assertEqual(exit_code([spoilt, bad]), Exit.CASE_FAILED)
        self.assertEqual(exit_code([]), Exit.MISSING)
        self.assertEqual(summary([good, bad, spoilt, good]),
                         "4 rows: 2 pass, 1 does not build, 1 infrastructure")

    def test_programs_get_the_verdict_as_everywhere(self) -> None:
        found = json.loads(as_json([result(Row("a", cpus=2), Exit.CRASH, tally(ends=""))]))
        row = found["rows"][0]
        self.assertEqual((row["name"], row["cpus"], row["verdict"], row["code"], row["failed"]),
                         ("a", 2, "crash", 5, 1))


class PageTest(unittest.TestCase):
    def test_it_has_rows_by_suites_and_says_why_cases_were_skipped(self) -> None:
        text = page([result(Row("a"), Exit.OK, tally("scan"), tally("moving", x="no <memory>")),
                     result(Row("b"), Exit.CASE_FAILED, tally("scan", ends="")),
                     result(Row("c"), Exit.BUILD, reason="error: <x>")])
        self.assertEqual(text.count('<tr><th class="row">'), 4)  # the head is one
        self.assertIn('<td class="pass" title="scan: 2 passed, 0.25 s">2</td>', text)
        self.assertIn("2<small>+1</small>", text)
        self.assertIn("1 failed</td><td class=\"none\">-</td>", text)
        self.assertIn("<td>no &lt;memory&gt;</td>", text)
        self.assertIn("error: &lt;x&gt;", text)
        self.assertIn("3 rows: 1 pass, 1 fail, 1 does not build", text)

    def test_it_needs_nothing_but_itself(self) -> None:
        text = page([result(Row("a"), Exit.OK, tally())])
        self.assertNotRegex(text, r"<script|src=|href=|url\(")
