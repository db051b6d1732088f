# SPDX-License-Identifier: GPL-2.0
"""The page that goes through the VIRTIO specification names cases and functions that exist."""

from __future__ import annotations

import re
import unittest
from typing import List

from base.files import REPO
from check.cases import in_repository

PAGE = REPO / "Documentation/driver-api/virtio/virtio_mem_conformance.rst"
TESTS = REPO / "drivers/virtio/tests"
CASE = re.compile(r"``(\w+\.(?!c\b|h\b)\w+)``")
FUNCTION = re.compile(r"``(\w+)\(\)``")


def rows(text: str) -> List[List[str]]:
    """The rows of all tables but their headers, each a list of cells in one line."""
    found: List[List[str]] = []
    for line in text.splitlines():
        if line.startswith("   * - "):
            found.append([line[7:]])
        elif line.startswith("     - "):
            found[-1].append(line[7:])
        elif line.startswith("       "):
            found[-1][-1] += " " + line.strip()
    return [row for row in found if row[1] != "Implemented in"]


class Page(unittest.TestCase):
    def setUp(self) -> None:
        self.text = PAGE.read_text()
        self.cases = {f"{suite.name}.{case.name}" for suite in in_repository(REPO)
                      for case in suite.cases}

    def test_names_only_cases_that_exist(self) -> None:
        self.assertLess(20, len(rows(self.text)))
        self.assertEqual(set(CASE.findall(self.text)) - self.cases, set())

    def test_has_a_case_or_a_reason_for_each_statement(self) -> None:
        for row in rows(self.text):
            with self.subTest(row[0]):
                self.assertEqual(len(row), 3)
                self.assertTrue(CASE.search(row[2]) or row[2].startswith("not tested: "), row[2])

    def test_has_each_case_of_the_device(self) -> None:
        of_the_device = {case for case in self.cases if case.startswith("virtio_mem_device.")}
        self.assertEqual(of_the_device - set(CASE.findall(self.text)), set())

    def test_names_only_functions_of_the_device_that_exist(self) -> None:
        code = "".join(path.read_text() for path in sorted(TESTS.glob("*.c")))
        # Those of the driver are in the kernel, and their names tell them apart.
        of_the_driver = re.compile(r"virtio_mem_(?!device_)")
        for name in FUNCTION.findall(self.text):
            with self.subTest(name):
                self.assertTrue(of_the_driver.match(name)
                                or re.search(rf"^[\w ]*[ *]{name}\(", code, re.MULTILINE))


if __name__ == "__main__":
    unittest.main()
