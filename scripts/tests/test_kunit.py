# SPDX-License-Identifier: GPL-2.0
from __future__ import annotations

import os
import unittest
from pathlib import Path
from typing import Any, Dict, Optional
from unittest import mock

import fixture  # first: it sets the path

from kernel import Kernel
from kunit import COUNTS, Verdict, boot, judge
from verdict import Exit, Fail

LOG = "Linux version 7.3.4\nKTAP version 1\n"
END = "reboot: Restarting system\n"


def results(**counts: int) -> Dict[str, Any]:
    return {"misc": {name: counts.get(name, 0) for name in COUNTS}}


class JudgeTest(unittest.TestCase):
    def check(self, code: Exit, words: str, found: Optional[Dict[str, Any]], log: str,
              status: int = 1, hung: bool = False) -> None:
        verdict = judge(status, found, log, hung)
        self.assertEqual(verdict.code, code)
        self.assertIn(words, verdict.line())

    def test_all_passed(self) -> None:
        self.check(Exit.OK, "PASS: 3 passed, 0 failed, 1 skipped", results(passed=3, skipped=1),
                   LOG + END, 0)

    def test_a_case_failed(self) -> None:
        self.check(Exit.CASE_FAILED, "FAIL: 2 passed, 1 failed", results(passed=2, failed=1),
                   LOG + END)

    def test_nothing_run_is_no_pass(self) -> None:
        self.check(Exit.CASE_FAILED, "no case ran", results(), LOG + END, 0)
        self.check(Exit.CASE_FAILED, "all cases were skipped", results(skipped=2), LOG + END, 0)

    def test_odd_results_are_no_pass(self) -> None:
        self.check(Exit.CASE_FAILED, "errors", results(passed=1, errors=1), LOG + END, 0)
        self.check(Exit.CASE_FAILED, "errors", results(passed=1), LOG + END, 1)

    def test_a_panic_is_a_crash_whatever_passed(self) -> None:
        self.check(Exit.CRASH, "Kernel panic - not syncing: x", results(passed=3),
                   LOG + "Kernel panic - not syncing: x\n" + END)
        self.check(Exit.CRASH, "BUG: unable", results(passed=3), LOG + "BUG: unable\n" + END, 0)

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

    def test_a_silent_kernel_is_a_crash(self) -> None:
        self.check(Exit.CRASH, "printed nothing", None, "")

    def test_a_qemu_that_does_not_start_is_not_the_kernels_fault(self) -> None:
        with self.assertRaises(Fail) as caught:
            judge(1, None, "qemu-system-x86_64: could not load PC BIOS 'qboot.rom'\n", False)
        self.assertEqual(caught.exception.code, Exit.MISSING)


class BootTest(fixture.Case):
    """Boots with a kunit.py that writes what a boot would have left."""

    def setUp(self) -> None:
        super().setUp()
        self.out = self.root / "out"
        fixture.lay(self.root, {"bin/qemu-system-x": "", "out/.offline-skippable/stamp": ""})
        (self.root / "bin/qemu-system-x").chmod(0o755)
        path = mock.patch.dict(os.environ, {"PATH": f"{self.root}/bin:{os.environ['PATH']}"})
        path.start()
        self.addCleanup(path.stop)

    def boot(self, last_words: str, pidfile: str = "", **more: Any) -> Verdict:
        """The last words may name kunit.py's own process, as {pid}."""
        fixture.lay(self.kernel, {"tools/testing/kunit/kunit.py": (
            "import os\n"
            f"open({str(self.out / 'test.log')!r}, 'w').write("
            f"{LOG + last_words!r}.replace('{{pid}}', str(os.getpid())))\n"
            f"{pidfile!r} and open({str(self.out / 'qemu.pid')!r}, 'w').write({pidfile!r})\n")})
        with mock.patch("accel.environment", return_value=dict(os.environ)):
            return boot(Kernel(self.kernel, self.out, self.options(), {"qemu_arch": "x"}),
                        quiet=True, **more)

    def trouble(self, last_words: str, pidfile: str = "") -> Fail:
        with self.assertRaises(Fail) as caught:
            self.boot(last_words, pidfile)
        self.assertEqual(caught.exception.code, Exit.MISSING)
        return caught.exception

    def test_a_kernel_that_kunit_py_stops_hung(self) -> None:
        self.assertEqual(self.boot("    # half a liqemu-system-x: terminating on signal 15 from "
                                   "pid {pid} (python3)\n").code, Exit.HANG)

    def test_a_qemu_that_others_stop_is_no_verdict(self) -> None:
        self.assertIn("killed", self.trouble("qemu-system-x: terminating on signal 15 from pid 1 "
                                             "(init)\n").what)

    def test_a_qemu_that_had_no_time_for_its_pidfile_is_no_verdict(self) -> None:
        self.assertIn("killed", self.trouble("", "999999999").what)
        self.assertFalse((self.out / "qemu.pid").exists())
        self.assertEqual(self.boot("").code, Exit.CRASH)

    def test_a_process_that_is_not_qemu_is_left_alone(self) -> None:
        self.trouble("", str(os.getpid()))

    def test_a_qemu_that_vanished_is_named(self) -> None:
        Path(self.root / "bin/qemu-system-x").unlink()
        self.assertIn("qemu-system-x", self.trouble("").what)

    def test_a_full_disk_is_no_verdict(self) -> None:
        with mock.patch("kunit.is_full", return_value=True):
            self.assertIn("no space", self.trouble("").what)
