# SPDX-License-Identifier: GPL-2.0
from __future__ import annotations

import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Dict, List, Tuple
from unittest import mock

from base.outcome import Exit, Fail
from base.project import CONFIG
from guest import kvm
from guest.setup import Setup
from history import campaign as campaigns
from history.bugs import Bug
from history.campaign import Campaign, Ground
from history.result import MISSED, NO_BUILD, NO_PATCH, Result
from mutants.guests import Run
from mutants.kernel import DoesNotBuild
from series.worktree import prepare
from tests import fixture
from tests.history.some import bug

ORDER = ["scan.stops", "scan.ends"]


class FakeGround(Ground):
    """A kernel that is its sources; what a boot comes to depends on a line of them."""

    def __init__(self, _tree: object, setup: Setup, _stop: threading.Event) -> None:
        self.config = setup.config
        self.booted: List[str] = []
        self.plain = Run((), dict.fromkeys(ORDER, "ok"), ended=True)
        self.lock = threading.Lock()
        self.kernel: Any = SimpleNamespace(image=Path("plain"), setup=setup)
        self.workshop: Any = SimpleNamespace(base="base", image=self._image)
        self.guests: Any = SimpleNamespace(order=[], boot=self._boot, expect=self._expect)

    def _image(self, sources: Dict[str, str]) -> Tuple[Path, float]:
        if "unbuildable" in sources["mm/code.c"]:
            raise DoesNotBuild("error: expected ;")
        return Path(sources["mm/code.c"].split("\n", 1)[0]), 1.0

    def _expect(self, runs: List[Run]) -> None:
        self.guests.order = list(runs[0].cases)

    def _boot(self, image: Path, _number: int) -> Run:
        self.booted.append(image.name)
        if image.name == "plain":
            return self.plain
        run = Run(ORDER, dict.fromkeys(ORDER, "ok"), ended=True)
        if image.name == "case":
            run.cases[ORDER[1]] = "not ok"
            run.blame("case", "", ORDER[1])
        elif image.name == "crash":
            del run.cases[ORDER[1]]
            run.blame("crash", "Oops: 0")
        elif image.name == "silent":
            del run.cases[ORDER[1]]
        return run


class CampaignTest(fixture.Case):
    def setUp(self) -> None:
        super().setUp()
        self.replace(mock.patch.object(campaigns, "FOLDER", self.root / "history"),
                     mock.patch.object(campaigns, "Ground", FakeGround),
                     mock.patch.object(campaigns, "prepare",
                                       lambda source: prepare(source, self.repo)),
                     mock.patch.object(kvm, "accelerator", lambda _: kvm.EMULATED),
                     mock.patch("base.jobs.say"), mock.patch("base.progress.say"))

    def bug(self, name: str, first: str, more: str = "") -> Bug:
        """One that makes the first line of mm/code.c another."""
        return bug(self.root, name, fixture.CODE.replace("line 1\n", f"{first}\n", 1), more)

    def campaign(self) -> Campaign:
        return Campaign(self.source(), Setup(jobs=1))

    def ground(self, made: Campaign, *options: str, config: str = CONFIG) -> FakeGround:
        ground = made.grounds[Setup(config=config, kconfig_add=options, jobs=1)]
        assert isinstance(ground, FakeGround)
        return ground

    def outcomes(self, *bugs: Bug) -> List[Tuple[str, str]]:
        return [(result.outcome, result.first) for result in self.campaign().run(bugs)]

    def test_outcomes(self) -> None:
        self.assertEqual(self.outcomes(
            self.bug("a", "case"), self.bug("b", "harmless"), self.bug("c", "crash"),
            self.bug("d", "silent"), self.bug("e", "unbuildable")), [
                ("case", ORDER[1]), (MISSED, ""), ("crash", ORDER[1]), ("case", ORDER[1]),
                (NO_BUILD, "")])

    def test_it_is_put_into_the_tree_with_the_series(self) -> None:
        sources = self.campaign().sources(self.bug("a", "case"))
        self.assertEqual(sources, {"mm/code.c": fixture.CODE.replace("line 1\n", "case\n", 1).
                                   replace("line 20\n", "line twenty\n")})

    def test_a_patch_that_does_not_apply_is_a_result(self) -> None:
        gone = bug(self.root, "gone", "case\n" + fixture.CODE.replace("line 3\n", "line three\n"),
                   before=fixture.CODE.replace("line 3\n", "line III\n"))
        told: List[Result] = []
        results = self.campaign().run([gone, self.bug("a", "case")], told.append)
        self.assertEqual([result.outcome for result in results], [NO_PATCH, "case"])
        self.assertIn("mm/code.c", results[0].reason)
        self.assertEqual(told, results)

    def test_only_c_files_can_have_a_bug(self) -> None:
        made = self.bug("a", "case")
        made.patch.write_text(fixture.mail("Kbuild", "", "obj-y += a.o\n"))
        with self.assertRaisesRegex(Fail, "a.patch changes Kbuild") as caught:
            self.campaign().sources(made)
        self.assertEqual(caught.exception.code, Exit.BAD_INPUT)

    def test_a_rerun_tries_what_is_left(self) -> None:
        some = [self.bug("a", "case"), self.bug("b", "harmless")]
        self.outcomes(some[0])
        made = self.campaign()
        made.run(some)
        self.assertEqual(self.ground(made).booted, ["plain", "harmless"])
        made = self.campaign()
        self.assertEqual([result.outcome for result in made.run(some)], ["case", MISSED])
        self.assertEqual(self.ground(made).booted, [])

    def test_another_bug_of_that_name_is_tried(self) -> None:
        self.outcomes(self.bug("a", "case"))
        self.assertEqual(self.outcomes(self.bug("a", "harmless")), [(MISSED, "")])

    def test_a_configuration_has_a_kernel_of_its_own(self) -> None:
        made = self.campaign()
        made.run([self.bug("a", "case"), self.bug("b", "case", "Config: debug\n"),
                  self.bug("c", "case", "Kconfig: CONFIG_A=y\n")])
        self.assertEqual([ground.booted for ground in (
            self.ground(made), self.ground(made, config="debug"),
            self.ground(made, "CONFIG_A=y"))], [["plain", "case"]] * 3)

    def test_nothing_is_caught_by_a_case_that_fails_anyhow(self) -> None:
        def fail(ground: FakeGround, *more: Any) -> None:
            usual(ground, *more)
            ground.plain.blame("case", "", ORDER[0])
        usual = FakeGround.__init__
        with mock.patch.object(FakeGround, "__init__", fail), \
                self.assertRaisesRegex(Fail, ORDER[0]) as caught:
            self.campaign().run([self.bug("a", "case", "Kconfig: CONFIG_A=y\n")])
        self.assertEqual(caught.exception.code, Exit.CASE_FAILED)
        self.assertIn("--config=trimmed --kconfig_add=CONFIG_A=y", caught.exception.remedy)

    def test_a_check_wants_all_patches_to_apply(self) -> None:
        known = [self.bug("a", "case"), self.bug("b", "harmless", "Missed: it does no harm\n")]
        with mock.patch.object(campaigns, "bugs", lambda: known):
            self.assertEqual(campaigns.check(self.source(), Setup(jobs=1)), [])
            known.append(bug(self.root, "gone", "none\n", before="some\n"))
            with self.assertRaisesRegex(Fail, "gone.patch does not apply"):
                campaigns.check(self.source(), Setup(jobs=1))
