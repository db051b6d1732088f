# SPDX-License-Identifier: GPL-2.0
"""Which part of the program may use which: nobody has to keep it in mind."""

from __future__ import annotations

import ast
import unittest
from pathlib import Path
from typing import Dict, Iterator, Set

import main

SCRIPTS = Path(main.__file__).parent
GUEST = {"base", "series", "guest"}
# What each folder may import, besides what is its own.
BELOW: Dict[str, Set[str]] = {"base": set(), "series": {"base"}, "guest": GUEST,
                              "commits": GUEST, "mutants": GUEST | {"commits"},
                              "measure": GUEST | {"mutants"}, "history": GUEST | {"mutants"},
                              "races": GUEST | {"history", "mutants"},
                              "matrix": GUEST | {"mutants"}}
VERBS = {verb.module for verb in main.VERBS.values()}


def modules() -> Iterator[Path]:
    for path in sorted(SCRIPTS.rglob("*.py")):
        if path.relative_to(SCRIPTS).parts[0] != "tests":
            yield path


def name_of(path: Path) -> str:
    return ".".join(path.relative_to(SCRIPTS).with_suffix("").parts)


def imported(path: Path) -> Set[str]:
    """The modules of ours that a module imports, wherever in it it does so."""
    names: Set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module)
            names.update(f"{node.module}.{alias.name}" for alias in node.names)
    return {name for name in names if (SCRIPTS / name.split(".")[0]).is_dir()
            or (SCRIPTS / f"{name}.py").is_file()}


class FloorsTest(unittest.TestCase):
    def test_nothing_imports_a_verb(self) -> None:
        for path in modules():
            with self.subTest(name_of(path)):
                self.assertEqual(imported(path) & VERBS, set())

    def test_imports_lead_down(self) -> None:
        for path in modules():
            folder = path.relative_to(SCRIPTS).parts[0]
            # A verb of a low floor may use the options that all verbs share.
            if folder not in BELOW or name_of(path) in VERBS:
                continue
            with self.subTest(name_of(path)):
                used = {name.split(".")[0] for name in imported(path)}
                self.assertLessEqual(used, BELOW[folder] | {folder})

    def test_every_verb_is_there(self) -> None:
        for name in VERBS:
            path = SCRIPTS / f"{name.replace('.', '/')}.py"
            if path.exists():
                with self.subTest(name):
                    text = path.read_text()
                    self.assertRegex(text, r"\n(def add_arguments\(\w+: argparse.ArgumentParser\)"
                                       r"|add_arguments = verb\.add_arguments\n)")
                    self.assertRegex(text, r"\ndef main\(\w+: argparse.Namespace\) -> Exit:")
