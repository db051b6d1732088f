# SPDX-License-Identifier: GPL-2.0
"""What the README says is so."""

from __future__ import annotations

import re
import shlex
import unittest

import main
from base.files import REPO
from base.outcome import Exit
from base.project import LEAST_PYTHON

README = (REPO / "README.md").read_text()
TEXTS = [README, *(path.read_text() for path in sorted((REPO / "Documentation").rglob("*.rst")))]


class ReadmeTest(unittest.TestCase):
    def test_its_commands_are_understood(self) -> None:
        found = [command for text in TEXTS
                 for command in re.findall(r"^ {4}\./suite (.*?)(?: +#.*)?$", text, re.MULTILINE)]
        self.assertGreater(len(found), 6)
        for command in found:
            with self.subTest(command):
                verb, *options = shlex.split(command)
                main.parser_of(verb).parse_args(options)

    def test_its_verbs_exist(self) -> None:
        for text in TEXTS:
            for verb in re.findall(r"\./suite ([a-z-]+)", text):
                self.assertIn(verb, {*main.VERBS, "help"})

    def test_its_verdicts_are_those_of_the_program(self) -> None:
        rows = re.findall(r"^\| ([a-z ]+) \| (\d+) \| (.*) \|$", README, re.MULTILINE)
        self.assertEqual(rows, [(code.word, str(int(code)), code.meaning) for code in Exit
                                if code is not Exit.INTERRUPTED])

    def test_a_newcomer_can_read_it_in_three_minutes(self) -> None:
        self.assertLessEqual(len(README.splitlines()), 110)
        self.assertIn(f"Python {'.'.join(map(str, LEAST_PYTHON))} or later", README)
