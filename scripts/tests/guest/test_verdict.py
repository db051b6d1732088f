# SPDX-License-Identifier: GPL-2.0
from __future__ import annotations

import unittest
from typing import Any, Dict, Optional

from base.outcome import Exit, Fail
from guest.job import lines
from guest.verdict import COUNTS, Verdict, judge, last_boot, suites

LOG = "Linux version 7.3.4\nKTAP version 1\n"
END = "reboot: Restarting system\n"


def results(**counts: int) -> Dict[str, Any]:
    return {"misc": {name: counts.get(name, 0) for name in COUNTS}}


class JudgeTest(unittest.TestCase):
    def check(self, code: Exit, words: str, found: Optional[Dict[str, Any]], log: str,
              status: int = 1, hung: bool = False, loses_end: bool = False) -> None:
        verdict = judge(status, found, log, hung, loses_end=loses_end)
        self.assertEqual(verdict.code, code)
        self.assertIn(words, verdict.line())

    def test_all_passed(self) -> None:
        self.check(Exit.OK, "PASS: 3 passed, 0 failed, 1 skipped", results(passed=3, skipped=1),
                   LOG + END, 0)

    def test_a_case_failed(self) -> None:
        self.check(Exit.CASE_FAILED, "FAIL: 2 passed, 1 failed", results(passed=2, failed=1),
                   LOG + END)

    def test_what_was_before_a_reset_is_told_from_the_last_boot(self) -> None:
        bios, stamped = "SeaBIOS\n", f"[    0.000000] {LOG}"
        self.assertEqual(last_boot(bios + LOG + bios + stamped + END),
                         (bios + LOG + bios, stamped + END))
        self.assertEqual(last_boot(LOG), ("", LOG))
        self.assertEqual(last_boot(bios), ("", bios))

    def test_nothing_run_is_no_pass(self) -> None:
        self.check(Exit.CASE_FAILED, "no case ran", results(), LOG + END, 0)
        self.check(Exit.CASE_FAILED, "all cases were skipped", results(skipped=2), LOG + END, 0)

    def test_odd_results_are_no_pass(self) -> None:
        self.check(Exit.CASE_FAILED, "errors", results(passed=1, errors=1), LOG + END, 0)
        self.check(Exit.CASE_FAILED, "errors", results(passed=1), LOG + END, 1)

    def test_results_that_nobody_counted(self) -> None:
        """As kunit.py of Linux 6.12 writes them."""
        def found(*states: str) -> Dict[str, Any]:
            cases = [{"name": f"case_{state}", "status": state} for state in states]
            return {"test_cases": [], "sub_groups": [
                {"name": "suite", "test_cases": cases[:1], "sub_groups": [
                    {"name": "parameters", "test_cases": cases[1:], "sub_groups": []}]}]}

        self.check(Exit.OK, "PASS: 2 passed, 0 failed, 1 skipped", found("PASS", "SKIP", "PASS"),
                   LOG + END, 0)
        self.check(Exit.CASE_FAILED, "FAIL: 1 passed, 1 failed", found("PASS", "FAIL"), LOG + END)
        self.check(Exit.CRASH, "never came to its end", found("PASS", "ERROR"), LOG + END)
        self.check(Exit.CASE_FAILED, "no case ran", found(), LOG + END, 0)

    def test_lost_results_are_no_pass(self) -> None:
        whole = CONSOLE[:CONSOLE.index("[    1.010000] # one")] + """\
[    1.010000] # Totals: pass:2 fail:1 skip:1 total:4
[    1.010000] not ok 1 one
""" + END
        self.check(Exit.OK, "PASS", results(passed=4), whole, 0)
        for lost in ("        ok 1 a zone\n", "        not ok 2 another zone\n", "# Totals"):
            self.check(Exit.CASE_FAILED, "results of one", results(passed=3),
                       "".join(line for line in whole.splitlines(keepends=True)
                               if lost not in line), 0)

    def test_a_panic_is_a_crash_whatever_passed(self) -> None:
        self.check(Exit.CRASH, "Kernel panic - not syncing: x", results(passed=3),
                   LOG + "Kernel panic - not syncing: x\n" + END)
        self.check(Exit.CRASH, "BUG: unable", results(passed=3), LOG + "BUG: unable\n" + END, 0)

    def test_a_data_race_is_no_pass_and_no_crash(self) -> None:
        race = "[    1.2] BUG: KCSAN: data-race in a / b\n"
        self.check(Exit.CASE_FAILED, "KCSAN: data-race in a / b", results(passed=3),
                   LOG + race + END, 0)
        self.check(Exit.CASE_FAILED, "FAIL: 3 passed, 1 failed", results(passed=3, failed=1),
                   LOG + race + END)

    def test_a_warning_while_cases_run_is_no_pass(self) -> None:
        warning = "WARNING: mm/page_alloc.c:7800 at x\n"
        self.check(Exit.CASE_FAILED, "warned: WARNING: mm/page_alloc.c", results(passed=3),
                   LOG + warning + END, 0)
        self.check(Exit.OK, "PASS", results(passed=3), warning + LOG + END, 0)

    def test_a_kernel_that_has_to_be_stopped_hung(self) -> None:
        self.check(Exit.HANG, "never got to its end", results(passed=3, crashed=1), LOG, hung=True)
        self.check(Exit.HANG, "printed nothing", None,
                   "qemu-system-x86_64: terminating on signal 15 from pid 1 (python3)\n", hung=True)

    def test_the_watchdogs_word_for_it_is_a_hang_too(self) -> None:
        self.check(Exit.HANG, "HANG", results(passed=3),
                   LOG + "watchdog: BUG: soft lockup - CPU#0 stuck for 26s!\n", hung=True)

    def test_a_machine_that_resets_itself_crashed(self) -> None:
        self.check(Exit.CRASH, "reset itself", results(passed=3), LOG)

    def test_a_console_may_lose_the_last_words_but_not_the_last_result(self) -> None:
        log = LOG + "1..2\n    1..3\nok 1 a\n    ok 2 case\n"
        self.check(Exit.CRASH, "reset itself", results(passed=3), log, loses_end=True)
        log += "[    1.000000] ok 2 b\n"
        self.check(Exit.OK, "PASS", results(passed=3), log, 0, loses_end=True)
        self.check(Exit.CRASH, "reset itself", results(passed=3), log, 0)

    def test_a_silent_kernel_is_a_crash(self) -> None:
        self.check(Exit.CRASH, "printed nothing", None, "")

    def test_a_qemu_that_does_not_start_is_not_the_kernels_fault(self) -> None:
        with self.assertRaises(Fail) as caught:
            judge(1, None, "qemu-system-x86_64: could not load PC BIOS 'qboot.rom'\n", False)
        self.assertEqual(caught.exception.code, Exit.MISSING)

    def test_the_kernels_clock_does_not_hide_its_words(self) -> None:
        log = "[    0.000000] Linux version 7.3.4\n[    1.000000] KTAP version 1\n" \
            "[    1.100000] {}\n[    1.200000] reboot: Restarting system\n"
        self.check(Exit.CASE_FAILED, "warned: WARNING: mm/x.c", results(passed=3),
                   log.format("WARNING: mm/x.c"), 0)
        self.check(Exit.CRASH, "CRASH: 3 passed, 0 failed (Oops: int3", results(passed=3),
                   log.format("Oops: int3: 0000 [#1]"))


CONSOLE = """[    0.000000] Linux version 7.3.4
[    1.000000] KTAP version 1
[    1.000000] 1..2
[    1.000000]     KTAP version 1
[    1.000000]     # Subtest: one
[    1.000000]     # module: one
[    1.000000]     1..3
[    1.001000]     ok 1 plain
[    1.002000]         KTAP version 1
[    1.002000]         # Subtest: many
[    1.003000]         ok 1 a zone
[    1.004000] page_owner: something odd
[    1.005000]     # many: EXPECTATION FAILED at mm/tests/x.c:7
[    1.005000]     Expected 1 == 2, but it is not
[    1.006000]         not ok 2 another zone
[    1.006000]     # many: pass:1 fail:1 skip:0 total:2
[    1.007000]     not ok 2 many
[    1.008000]     ok 3 left # SKIP there is no zone
[    1.010000] # one: pass:2 fail:1 skip:1 total:4
[    1.010000] not ok 1 one
[    1.010000]     KTAP version 1
[    1.010000]     # Subtest: two
[    1.011000]     ok 1 last
"""


class SuitesTest(unittest.TestCase):
    def test_the_console_is_read_suite_by_suite(self) -> None:
        one, two = suites(CONSOLE)
        self.assertEqual([(case.name, case.state) for case in one.cases],
                         [("plain", "ok"), ("many a zone", "ok"), ("many another zone", "not ok"),
                          ("left", "skip")])
        self.assertEqual((one.seconds and round(one.seconds, 3), two.seconds), (0.01, None))
        self.assertEqual(one.cases[3].reason, "there is no zone")

    def test_a_failure_is_told_with_the_kernels_words_and_nothing_else(self) -> None:
        told = lines(suites(CONSOLE), Verdict(Exit.CASE_FAILED, "", {"failed": 1}))
        self.assertEqual(told, ["FAIL one.many another zone", "page_owner: something odd",
                                "    # many: EXPECTATION FAILED at mm/tests/x.c:7",
                                "    Expected 1 == 2, but it is not"])

    def test_when_all_is_well_there_is_a_line_a_suite_and_why_cases_were_skipped(self) -> None:
        console = CONSOLE.replace("not ok", "ok") + "[    1.020000] ok 2 two\n"
        told = "\n".join(lines(suites(console), Verdict(Exit.OK, "", {})))
        self.assertRegex(told, r"^one +4 cases +10 ms\n    skipped left: there is no zone\n"
                               r"two +1 cases +10 ms$")

    def test_a_case_that_is_skipped_for_a_known_bug_is_known_by_its_reason(self) -> None:
        for reason, known in (("there is no zone", False),
                              ("it leaks: known bug, mended by mm-do-not-leak", True)):
            console = CONSOLE.replace("there is no zone", reason)
            self.assertEqual(suites(console)[0].cases[3].known_bug, known)
        self.assertFalse(suites(CONSOLE)[0].cases[0].known_bug)

    def test_a_boot_that_was_put_down_to_the_machine_is_told(self) -> None:
        told = lines([], Verdict(Exit.OK, "", {}, ("Oops: int3",)))
        self.assertIn("Oops: int3", told[0])
