# SPDX-License-Identifier: GPL-2.0
from __future__ import annotations

from pathlib import Path
from unittest import mock

from base.outcome import Exit
from guest.build import Kernel
from guest.setup import Setup
from guest.verdict import Verdict
from measure import leaks
from tests import fixture

PASS = Verdict(Exit.OK, "", {"passed": 1})


class LeaksTest(fixture.Case):
    def test_a_leak_is_no_pass(self) -> None:
        guest = Kernel(self.kernel, self.root / "out", Setup(), {})
        for said, code in (("kmemleak has scanned\n", Exit.OK),
                           (f"kmemleak has scanned\n{leaks.LEAK}0x1 (size 8):\n",
                            Exit.CASE_FAILED)):
            def boots(_kernel: Kernel, _script: str, output: Path,
                      said: str = said) -> Verdict:
                fixture.lay(output.parent, {output.name: said})
                return PASS

            with mock.patch("guest.initramfs.boot", boots), mock.patch("measure.leaks.result"):
                verdict = leaks.boot(guest, self.root / "results")
            self.assertEqual(verdict.code, code)
            self.assertEqual((self.root / "results/kmemleak.txt").read_text(), said)

