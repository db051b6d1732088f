# SPDX-License-Identifier: GPL-2.0
from __future__ import annotations

from typing import List, Tuple

from guest import parts
from tests import fixture


class PartsTest(fixture.Case):
    def test_reads_what_a_guest_says(self) -> None:
        self.assertEqual(parts.parse(" 0x0-0x200000 0x400000-0x600000"),
                         [(0, 0x200000), (0x400000, 0x600000)])
        self.assertEqual(parts.parse(" 0-0x200000"), [(0, 0x200000)])  # as %#llx has it
        self.assertEqual(parts.parse(""), [])

    def test_finds_the_parts_of_a_file_that_exist(self) -> None:
        path = self.root / "file"
        with open(path, "wb") as file:
            file.truncate(2**20)
            for offset in (65536, 131072, 2**20 - 65536):
                file.seek(offset)
                file.write(bytes(65536))
        found = parts.existing(path)
        self.assertEqual(found, [(65536, 196608), (2**20 - 65536, 2**20)])
        self.assertEqual(parts.size(found), 3 * 65536)

    def test_a_file_may_be_all_hole(self) -> None:
        path = self.root / "file"
        with open(path, "wb") as file:
            file.truncate(2**20)
        self.assertEqual(parts.existing(path), [])

    def test_tells_what_is_outside(self) -> None:
        examples: List[Tuple[List[parts.Part], List[parts.Part], List[parts.Part]]] = [
            ([(2, 4)], [(0, 8)], []),
            ([(2, 4)], [], [(2, 4)]),
            ([(2, 6)], [(4, 8)], [(2, 4)]),
            ([(2, 6)], [(0, 3)], [(3, 6)]),
            ([(0, 9)], [(1, 2), (4, 5)], [(0, 1), (2, 4), (5, 9)]),
            ([(0, 1), (8, 9)], [(0, 1), (8, 9)], []),
            ([(4, 5)], [(0, 4), (5, 9)], [(4, 5)])]
        for some, allowed, expected in examples:
            with self.subTest(some=some, allowed=allowed):
                self.assertEqual(parts.outside(some, allowed), expected)

    def test_tells_parts_in_words(self) -> None:
        self.assertEqual(parts.told([(0, 16), (32, 48)]), "0x0-0x10, 0x20-0x30")
