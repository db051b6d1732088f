# SPDX-License-Identifier: GPL-2.0
from __future__ import annotations

import json
import os
import xml.etree.ElementTree as xml
from pathlib import Path
from typing import Any, Sequence
from unittest import mock

from base.outcome import Exit, Fail
from base.project import KERNEL
from guest import job
from guest.boot import boot, forget, keep, patience_with, valid_xml
from guest.build import Kernel
from guest.setup import Setup
from guest.verdict import Verdict
from series.worktree import Source
from tests import fixture

LOG = "Linux version 7.3.4\nKTAP version 1\n"
END = "reboot: Restarting system\n"
EARLY = "Linux version 7.3.4\nOops: int3: 0000 [#1]\n"
PASSED = {"misc": {"passed": 1, "failed": 0, "crashed": 0, "skipped": 0, "errors": 0}}
# A kunit.py that leaves what a boot would have left: of one boot after the other.
KUNIT = """
import json, os, sys, time
out = {out!r}
boots = json.load(open(out + "/boots"))
if not boots:
    sys.exit("kunit.py: error: unrecognized arguments: --nonsense")
log, results, said, pidfile = boots.pop(0)
json.dump(boots, open(out + "/boots", "w"))
open(out + "/test.log", "w").write(log)
json.dump(results, open(out + "/results.json", "w"))
if pidfile:
    open(out + "/qemu.pid", "w").write(pidfile)
print(said)
"""


class BootTest(fixture.Case):
    """Boots with a kunit.py that writes what a boot would have left."""

    def setUp(self) -> None:
        super().setUp()
        self.out = self.root / "out"
        fixture.lay(self.root, {"bin/qemu-system-x": "", "out/.offline-skippable/stamp": "",
                                "out/.config": "CONFIG_SMP=y\n"})
        (self.root / "bin/qemu-system-x").chmod(0o755)
        fixture.lay(self.kernel, {"tools/testing/kunit/kunit.py":
                                  KUNIT.format(out=str(self.out))})
        self.replace(
            mock.patch.dict(os.environ, {"PATH": f"{self.root}/bin:{os.environ['PATH']}"}),
            mock.patch("guest.kvm.environment", return_value=dict(os.environ)))

    @property
    def built(self) -> Kernel:
        return Kernel(self.kernel, self.out, self.setup(), {"qemu_arch": "x"})

    def boots(self, *logs: str, said: str = "", pidfile: str = "", results: Any = None,
              **more: Any) -> Verdict:
        """Boot; what the boots leave, in turn."""
        (self.out / "boots").write_text(json.dumps(
            [[log, results or PASSED, said, pidfile] for log in logs]))
        return boot(self.built, **more)

    def trouble(self, *logs: str, code: Exit = Exit.MISSING, **more: Any) -> Fail:
        with self.assertRaises(Fail) as caught:
            self.boots(*logs, **more)
        self.assertEqual(caught.exception.code, code)
        return caught.exception

    def test_a_kernel_that_kunit_py_stops_hung(self) -> None:
        self.assertEqual(self.boots(
            LOG + "    # half a liqemu-system-x: terminating on signal 15 from pid 7 (python3)\n",
            said="Command '['qemu-system-x']' timed out after 0 seconds", patience=0).code,
            Exit.HANG)

    def test_a_processor_of_another_kind_may_take_longer(self) -> None:
        usual, other = (patience_with(Setup(arch)) for arch in ("x86_64", "arm64"))
        self.assertGreater(other, usual)

    def test_a_qemu_that_others_stop_is_no_verdict(self) -> None:
        self.assertIn("killed", self.trouble(
            LOG + "qemu-system-x: terminating on signal 15 from pid 1 (init)\n").what)

    def test_a_qemu_that_had_no_time_for_its_pidfile_is_no_verdict(self) -> None:
        self.assertIn("killed", self.trouble(LOG, pidfile="999999999").what)
        self.assertFalse((self.out / "qemu.pid").exists())
        self.assertEqual(self.boots(LOG).code, Exit.CRASH)

    def test_a_process_that_is_not_qemu_is_left_alone(self) -> None:
        self.trouble(LOG, pidfile=str(os.getpid()))

    def test_a_qemu_that_vanished_is_named(self) -> None:
        Path(self.root / "bin/qemu-system-x").unlink()
        self.assertIn("qemu-system-x", self.trouble(LOG).what)

    def test_a_full_disk_is_no_verdict(self) -> None:
        with mock.patch("guest.boot.is_full", return_value=True):
            self.assertIn("no space", self.trouble(LOG).what)

    def test_arguments_that_kunit_py_does_not_take_are_told(self) -> None:
        self.assertIn("--nonsense", self.trouble(code=Exit.BAD_INPUT).what)

    def test_what_ends_before_the_first_case_is_tried_again_and_told(self) -> None:
        verdict = self.boots(EARLY, LOG + END)
        self.assertEqual((verdict.code, verdict.retried),
                         (Exit.OK, ("Oops: int3: 0000 [#1]",)))

    def test_a_kernel_that_always_ends_before_the_first_case_crashes(self) -> None:
        verdict = self.boots(EARLY, EARLY, EARLY, LOG + END)
        self.assertEqual((verdict.code, verdict.retried), (Exit.CRASH, ()))

    def test_a_crash_among_the_cases_counts_at_once(self) -> None:
        self.assertEqual(self.boots(LOG + "Oops: int3\n", LOG + END).code, Exit.CRASH)

    def judge(self, says: str) -> Path:
        """Another kunit.py, which is to read the results."""
        fixture.lay(self.root, {"judge.py": f"import json, sys\n{says}\n"})
        return self.root / "judge.py"

    def test_the_results_may_be_read_by_a_kunit_py_that_is_not_the_trees(self) -> None:
        failed = {"misc": {**PASSED["misc"], "failed": 1}}
        tool = self.judge(f"open(sys.argv[2][7:], 'w').write(json.dumps({failed}))")
        self.assertEqual(self.boots(LOG + END, judge_by=tool).code, Exit.CASE_FAILED)
        tool = self.judge(f"open(sys.argv[2][7:], 'w').write(json.dumps({PASSED}))")
        self.assertEqual(self.boots(LOG + END, results=failed, judge_by=tool).code, Exit.OK)

    def test_results_that_cannot_be_read_are_no_verdict(self) -> None:
        tool = self.judge("sys.exit('no such parser')")
        self.assertIn("no such parser",
                      self.trouble(LOG + END, code=Exit.BAD_INPUT, judge_by=tool).what)

    def test_after_a_reset_the_kernel_that_starts_then_counts(self) -> None:
        log = LOG + "    ok 1 one\n" + LOG + END
        kunit = self.kernel / "tools/testing/kunit/kunit.py"
        kunit.write_text("import sys\nif sys.argv[1] == 'parse':\n"
                         f"    open(sys.argv[2][7:], 'w').write({json.dumps(PASSED)!r})\n"
                         f"    sys.exit()\n{kunit.read_text()}\nsys.exit(1)\n")
        failed = {"misc": {**PASSED["misc"], "errors": 1}}
        self.assertEqual(self.boots(log, results=failed).code, Exit.CASE_FAILED)
        self.assertEqual(self.boots(log, results=failed, is_reset=True).code, Exit.OK)
        self.assertEqual((self.out / "test.log").read_text(), LOG + END)
        for early in ("Oops: int3: 0000 [#1]\n", "WARNING: CPU: 0\n", "Kernel panic: why\n",
                      "    # Subtest: one\n    not ok 1 a\n"):
            self.assertNotEqual(self.boots(LOG + early + LOG + END, is_reset=True).code, Exit.OK)
        self.assertEqual(self.boots(f"{LOG}Kernel panic: why\n{LOG}{END}", is_reset=True,
                                    last_words="Kernel panic: why").code, Exit.OK)

    def test_a_link_in_place_of_the_console_is_not_followed(self) -> None:
        fixture.lay(self.root, {"secret": LOG + END})
        (self.kernel / "tools/testing/kunit/kunit.py").write_text(
            f"import os\nos.symlink({str(self.root / 'secret')!r}, {str(self.out)!r} "
            "+ '/test.log')\n")
        self.trouble(LOG, code=Exit.BAD_INPUT)
        keep(self.built, self.root / "results")
        self.assertFalse((self.root / "results/test.log").exists())

    def test_what_a_kernel_may_print_is_valid_xml_in_the_results(self) -> None:
        broken = b'<?xml version="1.0"?>\n<a name="x\x01&#27;y">\xff</a>'
        self.assertEqual(xml.fromstring(valid_xml(broken)).get("name"), "x??y")
        self.assertEqual(valid_xml(b"<a/>"), b"<a/>")

    def test_results_are_kept_with_the_verdict_and_forgotten_with_the_next(self) -> None:
        self.boots(LOG + END)
        folder = self.root / "results"
        keep(self.built, folder)
        self.assertEqual((folder / "test.log").read_text(), LOG + END)
        self.assertTrue((folder / "results.ktap").exists())
        forget(folder)
        self.assertEqual(os.listdir(folder), [])


class RecordTest(fixture.Case):
    """However a run ends, verdict.json says so, and nothing of an earlier run is beside it."""

    def setUp(self) -> None:
        super().setUp()
        self.folder = self.root / "results"
        for name in ("test.log", "results.json", "results.junit.xml", "verdict.json"):
            fixture.lay(self.folder, {name: "of an earlier run"})

    def recorded(self, error: BaseException) -> Sequence[str]:
        def work() -> Verdict:
            raise error
        with self.assertRaises(type(error)):
            job.recorded(self.folder, work)
        self.assertEqual(os.listdir(self.folder), ["verdict.json"])
        held = json.loads((self.folder / "verdict.json").read_text())
        return held["verdict"], held["code"]

    def test_another_kernel_leaves_the_results_of_the_usual_one(self) -> None:
        for source, name in ((Source(KERNEL), "plain-arm64"), (Source("6.12"), "plain-arm64-v6.12"),
                             (Source("6.12", self.root), "plain-arm64")):
            with self.subTest(source=source):
                self.assertEqual(job.results_folder("plain", "arm64", source).name, name)

    def test_what_went_wrong_is_kept(self) -> None:
        for error, expected in ((Fail(Exit.BUILD, "x", "y"), ("build", 4)),
                                (KeyboardInterrupt(), ("interrupted", 130)),
                                (ValueError("oops"), ("internal", 70)),
                                (OSError(28, "No space"), ("missing", 6))):
            with self.subTest(error=error):
                self.assertEqual(self.recorded(error), expected)
                fixture.lay(self.folder, {"test.log": "of an earlier run"})
