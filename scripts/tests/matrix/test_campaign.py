# SPDX-License-Identifier: GPL-2.0
from __future__ import annotations

from types import SimpleNamespace
from typing import Any, Dict, List
from unittest import mock

from base.outcome import Exit, Fail
from guest import kvm
from guest.verdict import Verdict
from matrix import campaign
from matrix.campaign import Matrix
from matrix.result import Result
from matrix.rows import Row
from series.worktree import Source, Tree, prepare
from tests import fixture

LOG = "KTAP version 1\n1..1\n    # Subtest: scan\n    ok 1 stops\nok 1 scan\nreboot: now\n"


class MatrixTest(fixture.Case):
    """Kernels that are no more than a .config."""

    def setUp(self) -> None:
        super().setUp()
        self.config: Dict[str, str] = {}  # by the options of a row
        self.built: List[Any] = []
        self.booted: List[Any] = []
        self.ends: Dict[str, Any] = {}  # by what kunit.py is told, how a boot ends
        self.replace(
            mock.patch.object(campaign, "HOME", self.root / "matrix"),
            mock.patch.object(campaign, "FOLDER", self.root / "results"),
            mock.patch.object(campaign, "prepare", lambda _: prepare(self.source(), self.repo)),
            mock.patch("guest.build.describe", self.describe),
            mock.patch("guest.build.build", self.build),
            mock.patch("guest.boot.boot", self.boot),
            mock.patch("guest.boot.keep", lambda kernel, folder: LOG),
            mock.patch.object(kvm, "accelerator", lambda _: kvm.EMULATED),
            mock.patch("base.jobs.say"), mock.patch("base.progress.say"))

    def describe(self, _tree: object, setup: Any) -> Any:
        return SimpleNamespace(out=self.root / "out" / str(len(setup.kconfig_add)),
                               options=setup.kconfig_add)

    def build(self, kernel: Any) -> bool:
        self.built.append(kernel.options)
        if "CONFIG_BROKEN=y" in kernel.options:
            raise Fail(Exit.BUILD, "error: expected ;", "mend it")
        fixture.lay(kernel.out, {".config": "\n".join(
            option for option in kernel.options if option != "CONFIG_GONE=y") + "\nCONFIG_IN=y\n"})
        return True

    def boot(self, _kernel: Any, *words: str, patience: int) -> Verdict:
        self.booted.append(words)
        end = self.ends.get(" ".join(words), Verdict(Exit.OK, "", {"passed": 1}))
        if isinstance(end, Exception):
            raise end
        assert isinstance(end, Verdict) and patience
        return end

    def run_rows(self, *rows: Row, again: bool = False) -> List[Result]:
        return Matrix().run(rows, again)

    def codes(self, *rows: Row) -> List[Exit]:
        return [found.code for found in self.run_rows(*rows)]

    def test_a_row_is_built_booted_and_judged(self) -> None:
        found, = self.run_rows(Row("a", "IN -OUT", cpus=2))
        self.assertEqual((found.code, found.counts), (Exit.OK, (1, 0, 0)))
        self.assertEqual(self.booted, [("--qemu_args=-smp 2",)])

    def test_a_row_that_lost_an_option_is_no_pass(self) -> None:
        gone, there = self.run_rows(Row("a", "GONE IN"), Row("b", "-IN"))
        self.assertEqual((gone.code, there.code), (Exit.BUILD, Exit.BUILD))
        self.assertIn("CONFIG_GONE=y", gone.reason)
        self.assertNotIn("CONFIG_IN", gone.reason)
        self.assertIn("# CONFIG_IN is not set", there.reason)
        self.assertEqual(self.booted, [])

    def test_rows_after_one_that_does_not_build_run(self) -> None:
        self.assertEqual(self.codes(Row("a", "BROKEN"), Row("b")), [Exit.BUILD, Exit.OK])

    def test_what_ran_is_not_run_again_unless_that_is_asked_for(self) -> None:
        rows = Row("a"), Row("b", memory=512)
        self.ends["--qemu_args=-m 512"] = Verdict(Exit.CASE_FAILED, "", {})
        self.assertEqual(self.codes(*rows), [Exit.OK, Exit.CASE_FAILED])
        self.assertEqual(self.codes(*rows), [Exit.OK, Exit.CASE_FAILED])
        self.assertEqual(len(self.booted), 2)
        self.run_rows(*rows, again=True)
        self.assertEqual(len(self.booted), 4)

    def test_a_row_that_was_changed_and_one_of_another_tree_are_run(self) -> None:
        self.run_rows(Row("a"))
        self.run_rows(Row("a", args="b"))
        self.assertEqual(len(self.booted), 2)
        fixture.lay(self.kernel, {"mm/other.c": "another\n"})
        self.run_rows(Row("a"))
        self.assertEqual(len(self.booted), 3)

    def test_what_the_machine_did_is_tried_again_the_next_time(self) -> None:
        self.ends["--qemu_args=-m 512"] = Fail(Exit.MISSING, "QEMU was killed", "buy memory")
        told: List[Result] = []
        rows = Row("a", memory=512), Row("b")
        results = Matrix().run(rows, tell=told.append)
        self.assertEqual([found.code for found in results], [Exit.MISSING, Exit.OK])
        self.assertEqual({found.row for found in told}, set(rows))
        self.ends.clear()
        self.assertEqual(self.codes(*rows), [Exit.OK, Exit.OK])
        self.assertEqual(len(self.booted), 3)

    def test_rows_of_a_kernel_that_cannot_be_had_spoil_no_others(self) -> None:
        def fetch(source: Source) -> Tree:
            if source.kernel == "6.12":
                raise Fail(Exit.MISSING, "no network", "connect to it")
            return prepare(self.source(), self.repo)
        with mock.patch.object(campaign, "prepare", fetch):
            self.assertEqual(self.codes(Row("a", kernel="6.12"), Row("b")),
                             [Exit.MISSING, Exit.OK])

    def test_results_of_other_rows_are_known(self) -> None:
        self.run_rows(Row("a"), Row("b", memory=512))
        made = Matrix()
        self.assertIsNone(made.known(Row("a")))  # nothing tells yet of which tree
        made.run([Row("b", memory=512)])
        known = made.known(Row("a"))
        assert known
        self.assertEqual(known.code, Exit.OK)
        self.assertIsNone(made.known(Row("c")))

    def test_a_row_may_lack_a_program_or_a_newer_qemu(self) -> None:
        need = SimpleNamespace(name="aarch64-linux-gnu-gcc", needed=True)
        row = Row("a", arch="arm64", since=(8, 0))
        with mock.patch.object(campaign, "missing", lambda _: [need]):
            self.assertEqual(campaign.lacking(row), ["aarch64-linux-gnu-gcc"])
        for version, lacked in (("7.2.22 (Debian 1:7.2)", ["qemu-system-aarch64 8.0"]),
                                ("8.0.0", []), ("10.1.2", [])):
            with mock.patch.object(campaign, "missing", lambda _: []), \
                    mock.patch.object(campaign, "_version",
                                      lambda _, said=version: f"QEMU emulator version {said}\n"):
                self.assertEqual(campaign.lacking(row), lacked)
                self.assertEqual(campaign.lacking(Row("b", arch="arm64")), [])
