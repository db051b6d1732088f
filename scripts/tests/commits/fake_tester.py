# SPDX-License-Identifier: GPL-2.0
"""Tests commits without a compiler and without QEMU: a file of the tree says what comes of it."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Dict

from base.outcome import Exit, Fail
from commits.repository import KUNIT, Commits
from commits.tester import Booted, Tester
from guest.build import Kernel
from guest.sandbox import Sandbox
from guest.setup import Setup
from guest.verdict import Verdict

# mm/other.c: what comes of building and booting it.
SAYS = "mm/other.c"
# What a kernel must have, for its commits to be tested.
TOOL = {f"{KUNIT}/kunit.py": "kunit\n"}
CODES = {"fail": Exit.CASE_FAILED, "crash": Exit.CRASH, "hang": Exit.HANG}
LOG = ("KTAP version 1\n1..1\n    KTAP version 1\n    # Subtest: s\n    1..2\n"
       "    # case_a: EXPECTATION FAILED at mm/tests/x.c:7\n    Expected 1 == 2\n"
       "    not ok 1 case_a\n    ok 2 case_b\nnot ok 1 s\n")


class FakeTester(Tester):
    """Its kernel is the tree itself, kept by its contents."""

    built = 0
    booted = 0
    accidents = 1
    chance = random.Random(1)

    def __init__(self, commits: Commits, judge: str, setup: Setup = Setup()) -> None:
        self.texts: Dict[str, str] = {}
        super().__init__(setup, commits, judge, False)

    def _sandbox(self, isolate: bool) -> Sandbox:
        return Sandbox(self.setup, self.commits.work / "ccache", False)

    def _build(self, tree: str, folder: Path) -> Kernel:
        FakeTester.built += 1
        text = (self.commits.check_out(tree) / SAYS).read_text()
        if "unbuildable" in text:
            raise Fail(Exit.BUILD, "the kernel does not build:\nx.c:1: error: bad", "mend it")
        if "vanished" in text:
            raise Fail(Exit.MISSING, "QEMU was killed", "run the same command again")
        if "unlike" in text:
            raise Fail(Exit.BAD_INPUT, "kunit.py does not know --arch=x", "use one of: y")
        if "interrupted" in text:
            raise KeyboardInterrupt
        out = self.commits.work / "boot" / folder.name
        self.texts[folder.name] = text
        return Kernel(self.commits.checkout.path, out, self.setup, {})

    def _boot(self, kernel: Kernel, folder: Path) -> Booted:
        FakeTester.booted += 1
        text = self.texts[kernel.out.name]
        if "refused" in text:
            raise Fail(Exit.BAD_INPUT, "kunit.py refused to boot the kernel: no module x", "see")
        word = next((word for word in CODES if word in text), "")
        if "flaky" in text and self.chance.random() > 0.3:
            word = ""
        if "accident" in text and FakeTester.accidents:
            FakeTester.accidents -= 1
            word = "crash"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "test.log").write_text(LOG if word else "")
        cases = {"s.case_a": "FAIL" if word else "PASS",
                 "s.case_b": "FAIL" if "case_b" in text else "PASS"}
        if "case_b" in text and not word:
            word = "fail"
        counts = {"passed": 2 - bool(word), "failed": int(bool(word))}
        retried = ("Oops: int3",) if "second try" in text else ()
        return Booted(Verdict(CODES.get(word, Exit.OK), "", counts, retried), cases)
