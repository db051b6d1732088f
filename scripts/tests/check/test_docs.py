# SPDX-License-Identifier: GPL-2.0
from __future__ import annotations

from base.files import write
from check import docs
from tests import fixture

# A checker that has a word for each line with TODO.
TOOL = """import sys
for path in sys.argv[3:]:
    for number, line in enumerate(open(path), 1):
        if "TODO" in line:
            print(f"Warning: {path}:{number} {line.strip()}")
            print(" * in two lines")
"""
SAID = """/x/Documentation/mm/old.rst:5: WARNING: undefined label: 'elsewhere'
/x/Documentation/mm/old.rst:7: WARNING: Title underline too short.
/x/Documentation/mm/new.rst:2: WARNING: undefined label: 'nowhere'
/x/Documentation/mm/other.rst:2: WARNING: undefined label: 'nowhere'
"""


class DocsTest(fixture.Case):
    def test_what_is_new_counts_wherever_it_moved(self) -> None:
        tree, pristine = self.root / "tree", self.root / "pristine"
        write(tree / docs.KERNEL_DOC, TOOL.encode())
        write(pristine / "a.h", b"TODO a\n")
        write(tree / "a.h", b"new\nTODO a\nTODO b\n")
        write(tree / "b.c", b"TODO c\n")
        found = docs.kernel_doc(tree, pristine, ["a.h", "b.c", "Makefile"])
        self.assertEqual(found, ["Warning: a.h:3 TODO b in two lines",
                                 "Warning: b.c:1 TODO c in two lines"])

    def test_what_is_elsewhere_is_no_fault_of_a_page_that_was_there(self) -> None:
        found = docs.told(SAID, {"Documentation/mm/new.rst"}, {"Documentation/mm/old.rst"})
        self.assertEqual([line.split(": ")[0] for line in found],
                         ["/x/Documentation/mm/old.rst:7", "/x/Documentation/mm/new.rst:2"])
