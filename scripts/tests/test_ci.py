# SPDX-License-Identifier: GPL-2.0
from __future__ import annotations

import contextlib
import io
import json
import xml.etree.ElementTree as xml
from pathlib import Path
from typing import Any, Dict, List
from unittest import mock

import fixture  # first: it sets the path

import ci
import host
import trial
from fake_tester import SAYS, FakeTester
from verdict import Exit, Fail


class CiTest(fixture.Case):
    def setUp(self) -> None:
        super().setUp()
        self.base = self.commit("base", {"mm/more.c": "\n"})
        self.results = self.root / "results"

    def say(self, *texts: str) -> None:
        """Commits of which each says what comes of it."""
        for text in texts:
            self.commit(f"be {text}", {SAYS: f"{text}\n"})

    def run_ci(self, **given: str) -> Exit:
        self.shown = io.StringIO()
        FakeTester.built = 0
        with contextlib.redirect_stdout(self.shown), contextlib.redirect_stderr(io.StringIO()):
            return ci.ci(self.options(**(given or {"RANGE": f"{self.base}.."})), self.results,
                         FakeTester, self.repo)

    def held(self) -> Dict[str, Any]:
        found: Dict[str, Any] = json.loads((self.results / "ci.json").read_text())
        return found

    def words(self) -> List[str]:
        return [row["verdict"] for row in self.held()["commits"]]

    def refused(self, **given: str) -> Fail:
        with self.assertRaises(Fail) as caught:
            self.run_ci(**given)
        return caught.exception

    def test_each_commit_has_its_verdict(self) -> None:
        self.say("good", "fail", "unbuildable", "crash", "hang", "good again")
        self.assertEqual(self.run_ci(), Exit.CRASH)
        self.assertEqual(self.words(), ["pass", "fail", "build error", "crash", "hang", "pass"])
        self.assertTrue(self.held()["complete"])
        self.assertIn("s.case_a: PASS -> FAIL", self.shown.getvalue())
        self.assertIn("x.c:1: error: bad", self.shown.getvalue())
        rows = self.held()["commits"]
        self.assertEqual(rows[1]["changed"], [{"case": "s.case_a", "before": "PASS",
                                               "after": "FAIL"}])
        self.assertEqual(rows[3]["changed"], [])  # as in the last commit that ran
        self.assertEqual(rows[5]["changed"][0]["after"], "PASS")
        suite = xml.parse(self.results / "ci.junit.xml").getroot()
        self.assertEqual([case[0].get("type") if len(case) else "" for case in suite],
                         ["", "fail", "build error", "crash", "hang", ""])
        self.assertEqual((suite.get("tests"), suite.get("failures")), ("6", "4"))
        self.assertTrue((self.results / rows[1]["folder"] / "test.log").exists())

    def test_the_worst_counts(self) -> None:
        self.assertEqual(ci.worst([Exit.OK, Exit.NO_FEATURE]), Exit.OK)
        self.assertEqual(ci.worst([Exit.CASE_FAILED, Exit.PATCH, Exit.OK]), Exit.PATCH)
        self.assertEqual(ci.worst([Exit.HANG, Exit.BUILD, Exit.CRASH]), Exit.CRASH)

    def test_nothing_is_tested_twice(self) -> None:
        self.say("good", "fail")
        self.assertEqual(self.run_ci(), Exit.CASE_FAILED)
        self.assertEqual(FakeTester.built, 3)
        self.say("good")  # the same tree as two commits before
        self.assertEqual(self.run_ci(), Exit.CASE_FAILED)
        self.assertEqual((FakeTester.built, self.words()), (0, ["pass", "fail", "pass"]))
        self.assertEqual(self.run_ci(RANGE=f"{self.base}..", CONFIG="plain"), Exit.CASE_FAILED)
        self.assertEqual(FakeTester.built, 3)

    def test_trouble_of_the_machine_stops_and_a_rerun_goes_on(self) -> None:
        self.say("good", "vanished", "fail")
        self.assertEqual(self.refused().code, Exit.MISSING)
        self.assertEqual((self.words(), self.held()["complete"]), (["pass"], False))
        self.assertIn("QEMU was killed", self.held()["stopped"])
        suite = xml.parse(self.results / "ci.junit.xml").getroot()
        self.assertEqual(suite.get("errors"), "1")
        self.assertEqual(self.refused().code, Exit.MISSING)
        self.assertEqual(FakeTester.built, 1)

    def test_an_interrupt_keeps_the_rows_so_far(self) -> None:
        self.say("good", "interrupted")
        with self.assertRaises(KeyboardInterrupt):
            self.run_ci()
        self.assertEqual((self.words(), self.held()["stopped"]), (["pass"], "interrupted"))

    def test_mails(self) -> None:
        box = self.root / "box"
        fixture.lay(box, {
            "0000-cover-letter.patch": "no patch\n",
            "0001-a.patch": fixture.mail(SAYS, "other\n", "good\n"),
            "0002-b.patch": fixture.mail(SAYS, "good\n", "fail\n"),
            "0003-c.patch": fixture.mail("mm/code.c", "else\n", "else what\n"), "notes": ""})
        self.assertEqual(self.run_ci(MBOX=str(box)), Exit.PATCH)
        self.assertEqual(self.words(), ["pass", "fail", "does not apply"])
        self.assertIn("mm/code.c", self.held()["commits"][2]["reason"])
        self.assertEqual(fixture.git(self.kernel, "status", "--porcelain"), "")

    def test_what_is_missing_is_named(self) -> None:
        for given, words in (({"KDIR": ""}, "not clear"), ({"MBOX": "/none"}, "is not there"),
                             ({"MBOX": str(self.kernel)}, "has no patches"),
                             ({"RANGE": "HEAD..HEAD"}, "is empty")):
            with self.subTest(given):
                fail = self.refused(**given)
                self.assertEqual(fail.code, Exit.BAD_INPUT)
                self.assertIn(words, fail.what)

    def test_a_full_disk_is_trouble_of_the_machine(self) -> None:
        self.say("good")
        real = host.write
        written: List[Path] = []

        def full(path: Path, data: bytes, mode: int = 0o644) -> None:
            if path.name == "trial.json" and written:
                raise OSError(28, "No space left on device", str(path))
            written.append(path)
            real(path, data, mode)

        with mock.patch("trial.write", full):
            self.assertEqual(self.refused().code, Exit.MISSING)
        self.assertIn("no space", self.held()["stopped"])
        self.assertEqual(self.run_ci(), Exit.OK)


class TrialTest(fixture.Case):
    def test_cases_have_the_names_of_their_groups(self) -> None:
        found = dict(trial.cases({"name": "all", "test_cases": [], "sub_groups": [{
            "name": "suite", "test_cases": [{"name": "a", "status": "PASS"}], "sub_groups": [{
                "name": "b", "sub_groups": [],
                "test_cases": [{"name": "zone", "status": "FAIL"}]}]}]}))
        self.assertEqual(found, {"suite.b.zone": "FAIL", "suite.a": "PASS"})

    def test_a_case_that_the_kernel_did_not_survive_has_no_name(self) -> None:
        self.assertEqual(list(trial.cases({"test_cases": [{"name": "", "status": "ERROR"}]})), [])

    def test_how_far_a_boot_got(self) -> None:
        begun = "    # Subtest: two\n"
        for log, far in ((f"ok 1 one\n{begun}BUG: x\n", "in two"),
                         (f"{begun}        ok 2 kernel zone\nBUG: x\n",
                          "in two, after kernel zone"),
                         (f"{begun}    not ok 2 two # time=1\n", "after two"), ("", "")):
            fixture.lay(self.root, {"test.log": log})
            self.assertEqual(trial.Trial(Exit.CRASH, "", folder=self.root).got_to, far)
        self.assertEqual(trial.Trial(Exit.CASE_FAILED, "", folder=self.root).got_to, "")

    def test_the_first_expectation_that_failed(self) -> None:
        log = ("    # one: EXPECTATION FAILED at x.c:1\n    Expected a == b\n        a == 1\n"
               "    # one: EXPECTATION FAILED at x.c:2\n    Expected c\n    not ok 1 one\n")
        self.assertEqual(trial.assertion(log).splitlines()[-1].strip(), "a == 1")
        self.assertEqual(trial.assertion("    ok 1 one\n"), "")
        self.assertIn("Expected c", trial.assertion(log.split("a == 1\n")[1]))

    def test_a_changed_case_may_be_new_or_gone(self) -> None:
        self.assertEqual(trial.changed({"a": "PASS", "b": "PASS"}, {"a": "PASS", "c": "FAIL"}),
                         [("c", "absent", "FAIL"), ("b", "PASS", "absent")])
