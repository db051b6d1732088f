# SPDX-License-Identifier: GPL-2.0
from __future__ import annotations

import threading
import time
from concurrent.futures import CancelledError
from typing import List, Sequence
from unittest import mock

from base.outcome import Exit, Fail
from guest.build import Kernel
from guest.setup import Setup
from mutants.find import Mutant
from mutants.kernel import DoesNotBuild, Workshop
from tests import fixture

CODE = """\
int f(int a)
{
\tint b = a * 1;
\tstatic int c = 2;

\treturn __LINE__ + b + c;
}
"""


def mutant(before: str, after: str) -> Mutant:
    first = CODE.index(before)
    line = CODE.count("\n", 0, first) + 1
    return Mutant(f"f: {before} to {after}", "mm/code.c", "f", "op", line, line, before, after,
                  "expression", (first, first + len(before)))


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

    def test_mutants_that_cannot_be_branches_are_left_out_and_told(self) -> None:
        workshop = self.workshop()
        images: List[Sequence[str]] = []

        def link(words: Sequence[str]) -> None:
            if words[0] == "sh":
                run_(words)
            else:
                images.append(words)
        run_ = workshop._run
        self.replace(mock.patch.object(workshop, "_run", link),
                     mock.patch("mutants.kernel.kernels.make_command", lambda *_: ["make"]))
        fixture.lay(self.root / "out", {"mm/code.o": ""})
        fixture.lay(self.root, {"operators/mutant.h": "static int mutant(int n) { return !n; }\n",
                                "operators/mutant.c": "int mutants = MUTANTS;\n"})
        self.replace(mock.patch("mutants.kernel.OPERATORS", self.root / "operators"))
        found = workshop.together([(1, mutant("a * 1", "a")), (2, mutant("2", "3"))],
                                  {"mm/code.c": CODE})[1]
        self.assertEqual(list(found), ["f: 2 to 3"])
        self.assertIn("initializer element is not constant", found["f: 2 to 3"])
        self.assertEqual(len(images), 1)

    def test_mutants_of_which_the_compiler_makes_the_same_code(self) -> None:
        workshop = self.workshop()
        for one, same in ((mutant("a * 1", "a"), True), (mutant("a * 1", "a * 2"), False),
                          (mutant("a * 1", "a *\n1"), False), (mutant("a * 1", "a +"), False)):
            with self.subTest(one.key):
                self.assertEqual(workshop.is_same(one, CODE), same)

    def test_a_file_that_cannot_be_compiled_proves_nothing(self) -> None:
        workshop = self.workshop("exit 1; gcc")
        with self.assertRaises(Fail) as caught:
            workshop.is_same(mutant("a * 1", "a"), CODE)
        self.assertEqual(caught.exception.code, Exit.MISSING)
