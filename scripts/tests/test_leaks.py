# SPDX-License-Identifier: GPL-2.0
from __future__ import annotations

import unittest
from pathlib import Path
from unittest import mock

import fixture  # first: it sets the path

import kernel as kernels
import leaks
from kunit import Verdict
from verdict import Exit

PASS = Verdict(Exit.OK, "", {"passed": 1})


class LeaksTest(fixture.Case):
    def test_a_leak_is_no_pass(self) -> None:
        guest = kernels.Kernel(self.kernel, self.root / "out", self.options(), {})
        for said, code in (("kmemleak has scanned\n", Exit.OK),
                           (f"kmemleak has scanned\n{leaks.LEAK}0x1 (size 8):\n",
                            Exit.CASE_FAILED)):
            def boots(_kernel: kernels.Kernel, _script: str, output: Path,
                      said: str = said) -> Verdict:
                fixture.lay(output.parent, {output.name: said})
                return PASS

            with mock.patch("userspace.boot", boots), mock.patch("builtins.print"):
                verdict = leaks.boot(guest, self.root / "results")
            self.assertEqual(verdict.code, code)
            self.assertEqual((self.root / "results/kmemleak.txt").read_text(), said)


if __name__ == "__main__":
    unittest.main()
