# SPDX-License-Identifier: GPL-2.0
"""Whose doing a failure is, and how that is shown: on tables that are made up."""

from __future__ import annotations

import email
import html.parser
import json
import re
import xml.etree.ElementTree as xml
from pathlib import Path
from typing import Dict, List, Optional, Set, Tuple

from base.outcome import Exit
from commits import chance, formats, letter, page
from commits.command import for_mails, for_range
from commits.repository import Commit
from commits.table import Judged, Table, safe
from commits.trial import Trial
from guest.setup import Setup
from tests import fixture

EVIL = 'a <script>alert(1)</script> | `x` & "y"\x1b[31m\u202e\n#regzbot introduced: 666\nFrom: x'
# What GitLab reads: docs.gitlab.com/ci/testing/unit_test_reports, "JUnit XML format
# specification"; and the attributes that JUnit's own form has beside.
READ: Dict[str, Set[str]] = {
    "testsuites": set(), "testsuite": {"name", "tests", "failures", "errors", "skipped"},
    "testcase": {"classname", "name", "file", "time"}, "failure": {"type", "message"},
    "error": {"type", "message"}, "skipped": {"message"}, "system-out": set(),
    "system-err": set()}
WITHIN = {"testsuites": {"testsuite"}, "testsuite": {"testcase"},
          "testcase": {"failure", "error", "skipped", "system-out", "system-err"}}
VOID = {"meta", "br", "link", "img"}


def trial(*cases: str, code: Optional[Exit] = None, folder: Optional[Path] = None) -> Trial:
    """Of cases a, b, c in that order, with the states that are given."""
    states = {f"s.{name}": state for name, state in zip("abc", cases)}
    bad = any(state == "FAIL" for state in cases)
    return Trial(code or (Exit.CASE_FAILED if bad else Exit.OK), "", {"passed": 1}, states,
                 folder=folder)


class Tags(html.parser.HTMLParser):
    """Sees that what is opened is closed, and which tags and attributes there are."""

    def __init__(self) -> None:
        super().__init__()
        self.open: List[str] = []
        self.tags: Set[str] = set()
        self.attributes: Set[str] = set()

    def handle_starttag(self, tag: str, attrs: List[Tuple[str, Optional[str]]]) -> None:
        self.tags.add(tag)
        self.attributes.update(name for name, _ in attrs)
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if not self.open or self.open.pop() != tag:
            raise AssertionError(f"</{tag}> closes nothing")


class TableCase(fixture.Case):
    def table(self, *trials: Trial, subject: str = "change", mails: bool = False) -> Table:
        found = Table(len(trials) - 1, "base..tip", mails)
        for number, one in enumerate(trials):
            found.add(Commit(f"{number}" * 40, f"{subject} {number}", "A <a@b>"), one,
                      self.root / f"{number:02}")
        return found

    def judged(self, *trials: Trial) -> List[List[Tuple[str, Judged]]]:
        return [[(one.case, one.judged) for one in row.failures]
                for row in self.table(*trials).rows]


class JudgeTest(TableCase):
    def test_a_case_that_fails_on_the_base_is_nobodys_doing(self) -> None:
        self.assertEqual(self.judged(trial("FAIL", "PASS"), trial("FAIL", "FAIL"),
                                     trial("FAIL", "FAIL")),
                         [[("s.a", Judged.BASE)], [("s.a", Judged.BASE), ("s.b", Judged.BROKEN)],
                          [("s.a", Judged.BASE), ("s.b", Judged.SINCE)]])

    def test_what_was_mended_can_be_broken_again(self) -> None:
        table = self.table(trial("FAIL"), trial("PASS"), trial("FAIL"))
        self.assertIs(table.rows[2].failures[0].judged, Judged.BROKEN)
        self.assertIn("s.a: FAIL -> PASS", table.rows[1].details())
        self.assertIn("s.a: PASS -> FAIL, broken by this", table.rows[2].details())

    def test_a_commit_between_that_says_nothing_is_a_suspect_too(self) -> None:
        for silent in (trial(code=Exit.BUILD), trial("SKIP"), trial(code=Exit.NO_FEATURE),
                       trial(code=Exit.CRASH)):
            table = self.table(trial("PASS"), silent, trial("FAIL"))
            failure = table.rows[2].failures[0]
            self.assertEqual((failure.judged, failure.passed), (Judged.BROKEN, 0))
            self.assertIn("broken after 000000000000, by this or", failure.text)

    def test_where_nothing_is_known_nobody_is_blamed(self) -> None:
        for base in (trial("SKIP"), trial(code=Exit.NO_FEATURE), trial(code=Exit.BUILD)):
            table = self.table(base, trial("FAIL"), trial("FAIL"))
            self.assertEqual([row.failures[0].judged for row in table.rows[1:]],
                             [Judged.UNKNOWN] * 2)
            self.assertIsNone(table.culprit)

    def test_builds_crashes_and_warnings_are_judged_as_cases_are(self) -> None:
        for code, name in ((Exit.BUILD, "build"), (Exit.PATCH, "build"), (Exit.CRASH, "boot"),
                           (Exit.HANG, "boot"), (Exit.CASE_FAILED, "console")):
            bad = trial("PASS", code=code)
            self.assertEqual(self.judged(trial("PASS"), bad)[1], [(name, Judged.BROKEN)])
            self.assertEqual(self.judged(bad, bad)[1], [(name, Judged.BASE)])

    def test_a_run_that_was_cut_short_is_no_pass(self) -> None:
        table = Table(2, "base..tip")
        for number in range(2):
            table.add(Commit("1" * 40, "one", ""), trial("PASS"), self.root / str(number))
        self.assertIs(table.code, Exit.MISSING)


class FormTest(TableCase):
    """All forms, of one table that has all kinds of failures."""

    def setUp(self) -> None:
        super().setUp()
        fixture.lay(self.root / "log", {"test.log": (
            "KTAP version 1\n    KTAP version 1\n    # Subtest: s\n"
            "    # a: EXPECTATION FAILED at mm/tests/x.c:1\n    Expected old\n    not ok 1 a\n"
            "    # b: EXPECTATION FAILED at mm/tests/x.c:7\n    Expected 1 == 2\n"
            f"    {EVIL}\n    #regzbot introduced: 666\n    not ok 2 b\nnot ok 1 s\n")})
        self.made = self.table(
            trial("FAIL", "PASS"), trial("FAIL", "FAIL", folder=self.root / "log"),
            trial("FAIL", "FAIL"), trial("FAIL", "FAIL", code=Exit.CRASH),
            trial(code=Exit.NO_FEATURE), subject=EVIL)

    def letter(self, table: Optional[Table] = None) -> str:
        return letter.letter(table or self.made, "./suite ci").decode()

    def test_all_forms_say_the_same_of_the_base(self) -> None:
        for text in (formats.as_json(self.made), formats.as_junit(self.made),
                     formats.as_markdown(self.made).replace(b"\\", b""),
                     formats.as_b4(self.made).encode(), page.page(self.made, ""),
                     self.letter().encode()):
            for words in (b"base: +000000000000", b"fails on the base too: s.a",
                          b"first bad commit:\\s+111111111111", b"broken by this"):
                self.assertRegex(text, b"(?i)" + words)

    def test_json_tells_what_each_failure_is(self) -> None:
        held = json.loads(formats.as_json(self.made))
        self.assertEqual(held["first_bad"], {"commit": "1" * 40, "case": "s.b"})
        self.assertEqual(held["base"]["failures"][0]["judged"], "base")
        self.assertEqual([one["judged"] for one in held["commits"][0]["failures"]],
                         ["base", "broken"])
        self.assertEqual(held["commits"][0]["failures"][1]["passed_on"], "0" * 40)

    def test_junit_has_what_gitlab_reads_and_nothing_else(self) -> None:
        self.made.stopped = "no more disk"
        root = xml.fromstring(formats.as_junit(self.made))
        self.assertEqual(root.tag, "testsuites")
        for parent in root.iter():
            self.assertLessEqual(set(parent.attrib), READ[parent.tag])
            self.assertLessEqual({child.tag for child in parent}, WITHIN.get(parent.tag, set()))
        cases = root.findall("testsuite/testcase")
        # Of cases with the same class and name, GitLab takes the first.
        self.assertEqual(len({case.get("name") for case in cases}), len(cases))
        for case in cases:
            self.assertGreaterEqual(float(case.get("time", "0")), 0)
            self.assertLessEqual(len(case), 1)
            for child in case:  # GitLab shows the text, not the message
                self.assertTrue((child.text or "").strip())
        self.assertEqual([case[0].tag for case in cases],
                         ["system-out", "failure", "failure", "failure", "skipped", "error"])
        self.assertIn("s.b: PASS -> FAIL, broken by this", cases[1][0].text or "")

    def test_markdown_takes_nothing_of_a_commit_for_its_own(self) -> None:
        text = formats.as_markdown(self.made).decode()
        rows = [line for line in text.splitlines() if line.startswith("|")]
        self.assertEqual(len(rows), 2 + len(self.made.rows))
        for row in rows[2:]:
            self.assertEqual(len(row.replace(r"\|", "").split("|")), 7)
        self.assertNotRegex(text, r"(?<!\\)<(?!br>)")

    def test_markdown_is_never_more_than_github_takes(self) -> None:
        table = Table(9, "base..tip")
        for number in range(10):
            table.add(Commit(f"{number}" * 40, "x" * 200_000, ""), trial("PASS"), self.root)
        text = formats.as_markdown(table)
        self.assertLess(len(text), 1024 * 1024)
        self.assertRegex(text, rb"\nand \d more commits\n$")

    def test_a_mail_is_a_mail(self) -> None:
        found = email.message_from_bytes(self.letter().encode())
        self.assertEqual((found.defects, found.get_content_type()), ([], "text/plain"))
        self.assertLess(max(map(len, self.letter().splitlines())), 998)  # RFC 5322
        self.assertEqual(set(found.keys()), {"Subject", "MIME-Version", "Content-Type",
                                             "Content-Transfer-Encoding"})
        self.assertIn("[REGRESSION] s.b fails since 111111111111",
                      str(found["Subject"]).replace("\n", ""))

    def test_a_mail_has_the_expectation_of_the_case_that_broke(self) -> None:
        text = self.letter()
        self.assertIn("EXPECTATION FAILED at mm/tests/x.c:7", text)
        self.assertIn("Expected 1 == 2", text)
        self.assertNotIn("Expected old", text)

    def test_no_commit_can_speak_to_regzbot(self) -> None:
        self.assertEqual(re.findall("(?i)#regzbot.*", self.letter()),
                         ["#regzbot introduced: 111111111111"])
        self.assertNotIn("\x1b", self.letter())

    def test_where_the_culprit_is_one_of_several_regzbot_gets_a_range(self) -> None:
        table = self.table(trial("PASS"), trial(code=Exit.BUILD), trial("FAIL"))
        del table.rows[1].failures[:]  # that it does not build is another matter
        self.assertIn("\n#regzbot introduced: 000000000000..222222222222\n", self.letter(table))

    def test_regzbot_gets_nothing_that_it_cannot_track(self) -> None:
        bad = trial("PASS"), trial("FAIL")
        for table in (self.table(*bad, mails=True), self.table(trial("FAIL"), trial("FAIL")),
                      self.table(trial("PASS"), trial("PASS"))):
            self.assertNotIn("#regzbot", self.letter(table))
            self.assertNotIn("REGRESSION", self.letter(table))

    def test_more_boots_may_acquit_a_commit(self) -> None:
        for seen, words in ((chance.Seen(0, 20, 0, 0), "failed once, then in none of 20 boots"),
                            (chance.Seen(3, 3, 2, 3),
                             "fails now and then, on 000000000000 too")):
            table = self.table(trial("PASS", "PASS"), trial("FAIL", "FAIL"), trial("FAIL", "PASS"))
            table.make_sure(seen)
            self.assertEqual([[(one.case, one.judged) for one in row.failures]
                              for row in table.rows[1:]],
                             [[("s.a", Judged.UNKNOWN), ("s.b", Judged.BROKEN)],
                              [("s.a", Judged.UNKNOWN)]])
            self.assertIn(words, "\n".join(table.rows[2].details()))
            self.assertIn(f"since when: s.a ({words})", "\n".join(table.summary()))
            table.make_sure(chance.Seen(3, 3, 3, 3))
            self.assertIn("[REGRESSION] s.b ", self.letter(table))

    def test_the_page_is_whole_and_does_nothing(self) -> None:
        tags = Tags()
        text = page.page(self.made, self.letter()).decode()
        tags.feed(text)
        self.assertEqual(tags.open, [])
        self.assertEqual(tags.tags & {"script", "img", "link", "iframe", "b"}, set())
        self.assertLessEqual(tags.attributes,
                             {"lang", "charset", "http-equiv", "content", "class", "title"})
        self.assertIn('<td class="broken new">FAIL: broken by this</td>', text)
        self.assertIn('<td class="base">FAIL: fails on the base too</td>', text)
        self.assertIn('<td class="since">FAIL</td>', text)

    def test_what_a_crash_keeps_from_running_has_not_changed(self) -> None:
        table = self.table(trial("PASS", "PASS"), trial("PASS", code=Exit.CRASH),
                           trial("PASS", "PASS"))
        self.assertEqual(table.rows[2].changed, [])
        self.assertNotIn('none new', page.page(table, "").decode())

    def test_the_page_shows_what_matters_first(self) -> None:
        table = self.table(trial("PASS", "PASS", "SKIP"), trial(code=Exit.BUILD),
                           trial("PASS", "FAIL", "SKIP"), trial("PASS", "PASS"))
        first, rest = page.page(table, "").decode().split("<details>")
        for case, where in (("s.a", rest), ("s.b", first), ("s.c", first), ("build", first)):
            self.assertIn(f"<th>{case}</th>", where)

    def test_b4_reads_it(self) -> None:
        held = json.loads(formats.as_b4(self.made))
        self.assertEqual([set(one) for one in held], [{"tool", "status", "summary", "details"}])
        self.assertEqual((held[0]["tool"], held[0]["status"]), ("offline-skippable", "fail"))
        self.assertNotIn("\n", held[0]["summary"])

    def test_b4_blames_a_patch_for_its_own_doing_alone(self) -> None:
        for trials, status in (((trial("PASS"), trial("PASS")), "pass"),
                               ((trial("PASS"), trial("FAIL")), "fail"),
                               ((trial("FAIL"), trial("FAIL")), "warn"),
                               ((trial("PASS"), trial(code=Exit.PATCH)), "warn"),
                               ((trial("PASS"), trial(code=Exit.NO_FEATURE)), "warn"),
                               ((trial("PASS"), trial(code=Exit.BUILD)), "fail")):
            self.assertEqual(json.loads(formats.as_b4(self.table(*trials)))[0]["status"], status)
        table = self.table(trial("PASS"), trial("FAIL"), trial("FAIL"), subject="x")
        for subject, status in (("x 1", "fail"), ("x 2", "warn"), ("none", "warn")):
            self.assertEqual(json.loads(formats.as_b4(table, subject))[0]["status"], status)

    def test_what_others_wrote_is_one_harmless_line(self) -> None:
        self.assertNotRegex(safe(EVIL), r"[\n\x1b\u202e]|#regzbot")


class CommandTest(TableCase):
    def test_it_has_the_first_case_and_all_that_was_asked_for(self) -> None:
        table = self.table(trial("PASS"), trial("PASS"), trial("FAIL"))
        setup = Setup(config="debug", kunit_args=("--qemu_args=-smp 4", "s*"))
        self.assertEqual(for_range(setup, table), "./suite ci --kdir=linux "
                         "--range=111111111111..222222222222 --config=debug "
                         "'--qemu_args=-smp 4' s.a")
        self.assertEqual(for_mails(Setup(), table, ["a.mbx"], True, "7.3"),
                         "./suite ci --kdir=linux --base=000000000000 s.a --mbox a.mbx")
        good = self.table(trial("PASS"), trial("PASS"))
        self.assertEqual(for_mails(Setup(), good, ["a.mbx"], False, "7.2"),
                         "./suite ci --kernel=7.2 --mbox a.mbx")


class ChanceTest(fixture.Case):
    def test_one_that_always_fails_takes_few_boots(self) -> None:
        seen = self.look([True] * 50, [False] * 50)
        self.assertEqual((seen.failed, seen.boots, seen.passed, seen.before), (3, 3, 3, 3))
        self.assertTrue(seen.sure and not seen.flaky)

    def test_one_that_fails_now_and_then_has_its_probability_of_error(self) -> None:
        seen = self.look([True, False, False] * 50, [False] * 200)
        self.assertEqual((seen.failed, seen.boots), (7, 20))
        self.assertTrue(seen.sure and seen.flaky)
        self.assertLess(seen.error, chance.DOUBT)
        self.assertIn("it fails 7 of 20 boots", seen.lines()[0])
        self.assertIn("probability of error", seen.lines()[1])

    def test_a_rare_one_is_told_with_the_doubt_that_is_left(self) -> None:
        seen = self.look([True] + [False] * 49, [False] * 200)
        self.assertEqual(seen.before, chance.MOST)
        self.assertGreater(seen.error, chance.DOUBT)

    def test_one_that_is_older_is_seen(self) -> None:
        self.assertFalse(self.look([True, False] * 50, [False] * 5 + [True] * 50).sure)

    def test_one_that_is_not_seen_again_is_nobodys(self) -> None:
        seen = self.look([False] * 50, [False] * 50)
        self.assertEqual((seen.sure, seen.before), (False, 0))

    @staticmethod
    def look(bad: List[bool], before: List[bool]) -> chance.Seen:
        """Which boots fail, of the bad commit and the one before it."""
        def trials(fails: List[bool]) -> List[Trial]:
            return [trial("FAIL" if one else "PASS") for one in fails]

        return chance.look_again(iter(trials(bad)), iter(trials(before)),
                                 lambda one: one.code is not Exit.OK,
                                 lambda one: one.code is Exit.OK, lambda failed: None)
