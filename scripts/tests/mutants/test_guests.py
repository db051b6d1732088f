# SPDX-License-Identifier: GPL-2.0
from __future__ import annotations

import os
import signal
import threading
import time
import unittest
from concurrent.futures import CancelledError
from pathlib import Path
from typing import List
from unittest import mock

from base.outcome import Exit, Fail
from guest.build import Kernel
from guest.setup import Setup
from mutants import guests
from mutants.guests import Guests, Run
from tests import fixture

LOG = """\
KTAP version 1
1..2
    KTAP version 1
    # Subtest: scan
    1..3
        KTAP version 1
        # Subtest: stops
        not ok 1 first page
    # stops: pass:0 fail:1 skip:0 total:1
    not ok 1 stops
    ok 2 finds # SKIP no memory
    ok 3 ends
not ok 1 scan
    KTAP version 1
    # Subtest: migrate
    1..1
    ok 1 moves
ok 2 migrate
reboot: Restarting system
"""
ORDER = ["scan.stops", "scan.finds", "scan.ends", "migrate.moves"]

class RunTest(unittest.TestCase):
    def run_of(self, log: str) -> Run:
        run = Run(ORDER)
        for line in log.splitlines():
            run.feed(line)
        return run

    def test_cases_by_suite(self) -> None:
        run = self.run_of(LOG)
        self.assertEqual(list(run.cases.values()), ["not ok", "skip", "ok", "ok"])
        self.assertEqual(list(run.cases), ORDER)
        self.assertEqual((run.how, run.first, run.failed, run.ended),
                         ("case", "scan.stops", ["scan.stops"], True))

    def test_a_warning_or_a_crash_is_that_of_the_case_that_runs(self) -> None:
        good = LOG.replace("not ok", "ok")
        for words, how in (("WARNING: mm/a.c:1 at f\n", "warning"), ("BUG: bad\n", "crash")):
            run = self.run_of(good.replace("    ok 3 ends\n", f"{words}    ok 3 ends\n"))
            self.assertEqual((run.how, run.first, run.reason), (how, "scan.ends", words.strip()))
        self.assertEqual(self.run_of("WARNING: early\n" + good).how, "")

    def test_of_which_mutants_the_code_ran(self) -> None:
        run = self.run_of("mutants that ran: 0 000101\nmutants that ran: 64 0001\n" + LOG)
        self.assertEqual(run.ran, {1, 2, 65})

    def test_the_first_trouble_counts(self) -> None:
        run = self.run_of(LOG + "BUG: late\n")
        self.assertEqual((run.how, run.first), ("case", "scan.stops"))


class GuestsTest(fixture.Case):
    """Guests are shell scripts here."""

    def setUp(self) -> None:
        super().setUp()
        self.stop = threading.Event()
        self.begun = 0

    def boot(self, script: str, first_only: bool = False, silence: float = 20,
             work: float = 20) -> Run:
        kernel = Kernel(self.kernel, self.root, Setup(), {})
        self.guests = Guests(kernel, first_only, self.stop)
        self.guests.order, self.guests.silence, self.guests.work = ORDER, silence, work
        (self.root / "log").write_text(f"Linux version 7.3.4\n{LOG}")

        def command(*_: object) -> List[str]:
            self.begun += 1
            return ["sh", "-c", script]
        with mock.patch.object(guests, "command", command):
            return self.guests.boot(Path(), 1)

    def test_a_boot_that_comes_to_its_end(self) -> None:
        run = self.boot(f"cat {self.root}/log")
        self.assertEqual((run.how, run.first, run.ended), ("case", "scan.stops", True))
        self.assertEqual(len(run.cases), 4)
        self.assertEqual(list(self.guests.ended), [run])

    def test_the_first_case_that_fails_can_end_it(self) -> None:
        begin = time.monotonic()
        run = self.boot(f"head -n11 {self.root}/log; exec sleep 60", first_only=True)
        self.assertLess(time.monotonic() - begin, 15)
        self.assertEqual((run.how, run.first, run.ended), ("case", "scan.stops", False))

    def test_a_guest_that_says_nothing_more_hangs(self) -> None:
        begin = time.monotonic()
        run = self.boot(f"head -n5 {self.root}/log; exec sleep 60", silence=0.2)
        self.assertLess(time.monotonic() - begin, 15)
        self.assertEqual((run.how, run.first), ("hang", "scan.stops"))

    def test_so_does_one_in_which_a_case_failed_before(self) -> None:
        begin = time.monotonic()
        run = self.boot(f"head -n11 {self.root}/log; exec sleep 60", silence=0.2)
        self.assertLess(time.monotonic() - begin, 15)
        self.assertEqual((run.how, run.first, run.ended), ("case", "scan.stops", False))

    def test_a_guest_that_spins_is_known_sooner(self) -> None:
        begin = time.monotonic()
        run = self.boot(f"head -n5 {self.root}/log; while :; do :; done", work=0.1)
        self.assertLess(time.monotonic() - begin, 15)
        self.assertEqual((run.how, run.first), ("hang", "scan.stops"))

    def test_a_guest_that_resets_itself_crashed(self) -> None:
        run = self.boot(f"head -n7 {self.root}/log")
        self.assertEqual((run.how, run.first), ("crash", "scan.stops"))

    def test_what_ends_before_the_cases_is_tried_again(self) -> None:
        run = self.boot(f"echo Linux version; test -e {self.root}/again && cat {self.root}/log; "
                        f"touch {self.root}/again")
        self.assertEqual((run.first, self.begun), ("scan.stops", 2))
        self.begun = 0
        run = self.boot("echo Linux version")
        self.assertEqual((run.how, self.begun), ("crash", guests.TRIES))

    def test_a_qemu_that_does_not_start_kills_no_mutant(self) -> None:
        with self.assertRaises(Fail) as caught:
            self.boot("echo qemu: cannot set up guest memory; exit 1")
        self.assertEqual(caught.exception.code, Exit.MISSING)
        self.assertIn("guest memory", caught.exception.what)

    def test_nor_does_whoever_kills_qemu(self) -> None:
        with self.assertRaises(Fail) as caught:
            self.boot(f"head -n7 {self.root}/log; kill -{signal.SIGKILL.value} $$")
        self.assertEqual(caught.exception.code, Exit.MISSING)

    def test_all_can_be_ended_at_once(self) -> None:
        threading.Timer(0.1, self.stop.set).start()
        begin = time.monotonic()
        with self.assertRaises(CancelledError):
            self.boot("trap '' TERM INT; while :; do :; done")
        self.assertLess(time.monotonic() - begin, 15)

    def test_an_interrupt_from_the_terminal_does_not_reach_guests(self) -> None:
        run = self.boot(f"cat {self.root}/log; cut -d' ' -f5 /proc/self/stat")
        self.assertNotEqual(int(run.last), os.getpgrp())

    def test_a_guest_does_not_outlive_this_program(self) -> None:
        kernel = Kernel(self.kernel, self.root, Setup(), {
            "qemu_arch": "x86_64", "kernel_command_line": "console=ttyS0", "serial": "stdio",
            "extra_qemu_params": []})
        fixture.lay(self.root, {
            ".config": "", "bin/qemu-system-x86_64": "#!/bin/sh\necho here\nexec sleep 60\n"})
        (self.root / "bin/qemu-system-x86_64").chmod(0o755)
        words = guests.command(kernel, Path("image"), 7)
        self.assertIn("mutant=7 ", words[words.index("-append") + 1])
        reader, writer = os.pipe()
        child = os.fork()
        if not child:  # starts a guest, and is gone
            os.dup2(writer, 1)
            os.environ["PATH"] = f"{self.root}/bin:{os.environ['PATH']}"
            os.spawnvp(os.P_NOWAIT, words[0], words)
            time.sleep(1)
            os._exit(0)
        os.close(writer)
        os.waitpid(child, 0)
        begin = time.monotonic()
        with open(reader) as said:
            self.assertEqual(said.read(), "here\n")  # to the end, when nobody has the pipe
        self.assertLess(time.monotonic() - begin, 15)
