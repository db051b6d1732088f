# SPDX-License-Identifier: GPL-2.0
from __future__ import annotations

import contextlib
import io
import json
from types import SimpleNamespace
from typing import List
from unittest import mock

from base.outcome import Exit, Fail
from check import proof
from guest.build import Kernel
from guest.setup import Setup
from guest.verdict import Verdict
from series.mailing import Series, commit_all, sender
from tests import fixture



class ProofTest(fixture.Case):
    """Commits are real ones; nothing is built or booted."""

    def setUp(self) -> None:
        super().setUp()
        self.sign_patches()
        self.commit("base", {"mm/more.c": "more\n"})
        self.built: List[object] = [True, True]
        (self.root / "kunitconfig").write_text("CONFIG_ONE=y\n")
        self.replace(
            mock.patch.object(proof, "BUILD", self.root / "build"),
            mock.patch.object(proof, "_kunitconfig", return_value=self.root / "kunitconfig"),
            mock.patch("guest.build.describe", side_effect=lambda tree, setup: Kernel(
                tree, self.root / "out", Setup(), {})),
            mock.patch("guest.build.build", side_effect=lambda _: self._build()),
            mock.patch("guest.boot.boot", return_value=Verdict(
                Exit.OK, "", {"passed": 7, "failed": 0, "skipped": 1})))

    def _build(self) -> bool:
        found = self.built.pop(0)
        if isinstance(found, Fail):
            raise found
        return True

    def series(self) -> Series:
        return commit_all(self.source(), sender(self.kernel), self.repo)

    def prove(self) -> List[proof.Proof]:
        with contextlib.redirect_stdout(io.StringIO()):
            return proof.prove(self.series(), self.root / "results")

    def test_each_commit_is_told(self) -> None:
        found = self.prove()
        self.assertEqual([(each.subject, each.complaint, each.passed) for each in found],
                         [("change mm/code.c", "", 7), ("change lib/Kconfig.debug", "", 7)])
        kept = json.loads((self.root / "results/proof.json").read_text())
        self.assertEqual(kept, [vars(each) for each in found])

    def test_what_is_proven_is_not_proven_again_and_a_complaint_is(self) -> None:
        self.built[1] = Fail(Exit.BUILD, "the kernel does not build: x", "mend it")
        self.prove()
        self.built = [True]
        self.assertEqual([(each.complaint, each.passed) for each in self.prove()],
                         [("", 7), ("", 7)])
        self.assertEqual(self.built, [])
        (self.root / "kunitconfig").write_text("CONFIG_OTHER=y\n")
        self.built = [True, True]
        self.prove()
        self.assertEqual(self.built, [])

    def test_what_does_not_build_is_a_complaint_and_the_rest_goes_on(self) -> None:
        self.built[0] = Fail(Exit.BUILD, "the kernel does not build: x", "mend it")
        self.assertEqual([each.complaint for each in self.prove()],
                         ["the kernel does not build: x", ""])

    def test_trouble_of_the_machine_stops_it(self) -> None:
        self.built[1] = Fail(Exit.MISSING, "no space", "make some")
        with self.assertRaises(Fail):
            self.prove()

    def test_a_word_of_the_compiler_at_w1_is_a_complaint(self) -> None:
        fixture.lay(self.root / "out", {"mm/code.o": ""})
        with mock.patch.object(proof, "run", return_value=SimpleNamespace(
                stderr="mm/code.c:1: warning: x\n")), \
                mock.patch("guest.build.make_command", return_value=["true"]):
            first = self.prove()[0]
        self.assertEqual(first.complaint, "W=1 says mm/code.c:1: warning: x")
