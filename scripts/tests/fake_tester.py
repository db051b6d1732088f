# SPDX-License-Identifier: GPL-2.0
"""Tests commits without a compiler and without QEMU: a file of the tree says what comes of it."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Dict, Tuple

import fixture  # noqa: F401  # first: it sets the path

import kernel as kernels
import kunit
from trial import Tester
from verdict import Exit, Fail

# mm/other.c: what comes of building and booting it.
SAYS = "mm/other.c"
CODES = {"fail": Exit.CASE_FAILED, "crash": Exit.CRASH, "hang": Exit.HANG}
LOG = ("    # case_a: EXPECTATION FAILED at mm/tests/x.c:7\n    Expected 1 == 2\n"
       "    not ok 1 case_a\n")


class FakeTester(Tester):
    """Its kernel is the tree itself."""

    built = 0
    booted = 0
    accidents = 1
    chance = random.Random(1)

    def _build(self, tree: str, folder: Path) -> kernels.Kernel:
        FakeTester.built += 1
        self.commits.check_out(tree)
        text = (self.commits.tree / SAYS).read_text()
        if "unbuildable" in text:
            raise Fail(Exit.BUILD, "the kernel does not build:\nx.c:1: error: bad", "mend it")
        if "vanished" in text:
            raise Fail(Exit.MISSING, "QEMU was killed", "run the same command again")
        if "interrupted" in text:
            raise KeyboardInterrupt
        return kernels.Kernel(self.commits.tree, self.commits.tree, self.options, {})

    def _boot(self, kernel: kernels.Kernel,
              folder: Path) -> Tuple[kunit.Verdict, Dict[str, str]]:
        FakeTester.booted += 1
        text = (kernel.tree / SAYS).read_text()
        word = next((word for word in CODES if word in text), "")
        if "flaky" in text and self.chance.random() > 0.3:
            word = ""
        if "accident" in text and FakeTester.accidents:
            FakeTester.accidents -= 1
            word = "crash"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "test.log").write_text(LOG if word else "")
        cases = {"s.case_a": "FAIL" if word else "PASS", "s.case_b": "PASS"}
        return kunit.Verdict(CODES.get(word, Exit.OK), "", {"passed": 2 - bool(word),
                                                            "failed": int(bool(word))}), cases
