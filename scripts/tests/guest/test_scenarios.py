# SPDX-License-Identifier: GPL-2.0
from __future__ import annotations

from typing import Any, Dict, List, Tuple
from unittest import mock

from guest import scenarios
from guest.scenarios import OTHER_PATH, PATH, SCENARIOS, SOME
from tests import fixture


class FakeMachine:
    """A QEMU whose guest does what is requested, or nothing; it speaks in place of Qmp."""

    def __init__(self, obeys: bool, **sizes: int) -> None:
        self.obeys = obeys
        self.sizes = {PATH: sizes.get("first", 0), OTHER_PATH: sizes.get("second", 0)}
        self.said: List[Tuple[str, Dict[str, Any]]] = []

    def get(self, path: str, name: str) -> int:
        return self.sizes[path]

    def set(self, path: str, name: str, value: int) -> None:
        if self.obeys:
            self.sizes[path] = value

    def execute(self, command: str, **arguments: object) -> None:
        self.said.append((command, arguments))
        if command == "system_reset" and self.obeys:
            self.sizes = dict.fromkeys(self.sizes, 0)


class TrialTest(fixture.Case):
    def attempt(self, name: str, machine: FakeMachine) -> List[str]:
        found = next(scenario for scenario in SCENARIOS if scenario.name == name)
        trial = found.before or found.while_plugged
        assert trial
        with mock.patch.object(scenarios, "PATIENCE", 0.0):
            return trial(machine)  # type: ignore[arg-type]

    def test_the_memory_of_another_node_has_to_come_and_go(self) -> None:
        self.assertEqual(self.attempt("nodes", FakeMachine(True, second=SOME)), [])
        self.assertIn("not plug", self.attempt("nodes", FakeMachine(True))[0])
        self.assertIn("not unplug", self.attempt("nodes", FakeMachine(False, second=SOME))[0])

    def test_a_reset_has_to_unplug_all(self) -> None:
        machine = FakeMachine(True, first=SOME)
        self.assertEqual(self.attempt("reset", machine), [])
        # Or else QEMU would end then, or not end later.
        self.assertEqual(machine.said, [("set-action", {"reboot": "reset"}), ("system_reset", {}),
                                        ("set-action", {"reboot": "shutdown"})])
        self.assertIn("stayed plugged", self.attempt("reset", FakeMachine(False, first=SOME))[0])
