# SPDX-License-Identifier: GPL-2.0
from __future__ import annotations

import json
import signal
import threading
import unittest
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Dict, List, Tuple
from unittest import mock

from base.outcome import Exit, Fail
from guest.build import KUNIT_PY
from guest.setup import Setup
from guest.verdict import Verdict
from matrix import boots
from matrix.boots import Boot, Soak, command
from matrix.flakes import Ended, as_json, bound, exit_code, failures, summary
from tests import fixture

LOG = """\
Linux version 7.3
KTAP version 1
1..1
    # Subtest: scan
    ok 1 stops
    {} 2 ends
# Totals: pass:2 fail:0 skip:0 total:2
{} 1 scan
reboot: Restarting system
"""
GOOD, BAD = LOG.format("ok", "ok"), LOG.format("not ok", "not ok")


def ended(number: int, code: Exit = Exit.OK, **cases: str) -> Ended:
    return Ended(number, f"-smp 1 kunit.shuffle={number}", code, "", cases, 1.0)


class FlakesTest(unittest.TestCase):
    def test_the_bound_is_that_of_the_binomial_distribution(self) -> None:
        self.assertAlmostEqual(bound(1), 0.95)
        self.assertAlmostEqual((1 - bound(59)) ** 59, 0.05)
        self.assertLess(bound(1000), 3 / 1000)  # the rule of three

    def test_clean_boots_prove_something_of_the_case_that_ran_least_often(self) -> None:
        boots_ = {number: ended(number, a="ok", b="ok" if number > 10 else "skip")
                  for number in range(1, 101)}
        self.assertEqual(summary(boots_), [
            "100 boots, 0 of them not clean: 2 cases never failed; each passed 90 times or more, "
            f"so with 95% confidence it fails in fewer than {bound(90):.2%} of boots"])
        self.assertEqual(exit_code(boots_), Exit.OK)

    def test_a_flaky_case_is_listed_and_nothing_is_proved_of_it(self) -> None:
        found = {1: ended(1, a="ok", b="ok"), 2: ended(2, Exit.CASE_FAILED, a="ok", b="not ok")}
        lines = summary(found)
        self.assertIn("boot 2 (-smp 1 kunit.shuffle=2)", lines[0])
        self.assertIn("b failed, or did not run, in 1 of 2 boots", lines)
        self.assertIn("1 cases never failed", lines[-1])
        self.assertEqual(exit_code(found), Exit.CASE_FAILED)
        cases = json.loads(as_json(found))["cases"]
        self.assertEqual((cases["b"]["failed"], cases["b"]["bound"]), ([2], None))
        self.assertEqual(cases["a"]["bound"], bound(2))

    def test_a_case_that_never_came_to_its_end_did_not_pass(self) -> None:
        found = [ended(1, a="ok", b="ok"), ended(2, Exit.CRASH, a="ok")]
        self.assertEqual(failures(found), {"b": [2]})

    def test_it_can_be_kept(self) -> None:
        one = ended(3, Exit.HANG, a="ok")
        self.assertEqual(Ended.of(json.loads(json.dumps(one.kept()))), one)


class FakeSoak(Soak):
    """Guests that print what the test says, and no kernel."""

    def __init__(self, folder: Path, smp: bool, says: Dict[int, List[str]]) -> None:
        self.folder = folder
        self.stop = threading.Event()
        self.says = says
        self.started: List[Boot] = []
        self.image = folder / "image"
        self.kernel: Any = SimpleNamespace(has=lambda _: smp, setup=Setup(), wrapper=())

    def _boot(self, one: Boot, place: Path) -> Tuple[Verdict, str]:
        self.started.append(one)
        log = self.says.get(one.number, [GOOD])
        text = log.pop(0) if len(log) > 1 else log[0]
        code = Exit.OK if text == GOOD else Exit.CASE_FAILED if text == BAD else Exit.CRASH
        return Verdict(code, "" if text in (GOOD, BAD) else "Oops", {}), text


class SoakTest(fixture.Case):
    def setUp(self) -> None:
        super().setUp()
        self.says: Dict[int, List[str]] = {}
        self.replace(mock.patch.object(boots, "HOME", self.root / "soak"),
                     mock.patch("guest.kvm.accelerator", lambda _: "tcg"),
                     mock.patch("base.jobs.say"), mock.patch("base.progress.say"))

    def soak(self, smp: bool = True) -> FakeSoak:
        return FakeSoak(self.root, smp, self.says)

    def test_machines_alternate(self) -> None:
        made = self.soak()
        machines = {(one.cpus, one.memory) for one in map(made.boot, range(1, 10))}
        self.assertEqual(len(machines), 9)
        self.assertEqual({self.soak(False).boot(number).cpus for number in range(9)}, {1})

    def test_the_number_is_the_seed(self) -> None:
        kernel: Any = SimpleNamespace(has=lambda _: True, setup=Setup(), guest={
            "qemu_arch": "x", "kernel_command_line": "console=x", "serial": "stdio",
            "extra_qemu_params": []})
        words = command(kernel, Path("image"), Boot(17, 4, 512, ""))
        line = words[words.index("-append") + 1].split()
        self.assertIn("kunit.shuffle=17", line)
        self.assertIn("kunit.load=1", line)
        self.assertEqual((words[words.index("-smp") + 1], words[words.index("-m") + 1]),
                         ("4", "512"))

    def test_flakes_are_told_and_their_consoles_kept(self) -> None:
        self.says[2] = [BAD]
        told: List[Ended] = []
        found = self.soak().run(4, told.append)
        self.assertEqual([one.number for one in told], [2])
        self.assertEqual(found[2].failed, ["scan.ends"])
        self.assertEqual(Path(found[2].console).read_text(), BAD)
        self.assertEqual([number for number in found if found[number].code is Exit.OK], [1, 3, 4])

    def test_more_boots_go_on_from_there(self) -> None:
        self.soak().run(3, lambda _: None)
        made = self.soak()
        self.assertEqual(len(made.run(5, lambda _: None)), 5)
        self.assertEqual(sorted(one.number for one in made.started), [4, 5])

    def test_a_replay_boots_whatever_is_known(self) -> None:
        made = self.soak()
        made.run(2, lambda _: None)
        self.assertEqual(made.replay(2).number, 2)
        self.assertEqual(len(made.started), 3)

    def test_what_ends_before_the_first_case_is_tried_again(self) -> None:
        self.says[1] = ["Linux version 7.3\nOops: 0\n", GOOD]
        found = self.soak().run(1, lambda _: None)[1]
        self.assertEqual((found.code, found.retried), (Exit.OK, ("Oops",)))
        self.says[2] = ["Linux version 7.3\nOops: 0\n"]
        self.assertEqual(self.soak().run(2, lambda _: None)[2].code, Exit.CRASH)

    def test_user_mode_linux_is_refused(self) -> None:
        with self.assertRaises(Fail) as caught:
            Soak(self.source(), Setup(arch="um"), self.root)
        self.assertEqual(caught.exception.code, Exit.BAD_INPUT)


class GuestTest(fixture.Case):
    """A shell for QEMU, and one for kunit.py."""

    def setUp(self) -> None:
        super().setUp()
        self.made = FakeSoak(self.root, False, {})
        self.made.kernel.tree = self.root / "linux"
        fixture.lay(self.root / "linux", {KUNIT_PY: (
            "import json, sys\nverb, to, _ = sys.argv[1:]\nassert verb == 'parse'\n"
            "json.dump({'misc': {'passed': 2, 'failed': 0, 'crashed': 0, 'skipped': 0, "
            "'errors': 0}}, open(to.removeprefix('--json='), 'w'))\n")})

    def boot(self, script: str) -> Tuple[Verdict, str]:
        with mock.patch.object(boots, "command", lambda *_: ["sh", "-c", script]):
            return Soak._boot(self.made, Boot(1, 1, 512, ""), self.root)

    def test_the_console_is_judged_as_everywhere(self) -> None:
        verdict, log = self.boot(f"printf '%s' \"{GOOD}\"")
        self.assertEqual((verdict.code, log), (Exit.OK, GOOD))

    def test_a_guest_that_somebody_kills_says_nothing_of_the_kernel(self) -> None:
        with self.assertRaisesRegex(Fail, signal.SIGKILL.name) as caught:
            self.boot("kill -KILL $$")
        self.assertEqual(caught.exception.code, Exit.MISSING)

    def test_one_that_does_not_end_hangs(self) -> None:
        with mock.patch.object(boots, "PATIENCE", 0.2):
            self.assertEqual(self.boot("echo Linux version; exec sleep 60")[0].code, Exit.HANG)
