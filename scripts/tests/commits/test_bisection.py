# SPDX-License-Identifier: GPL-2.0
from __future__ import annotations

import contextlib
import io
import json
import os
import random
import subprocess
from typing import List
from unittest import mock

import main
from base.files import REPO
from base.outcome import Exit, Fail
from commits import bisection, chance
from commits.bisect_step import BAD_COMMIT, CANNOT_TELL, STOP, tell
from tests import fixture
from tests.commits.fake_tester import SAYS, TOOL, FakeTester

FLAGS = "include/linux/page-flags.h"


class BisectTest(fixture.Case):
    def setUp(self) -> None:
        super().setUp()
        self.commits: List[str] = [self.commit("base", {"mm/more.c": "\n", **TOOL})]
        FakeTester.booted = 0
        FakeTester.chance = random.Random(1)

    def grow(self, *words: str) -> None:
        """Commits, each of which is as its word says; `harmless` is as the one before."""
        for word in words:
            number = len(self.commits)
            files = {SAYS: f"{word}\n"} if word != "harmless" else {f"mm/{number}.c": "new\n"}
            self.commits.append(self.commit(f"{number}: {word}", files))

    def bisect(self, good: str = "", bad: str = "", report: bool = False) -> bisection.Found:
        self.shown = io.StringIO()
        with contextlib.redirect_stdout(self.shown), contextlib.redirect_stderr(io.StringIO()):
            return bisection.bisect(self.kernel, good or self.commits[0],
                                    bad or self.commits[-1], self.root / "results", FakeTester,
                                    self.repo, report)

    def refused(self, good: str = "", bad: str = "") -> Fail:
        with self.assertRaises(Fail) as caught:
            self.bisect(good, bad)
        return caught.exception

    def test_the_culprit_is_found_and_made_sure_of(self) -> None:
        for word in ("fail", "hang"):
            self.grow("good", "harmless", "unbuildable", "good", "harmless", word, "harmless",
                      "harmless")
            culprit = self.commits[-3]
            found = self.bisect(self.commits[-8])
            self.assertEqual((found.commit.id, found.trial.word, found.sure),
                             (culprit, word, True))
            self.assertEqual((found.bad, found.good, found.reverted),
                             ("3 of 3", "3 of 3", "pass"))
            self.assertEqual(found.trial.first_bad_case, "s.case_a")
            self.assertIn("Expected 1 == 2", self.shown.getvalue())
            held = json.loads((self.root / "results/bisect.json").read_text())
            self.assertEqual((held["commit"], held["sure"]), (culprit, True))
            self.assertTrue((self.root / "results/test.log").exists())

    def test_one_that_fails_now_and_then_is_found(self) -> None:
        self.grow(*["good", "harmless", "harmless", "harmless"], "flaky fail", *["harmless"] * 4)
        found = self.bisect()
        self.assertEqual(found.commit.id, self.commits[5])
        self.assertTrue(found.sure)

    def test_an_accident_does_not_mislead(self) -> None:
        self.grow("good", "harmless", "accident", "harmless", "harmless", "fail", "harmless")
        FakeTester.accidents = 1
        found = self.bisect()
        self.assertEqual((FakeTester.accidents, found.commit.id), (0, self.commits[6]))

    def test_what_turns_out_to_be_wrong_is_forgotten(self) -> None:
        self.grow("good", "harmless", "accident", "harmless", "harmless", "fail", "harmless")
        FakeTester.accidents = 2
        self.assertFalse(self.bisect().sure)
        self.assertIn("run the same command again", self.shown.getvalue())
        found = self.bisect()
        self.assertEqual((found.commit.id, found.sure), (self.commits[6], True))

    def test_the_mail_has_the_culprit_and_how_sure_that_is(self) -> None:
        self.grow(*["good", "harmless", "harmless"], "flaky fail", *["harmless"] * 3)
        found = self.bisect(report=True)
        text = (self.root / "results/report.eml").read_text()
        culprit, parent = self.commits[4][:12], self.commits[3][:12]
        self.assertIn(f"\n#regzbot introduced: {culprit}\n", text)
        self.assertIn(f'{culprit} ("4: flaky fail")', text)
        self.assertIn(f"./suite ci --kdir=linux --range={parent}..{culprit} s.case_a\n", text)
        self.assertRegex(text, r"robability of error: [0-9.e-]+")
        self.assertLess(found.seen.error, chance.DOUBT)
        self.assertIn("s.case_a", (self.root / "results/report.html").read_text())

    def test_how_often_a_commit_has_to_pass(self) -> None:
        self.assertEqual(chance.repeats(3, 3, 1000), 1)
        for failed in (1, 6, 19):
            times = chance.repeats(failed, 20, 44)
            self.assertLess((1 - failed / 20) ** times * 7, chance.DOUBT)
        self.assertGreater(chance.repeats(2, 20, 44), chance.repeats(10, 20, 44))

    def test_a_rerun_tests_nothing_again_but_the_ends(self) -> None:
        self.grow("good", "harmless", "harmless", "fail", "harmless", "harmless")
        self.bisect()
        first, FakeTester.booted = FakeTester.booted, 0
        self.bisect()
        # BAD, the culprit and its parent, three times each
        self.assertEqual(FakeTester.booted, 9)
        self.assertGreater(first, 9)

    def test_ends_that_are_not_what_they_are_called_are_refused(self) -> None:
        self.grow("fail", "good", "harmless")
        for given, words in ((("", ""), "passes, 20 times"),
                             ((self.commits[1], ""), "is not good: FAIL"),
                             ((self.commits[3], self.commits[1]), "does not come after"),
                             (("none", ""), "has no commit none")):
            with self.subTest(words):
                fail = self.refused(*given)
                self.assertEqual(fail.code, Exit.BAD_INPUT)
                self.assertIn(words, fail.what)

    def test_a_range_that_starts_before_the_feature_is_told_where_to_start(self) -> None:
        feature = self.commit("feature", fixture.FEATURE)
        self.grow("fail")
        self.assertIn(f"--good={feature[:12]}", self.refused().remedy)

    def test_what_cannot_be_tested_is_named_in_the_end(self) -> None:
        self.grow("good", "unbuildable", "harmless", "fail", "harmless")
        fail = self.refused()
        self.assertEqual(fail.code, Exit.BUILD)
        for commit in self.commits[2:5]:
            self.assertIn(commit[:12], fail.what)

    def test_trouble_of_the_machine_stops_it(self) -> None:
        self.grow("good", "vanished", "harmless", "fail")
        self.assertEqual(self.refused().code, Exit.MISSING)


class StepTest(fixture.Case):
    def test_what_git_is_told(self) -> None:
        for codes, expected in (((Exit.OK,), 0),
                                ((Exit.CASE_FAILED, Exit.CRASH, Exit.HANG), BAD_COMMIT),
                                ((Exit.BUILD, Exit.PATCH, Exit.NO_FEATURE), CANNOT_TELL),
                                ((Exit.MISSING, Exit.BAD_INPUT, Exit.INTERNAL,
                                  Exit.INTERRUPTED), STOP)):
            self.assertEqual({tell(code) for code in codes}, {expected})

    def test_other_verbs_end_with_their_own_code(self) -> None:
        self.assertEqual(main.status(["bisect-step"], Exit.CASE_FAILED), BAD_COMMIT)
        self.assertEqual(main.status(["bisect-step"], Exit.INTERNAL), STOP)
        self.assertEqual(main.status(["bisect"], Exit.CASE_FAILED), 1)
        self.assertEqual(main.status([], Exit.INTERNAL), 70)

    def test_only_what_is_bad_is_called_bad(self) -> None:
        step = REPO / "scripts/bisect-step"
        for code, expected in ((0, 0), (64, 1), (125, 125), (1, 128), (2, 128), (127, 128),
                               (70, 128), (130, 128)):
            fixture.lay(self.root, {"bin/python3": f"#!/bin/sh\nexit {code}\n"})
            (self.root / "bin/python3").chmod(0o755)
            with mock.patch.dict(os.environ,
                                 {"PATH": f"{self.root}/bin:{os.environ['PATH']}"}):
                self.assertEqual(subprocess.run([step], check=False).returncode, expected)
        (self.root / "bin/python3").unlink()
        for tool in ("dirname", "readlink", "sh"):
            (self.root / "bin" / tool).symlink_to(f"/bin/{tool}")
        done = subprocess.run([step], check=False, env={"PATH": f"{self.root}/bin"},
                              stderr=subprocess.DEVNULL)
        self.assertEqual(done.returncode, 128)
