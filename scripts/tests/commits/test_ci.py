# SPDX-License-Identifier: GPL-2.0
from __future__ import annotations

import contextlib
import io
import json
import random
import xml.etree.ElementTree as xml
from dataclasses import replace
from pathlib import Path
from typing import Any, Dict, List, Tuple
from unittest import mock

from base.files import write
from base.outcome import Exit, Fail
from commits import ci, trial
from commits.report import Report
from commits.repository import Commit
from commits.table import Table, worst
from guest.setup import Setup
from tests import fixture
from tests.commits.fake_tester import SAYS, TOOL, FakeTester
from tests.commits.test_mails import COVER


class CiTest(fixture.Case):
    def setUp(self) -> None:
        super().setUp()
        self.base = self.commit("base", {"mm/more.c": "\n", **TOOL})
        self.results = self.root / "results"

    def say(self, *texts: str) -> None:
        """Commits of which each says what comes of it."""
        for text in texts:
            self.commit(f"be {text}", {SAYS: f"{text}\n"})

    def run_ci(self, setup: Setup = Setup(), **given: Any) -> Exit:
        self.shown = io.StringIO()
        FakeTester.built = 0
        choice = replace(ci.Choice(self.kernel), **(given or {"range": f"{self.base}.."}))
        with contextlib.redirect_stdout(self.shown), contextlib.redirect_stderr(io.StringIO()):
            return ci.ci(choice, self.results,
                         lambda commits, base: FakeTester(commits, base, setup), self.repo)

    def held(self) -> Dict[str, Any]:
        found: Dict[str, Any] = json.loads((self.results / "ci.json").read_text())
        return found

    def words(self) -> List[str]:
        return [row["verdict"] for row in self.held()["commits"]]

    def refused(self, **given: Any) -> Fail:
        with self.assertRaises(Fail) as caught:
            self.run_ci(**given)
        return caught.exception

    def test_each_commit_has_its_verdict(self) -> None:
        self.say("good", "fail", "unbuildable", "crash", "hang", "good again")
        self.assertEqual(self.run_ci(), Exit.CRASH)
        self.assertEqual(self.words(), ["pass", "fail", "does not build", "crash", "hang", "pass"])
        self.assertTrue(self.held()["complete"])
        self.assertIn("s.case_a: PASS -> FAIL", self.shown.getvalue())
        self.assertIn("x.c:1: error: bad", self.shown.getvalue())
        rows = self.held()["commits"]
        self.assertEqual(rows[1]["changed"], [{"case": "s.case_a", "before": "PASS",
                                               "after": "FAIL"}])
        self.assertEqual(rows[3]["changed"], [])  # as in the last commit that ran
        self.assertEqual(rows[5]["changed"][0]["after"], "PASS")
        suite = xml.parse(self.results / "ci.junit.xml").getroot()[0]
        self.assertEqual([case[0].get("type", "") if len(case) else "" for case in suite],
                         ["", "", "fail", "does not build", "crash", "hang", ""])
        self.assertEqual((suite.get("tests"), suite.get("failures")), ("7", "4"))
        self.assertTrue((self.results / rows[1]["folder"] / "test.log").exists())
        table = (self.results / "ci.md").read_text()
        self.assertEqual(table.count("\n| "), 8)
        self.assertIn("| 2/6 |", table)

    def test_the_worst_counts(self) -> None:
        self.assertEqual(worst([Exit.OK, Exit.NO_FEATURE]), Exit.OK)
        self.assertEqual(worst([Exit.CASE_FAILED, Exit.PATCH, Exit.OK]), Exit.PATCH)
        self.assertEqual(worst([Exit.HANG, Exit.BUILD, Exit.CRASH]), Exit.CRASH)

    def test_nothing_is_tested_twice(self) -> None:
        self.say("good", "fail")
        self.assertEqual(self.run_ci(), Exit.CASE_FAILED)
        self.assertEqual(FakeTester.built, 3)
        self.say("good")  # the same tree as two commits before
        self.assertEqual(self.run_ci(), Exit.CASE_FAILED)
        self.assertEqual((FakeTester.built, self.words()), (0, ["pass", "fail", "pass"]))
        self.assertEqual(self.run_ci(Setup(config="plain")), Exit.CASE_FAILED)
        self.assertEqual(FakeTester.built, 3)

    def test_the_same_tree_twice_in_a_row_is_built_once(self) -> None:
        self.say("fail", "good", "fail", "good", "unbuildable", "good", "unbuildable")
        self.run_ci()
        self.assertEqual(self.words(), ["fail", "pass", "fail", "pass", "does not build", "pass",
                                        "does not build"])
        self.assertEqual(FakeTester.built, 4)

    def test_how_it_is_booted_and_judged_counts(self) -> None:
        self.say("good")
        self.run_ci()
        patches: List[Any] = [
            mock.patch("guest.kvm.accelerator", return_value="kvm"),
            mock.patch("commits.tester.digest_of_files", return_value="another guest"),
            mock.patch("guest.boot.KERNEL_ARGUMENTS", ("another",)),
            mock.patch("shutil.which", lambda name: str(self.kernel / "Makefile"))]
        for patch in patches:
            with patch:
                self.run_ci()
                self.assertEqual(FakeTester.built, 2)
        self.run_ci(Setup(kunit_args=("suite",)))
        self.assertEqual(FakeTester.built, 2)
        self.run_ci(Setup(jobs=77, verbose=True))
        self.assertEqual(FakeTester.built, 0)

    def test_a_build_error_is_not_remembered(self) -> None:
        self.say("unbuildable")
        for expected in (2, 1):  # the base is remembered
            self.assertEqual(self.run_ci(), Exit.BUILD)
            self.assertEqual(FakeTester.built, expected)

    def test_a_commit_that_breaks_kunit_py_is_a_verdict(self) -> None:
        self.say("good", "refused", "unlike", "good")
        self.assertEqual(self.run_ci(), Exit.BUILD)
        self.assertEqual(self.words(), ["pass", "does not build", "does not build", "pass"])
        self.assertIn("no module x", self.held()["commits"][1]["reason"])

    def test_a_base_that_kunit_py_refuses_is_not(self) -> None:
        self.say("refused", "good")
        self.assertEqual(self.refused(range="HEAD~1..HEAD").code, Exit.BAD_INPUT)

    def test_trouble_of_the_machine_stops_and_a_rerun_goes_on(self) -> None:
        self.say("good", "vanished", "fail")
        self.assertEqual(self.refused().code, Exit.MISSING)
        self.assertEqual((self.words(), self.held()["complete"]), (["pass"], False))
        self.assertIn("QEMU was killed", self.held()["stopped"])
        suite = xml.parse(self.results / "ci.junit.xml").getroot()[0]
        self.assertEqual(suite.get("errors"), "1")
        self.assertIn("QEMU was killed", (self.results / "ci.md").read_text())
        self.assertEqual(self.refused().code, Exit.MISSING)
        self.assertEqual(FakeTester.built, 1)

    def test_an_interrupt_keeps_the_rows_so_far(self) -> None:
        self.say("good", "good again", "interrupted")
        with self.assertRaises(KeyboardInterrupt):
            self.run_ci()
        # That of the second may be there, or not: the last boot was just under way.
        self.assertEqual(self.words()[:1], ["pass"])
        self.assertEqual(self.held()["stopped"], "interrupted")

    def test_an_earlier_boot_that_does_not_count_is_told(self) -> None:
        self.say("good, at the second try")
        for _ in range(2):  # as new, and as remembered
            self.assertEqual(self.run_ci(), Exit.OK)
            self.assertIn("an earlier boot ended before the first case (Oops: int3)",
                          self.shown.getvalue())

    def test_the_base_is_told_and_what_fails_there_is_not_blamed_on_others(self) -> None:
        self.say("fail", "fail case_b", "good", "fail")
        self.assertEqual(self.run_ci(range="HEAD~3.."), Exit.CASE_FAILED)
        base, second = self.commit_at("HEAD~3"), self.commit_at("HEAD~2")
        held = self.held()
        self.assertEqual((held["base"]["commit"], held["base"]["subject"]), (base, "be fail"))
        self.assertEqual([[(one["case"], one["judged"]) for one in row["failures"]]
                          for row in held["commits"]],
                         [[("s.case_a", "base"), ("s.case_b", "broken")], [],
                          [("s.case_a", "broken")]])
        self.assertEqual(held["first_bad"], {"commit": second, "case": "s.case_b"})
        for line in (f'base: {base[:12]} ("be fail"): fail',
                     "s.case_a: FAIL, fails on the base too",
                     "s.case_b: PASS -> FAIL, broken by this", "fails on the base too: s.case_a"):
            self.assertIn(line, self.shown.getvalue())

    def commit_at(self, name: str) -> str:
        return fixture.git(self.kernel, "rev-parse", name).strip()

    def mail_of_report(self) -> str:
        self.assertIn("report.html", self.shown.getvalue())
        return (self.results / "report.eml").read_text()

    def test_a_report_makes_sure_of_the_culprit(self) -> None:
        self.say("good", "unbuildable", "fail", "fail still")
        self.assertEqual(self.run_ci(range=f"{self.base}..", report=True), Exit.BUILD)
        text = self.mail_of_report()
        # What does not build is the first that is bad, and nobody boots it.
        self.assertIn("[REGRESSION] build fails since", text)
        self.assertIn("x.c:1: error: bad", text)
        self.say("good", "fail", "fail still")
        self.run_ci(range="HEAD~3..", report=True)
        text = self.mail_of_report()
        good, bad = self.commit_at("HEAD~2")[:12], self.commit_at("HEAD~1")[:12]
        self.assertIn(f"\n#regzbot introduced: {bad}\n", text)
        self.assertIn("It fails 3 of 3 boots; the commit before it passes 3 of 3.", text)
        self.assertIn("case_a: EXPECTATION FAILED at mm/tests/x.c:7\n    Expected 1 == 2\n", text)
        self.assertIn(f"    ./suite ci --kdir=linux --range={good}..{bad} s.case_a\n", text)
        self.assertNotIn(str(self.root), text)

    def test_a_report_on_what_fails_now_and_then_has_its_probability_of_error(self) -> None:
        FakeTester.chance = random.Random(3)  # with which the first boot fails
        self.say("good", "flaky fail")
        self.run_ci(range="HEAD~2..", report=True)
        self.assertRegex(self.mail_of_report(), r"It fails \d+ of 20 boots; .* passes (\d+) of \1"
                         r"\.\nProbability of error: 0\.")

    def test_a_report_acquits_a_commit_that_does_not_fail_again(self) -> None:
        self.say("good", "accident")
        FakeTester.accidents = 1
        self.run_ci(range="HEAD~2..", report=True)
        self.assertEqual(FakeTester.accidents, 0)
        text = self.mail_of_report()
        self.assertIn("None of these commits is seen to break anything.", text)
        self.assertIn("since when: boot (failed once, then in none of 20 boots)", text)
        self.assertNotIn("#regzbot", text)
        self.assertIsNone(self.held()["first_bad"])

    def test_a_report_where_nothing_broke(self) -> None:
        self.say("good")
        self.assertEqual(self.run_ci(range="HEAD~1..", report=True), Exit.OK)
        self.assertIn("None of these commits is seen to break anything.", self.mail_of_report())

    def test_b4_gets_json_and_nothing_else(self) -> None:
        self.say("good", "fail")
        for subject, status in ((None, "fail"), ("be good", "pass"), ("be fail", "fail")):
            self.run_ci(range="HEAD~2..", format="b4", subject=subject)
            self.assertEqual(json.loads(self.shown.getvalue())[0]["status"], status)

    def test_mails(self) -> None:
        box = self.root / "box"
        fixture.lay(box, {
            "0000-cover-letter.patch": COVER,
            "0001-a.patch": fixture.mail(SAYS, "other\n", "good\n"),
            "0002-b.patch": fixture.mail(SAYS, "good\n", "fail\n"),
            "0003-c.patch": fixture.mail("mm/code.c", "else\n", "else what\n"), "notes": ""})
        self.assertEqual(self.run_ci(mbox=(box,)), Exit.PATCH)
        self.assertEqual(self.words(), ["pass", "fail", "does not apply"])
        self.assertIn("mm/code.c", self.held()["commits"][2]["reason"])
        self.assertEqual(fixture.git(self.kernel, "status", "--porcelain"), "")

    def test_what_is_missing_is_named(self) -> None:
        refusals: List[Tuple[Dict[str, Any], str]] = [
            ({"kdir": None}, "not clear"), ({"mbox": (Path("/none"),)}, "is not there"),
            ({"mbox": (self.kernel,)}, "has no patches"), ({"range": "HEAD..HEAD"}, "is empty")]
        for given, words in refusals:
            with self.subTest(given):
                fail = self.refused(**given)
                self.assertEqual(fail.code, Exit.BAD_INPUT)
                self.assertIn(words, fail.what)

    def test_a_full_disk_is_trouble_of_the_machine(self) -> None:
        self.say("good")
        written: List[Path] = []

        def full(path: Path, data: bytes, mode: int = 0o644) -> None:
            if path.name == "trial.json" and written:
                raise OSError(28, "No space left on device", str(path))
            written.append(path)
            write(path, data, mode)

        with mock.patch("commits.trial.write", full):
            self.assertEqual(self.refused().code, Exit.MISSING)
        self.assertIn("no space", self.held()["stopped"])
        self.assertEqual(self.run_ci(), Exit.OK)


class ReportTest(fixture.Case):
    def test_whatever_is_in_a_name_the_files_can_be_read(self) -> None:
        with contextlib.redirect_stdout(io.StringIO()):
            report = Report(self.root / "results", Table(1, "one"))
            commit = Commit("1" * 40, "a \x1b[31m\x00 | `b` <img>\ud800", "me")
            report.add(commit, trial.Trial(Exit.OK, ""))
            report.add(commit, trial.Trial(Exit.CRASH, "BUG: \x07\n\ufffe", cases={"a\x08": "x"}))
        suite = xml.parse(self.root / "results/ci.junit.xml").getroot()[0]
        self.assertEqual(len(suite), 2)
        row = next(line for line in (self.root / "results/ci.md").read_text().splitlines()
                   if line.startswith("| base"))
        self.assertIn(r"\| \`b\` \<img\>", row)
        self.assertEqual(len(row.replace(r"\|", "").split("|")), 7)


class TrialTest(fixture.Case):
    def test_how_far_a_boot_got(self) -> None:
        begun = "    # Subtest: two\n"
        for log, far in ((f"ok 1 one\n{begun}BUG: x\n", "in two"),
                         (f"{begun}        ok 2 kernel zone\nBUG: x\n",
                          "in two, after kernel zone"),
                         (f"[    0.1234] {begun}[    0.2345]     ok 1 one\n", "in two, after one"),
                         (f"{begun}    not ok 2 two # time=1\n", "after two"), ("", "")):
            fixture.lay(self.root, {"test.log": log})
            self.assertEqual(trial.Trial(Exit.CRASH, "", folder=self.root).got_to, far)
        self.assertEqual(trial.Trial(Exit.CASE_FAILED, "", folder=self.root).got_to, "")

    def test_the_first_expectation_that_failed(self) -> None:
        log = ("    # one: EXPECTATION FAILED at x.c:1\n    Expected a == b\n        a == 1\n"
               "    # one: EXPECTATION FAILED at x.c:2\n    Expected c\n    not ok 1 one\n")
        self.assertEqual(trial.assertion(log).splitlines()[-1].strip(), "a == 1")
        self.assertEqual(trial.assertion("    ok 1 one\n"), "")
        self.assertEqual(trial.assertion(
            "    # one: EXPECTATION FAILED at ../../tree/linux-ci/mm/x.c:1\n    Expected a\n"
            "Built 1 zonelists\n    not ok 1 one\n").splitlines(),
            ["# one: EXPECTATION FAILED at mm/x.c:1", "    Expected a"])
        self.assertIn("Expected c", trial.assertion(log.split("a == 1\n")[1]))

    def test_a_changed_case_may_be_new_or_gone(self) -> None:
        self.assertEqual(trial.changed({"a": "PASS", "b": "PASS"}, {"a": "PASS", "c": "FAIL"}),
                         [("c", "absent", "FAIL"), ("b", "PASS", "absent")])

    def test_what_is_kept_is_what_it_was(self) -> None:
        kept = trial.save(trial.Trial(Exit.CRASH, "BUG", {"passed": 1}, {"a": "PASS"}, 2, 1.5,
                                      ("first",), self.root))
        self.assertEqual(trial.load(self.root), replace(kept, known=True))
        self.assertIsNone(trial.load(self.root / "none"))
