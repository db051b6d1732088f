# SPDX-License-Identifier: GPL-2.0
from __future__ import annotations

import threading
import time
from concurrent.futures import CancelledError

from base.outcome import Exit, Fail
from guest.build import Kernel
from guest.setup import Setup
from mutants.kernel import DoesNotBuild, Workshop
from tests import fixture


class WorkshopTest(fixture.Case):
    def workshop(self, compiler: str = "gcc") -> Workshop:
        out = self.root / "out"
        # As kbuild notes it down: objtool has the last word.
        fixture.lay(out, {"image": "", "mm/.code.o.cmd":
                          f"savedcmd_mm/code.o := {compiler} -nostdinc -c -o mm/code.o "
                          f"{self.kernel}/mm/code.c ; true mm/code.o\n"})
        self.stop = threading.Event()
        kernel = Kernel(self.kernel, out, Setup(), {"kernel_path": "image"})
        return Workshop(kernel, self.root / "made", [], self.stop)

    def test_a_source_that_does_not_compile_is_told_from_one_that_survives(self) -> None:
        with self.assertRaises(DoesNotBuild) as caught:
            self.workshop().image({"mm/code.c": "int f("})
        self.assertIn("error", str(caught.exception))

    def test_a_build_that_is_not_wanted_any_more_ends_at_once(self) -> None:
        workshop = self.workshop("exec sleep 60; gcc")
        threading.Timer(0.1, self.stop.set).start()
        begin = time.monotonic()
        with self.assertRaises(CancelledError):
            workshop.image({"mm/code.c": "int f(void) { return 0; }"})
        self.assertLess(time.monotonic() - begin, 30)
        # The object may be cut short, and is put back by the next build.
        self.assertEqual([file.read_text() for file in (self.root / "made/mutated").iterdir()],
                         ["mm/code.o"])

    def test_a_machine_without_memory_is_not_the_mutants_fault(self) -> None:
        workshop = self.workshop("echo cc1: out: Cannot allocate memory >&2; exit 1; gcc")
        with self.assertRaises(Fail) as caught:
            workshop.image({"mm/code.c": "int f(void) { return 0; }"})
        self.assertEqual(caught.exception.code, Exit.MISSING)
