# SPDX-License-Identifier: GPL-2.0
from __future__ import annotations

import json
import unittest
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Dict, List, Sequence
from unittest import mock

from base.outcome import Exit, Fail
from check import fresh
from check.fresh import Ended, Judge, Row, Rows, passes_as_kunit
from check.roots import RELEASES, Shared, System
from tests import fixture

FETCHED = Shared.FETCHED
KUNIT = "offline_skippable  35 cases\nPASS: 290 passed, 0 failed; boot 1.9 s, all 2.6 s; see x/\n"
SKIPPED = "    skipped it_leaks: a word: known bug, mended by mm-do-not-leak\n"
CHECK = "ok      0.1 s  licence tags\n{}\n"
MISSING = ("error: missing here: gcc\n"
           "  fix: as root: apt-get install gcc   (names of Debian's packages)\n")


class RowsTest(unittest.TestCase):
    def test_each_release_has_each_kind_of_user_with_and_without_a_terminal(self) -> None:
        found = fresh.rows()
        self.assertEqual(len({row.key for row in found}), len(found))
        for release in RELEASES:
            full = {(row.user, row.terminal) for row in found
                    if row.release == release and row.kind == "full"}
            self.assertEqual(full, {("root", True), ("root", False), ("sudo", True),
                                    ("sudo", False)})
            for name in ("plain", "root-no-install", "root-space"):
                self.assertIn(f"{release}-{name}", [row.key for row in found])

    def test_rows_are_chosen_by_pattern(self) -> None:
        self.assertEqual([row.key for row in fresh.chosen("*-plain", fresh.rows())],
                         [f"{release}-plain" for release in RELEASES])
        with self.assertRaises(Fail) as caught:
            fresh.chosen("sid-*", fresh.rows())
        self.assertIn("bookworm-plain", caught.exception.remedy)


class JudgeTest(unittest.TestCase):
    def check(self, judge: Judge, good: Ended, *bad: Ended) -> None:
        self.assertEqual(judge(good), "")
        for ended in bad:
            self.assertNotEqual(judge(ended), "", ended)

    def test_kunit_passes_if_its_verdict_says_so(self) -> None:
        self.check(passes_as_kunit, Ended(0, KUNIT, 1, "ok"), Ended(2, KUNIT, 1, "ok"),
                   Ended(0, KUNIT, 1), Ended(0, KUNIT, 1, "hang"), Ended(0, "", 1, "ok"),
                   Ended(0, KUNIT.replace("PASS: ", ""), 1, "ok"),
                   Ended(0, KUNIT.replace("0 failed", "0 failed, 2 skipped"), 1, "ok"))

    def test_a_terminal_makes_no_difference(self) -> None:
        said = "booting: 9 s so far\r\x1b[K" + KUNIT.replace("PASS:", "\x1b[32mPASS:").replace(
            "failed;", "failed\x1b[0m;").replace("\n", "\r\n")
        self.assertEqual(passes_as_kunit(Ended(0, said, 1, "ok")), "")

    def test_check_passes_if_nothing_failed_or_was_skipped(self) -> None:
        self.check(fresh.passes, Ended(0, KUNIT + CHECK.format("400 passed, 0 failed"), 1),
                   *(Ended(0, KUNIT + CHECK.format(last), 1) for last in (
                       "399 passed, 1 failed", "399 passed, 0 failed, 1 skipped")))
        self.assertEqual(fresh.passes(Ended(0, CHECK.format("1 passed, 2 failed"), 1)),
                         "1 passed, 2 failed")
        # It tells what its kernels skip for a known bug, and counts that by itself.
        self.assertEqual(fresh.passes(Ended(0, SKIPPED + CHECK.format("9 passed, 0 failed"), 1)),
                         "")

    def test_only_a_known_bug_of_the_kernel_may_be_skipped(self) -> None:
        verdict = KUNIT.replace("0 failed", "0 failed, 1 skipped")
        self.check(passes_as_kunit, Ended(0, SKIPPED + verdict, 1, "ok"),
                   Ended(0, SKIPPED + SKIPPED + verdict, 1, "ok"),
                   Ended(0, SKIPPED.replace("mended", "seen") + verdict, 1, "ok"),
                   Ended(0, SKIPPED + verdict.replace("0 failed", "1 failed"), 1, "ok"))

    def test_what_is_missing_is_named_with_one_command(self) -> None:
        self.check(fresh.names_what_is_missing, Ended(2, MISSING, 1, "missing"),
                   Ended(0, MISSING, 1, "missing"), Ended(2, MISSING, 1, "ok"),
                   Ended(2, "error: no compiler\n", 1, "missing"),
                   Ended(2, MISSING + MISSING, 1, "missing"))

    def test_a_place_that_kbuild_cannot_take_is_refused_at_once(self) -> None:
        said = "error: kbuild cannot work below /root/a b: ...\n"
        self.check(fresh.refuses_the_place, Ended(2, said, 1), Ended(0, said, 1), Ended(2, "", 1),
                   Ended(2, said, 100))


@dataclass(frozen=True)
class Here(System):
    """A system that is nothing but a folder."""

    def command(self, words: Sequence[str], folder: str, terminal: bool = False) -> List[str]:
        return ["sh", "-c", 'cd "$0" && exec "$@"', str(self.inside(folder)), *words]

    def must(self, *words: str) -> None:
        pass


class CampaignTest(fixture.Case):
    def setUp(self) -> None:
        super().setUp()
        for name, value in (("check.fresh.REPO", self.repo),
                            ("check.fresh.RESULTS", self.root / "results"),
                            ("check.fresh.HOME", self.root / "fresh"),
                            ("check.roots.HOME", self.root / "fresh")):
            patch = mock.patch(name, value)
            patch.start()
            self.addCleanup(patch.stop)
        self.commit_of_repo = fixture.git(self.repo, "rev-parse", "HEAD").strip()
        self.made: List[str] = []

    def system(self, release: str, name: str, user: str, sudo: bool) -> System:
        self.made.append(name)
        found = Here(self.root / "rows" / name, user)
        found.inside(found.home).mkdir(parents=True)
        return found

    def row(self, user: str, script: str, kind: str = "full") -> Row:
        return Row("trixie", user, False, kind, ((("sh", "-c", script), fresh.passes),))

    def results(self, *rows: Row, cold: bool = False) -> Dict[str, Dict[str, Any]]:
        found = [each for each in Rows(self.commit_of_repo, cold, self.system).run(rows) if each]
        return {row.key: result or {} for row, result in found}

    def test_a_row_works_on_a_clone_and_leaves_nothing_but_its_console(self) -> None:
        row = self.row("root", "cat mm/tests/suite.c; git rev-parse HEAD; echo 1 passed, 0 failed")
        fixture.lay(self.repo, {"mm/tests/suite.c": "edited\n"})
        found = self.results(row)[row.key]
        self.assertTrue(found["passed"])
        self.assertEqual(Path(found["commands"][0]["console"]).read_text(),
                         f"suite\n{self.commit_of_repo}\n1 passed, 0 failed\n")
        self.assertFalse((self.root / "rows" / row.key).exists())

    def test_what_the_first_row_fetched_and_compiled_is_given_to_the_next(self) -> None:
        make = f"mkdir -p ../{FETCHED}/linux-7.3.git; echo 1 passed, 0 failed"
        look = f"ls ../{FETCHED}; echo 1 passed, 0 failed"
        first, second = self.row("root", make), self.row("sudo", look)
        found = self.results(first, second)
        self.assertEqual([found[row.key]["cold"] for row in (first, second)], [True, False])
        self.assertIn("linux-7.3.git", Path(
            found[second.key]["commands"][0]["console"]).read_text())
        self.assertTrue(self.results(second, cold=True)[second.key]["cold"])

    def test_a_row_ends_with_the_first_command_that_fails(self) -> None:
        row = Row("trixie", "root", False, "full", ((("false",), fresh.passes),
                                                   (("true",), fresh.passes)))
        found = self.results(row)[row.key]
        self.assertFalse(found["passed"])
        self.assertEqual([command["complaint"] for command in found["commands"]], ["exit code 1"])

    def test_only_what_failed_is_run_again(self) -> None:
        good, bad = self.row("root", "echo 1 passed, 0 failed"), self.row("sudo", "false")
        with mock.patch("check.fresh.Rows", lambda commit, cold: Rows(commit, cold, self.system)), \
                mock.patch("check.fresh.result") as told:
            self.assertEqual(fresh.run([good, bad], False), Exit.CASE_FAILED)
            self.assertEqual(fresh.run([good, bad], False), Exit.CASE_FAILED)
        self.assertEqual(self.made, [good.key, bad.key, bad.key])
        self.assertIn("known", told.call_args_list[3].args[0])
        self.assertIn("1 passed, 1 failed", told.call_args.args[0])
        report = json.loads((self.root / "results/fresh.json").read_text())
        self.assertEqual([(row["row"], row["passed"]) for row in report["rows"]],
                         [(good.key, True), (bad.key, False)])

    def test_a_result_outlives_an_interrupt_while_its_system_is_removed(self) -> None:
        row = self.row("root", "echo 1 passed, 0 failed")
        with mock.patch("check.fresh.Rows", lambda commit, cold: Rows(commit, cold, self.system)), \
                mock.patch("check.fresh.result"):
            with mock.patch.object(Here, "remove", side_effect=KeyboardInterrupt), \
                    self.assertRaises(KeyboardInterrupt):
                fresh.run([row], False)
            self.assertEqual(fresh.run([row], False), Exit.OK)
        self.assertEqual(self.made, [row.key])

    def test_a_line_tells_what_went_wrong_and_where_to_look(self) -> None:
        row = self.row("root", "")
        command = {"command": "make kunit", "seconds": 3.0, "code": 2, "complaint": "exit code 2",
                   "console": str(Path.cwd() / "x.log")}
        told = fresh.line(row, {"passed": False, "cold": True, "commands": [command]}, False)
        self.assertEqual(told, f"FAIL {row.key:<32} make kunit 3 s (cold)\n"
                         "     exit code 2; see x.log")

    def test_only_root_may(self) -> None:
        with mock.patch("os.geteuid", return_value=1000), self.assertRaises(Fail) as caught:
            fresh.main(mock.Mock())
        self.assertIn("sudo", caught.exception.remedy)
