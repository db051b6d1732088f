# SPDX-License-Identifier: GPL-2.0
"""The README's table of properties names every case of the suites, and no other."""

from __future__ import annotations

import re
import unittest
from typing import Set

import fixture  # first: it sets the path
from host import REPO

SUITES = ("mm/tests", "drivers/virtio/tests")


def cases_in_sources() -> Set[str]:
    found: Set[str] = set()
    for folder in SUITES:
        for source in (REPO / folder).glob("*_kunit.c"):
            found.update(re.findall(r"KUNIT_CASE\w*\(\s*(\w+)", source.read_text()))
    return found


def cases_in_readme() -> Set[str]:
    rows = re.findall(r"^\|.*\| `(\w+)` \|$", (REPO / "README.md").read_text(), re.MULTILINE)
    return set(rows)


class PropertyTable(unittest.TestCase):
    def test_names_every_case(self) -> None:
        self.assertEqual(cases_in_readme(), cases_in_sources())


if __name__ == "__main__":
    unittest.main()
