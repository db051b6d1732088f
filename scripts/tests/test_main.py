# SPDX-License-Identifier: GPL-2.0
from __future__ import annotations

import contextlib
import io
import os
import subprocess
import unittest
from unittest import mock
from pathlib import Path
from typing import List

import completion
import main
from base.files import REPO
from base.outcome import Exit, Fail
from base.project import FAIL_KNOWN_BUGS
from guest import arguments
from guest.setup import Setup


def setup(*words: str) -> Setup:
    return arguments.setup(main.parser_of("kunit").parse_args(words))


class SetupTest(unittest.TestCase):
    def test_with_fixes_known_bugs_are_failures(self) -> None:
        self.assertEqual(setup().kunit_args, ())
        self.assertEqual(setup("--fixes").kunit_args, (f"--kernel_args={FAIL_KNOWN_BUGS}",))
        args = main.parser_of("kunit").parse_args(["--fixes"])
        self.assertTrue(arguments.source(args).fixes)


class MainTest(unittest.TestCase):
    def refused(self, *words: str) -> Fail:
        with self.assertRaises(Fail) as caught:
            main.main(words)
        self.assertEqual(caught.exception.code, Exit.BAD_INPUT)
        self.assertTrue(caught.exception.remedy)
        return caught.exception

    def printed(self, *words: str) -> str:
        with contextlib.redirect_stdout(io.StringIO()) as said:
            self.assertEqual(main.main(words), Exit.OK)
        return said.getvalue()

    def test_the_help_has_all_verbs_and_exit_codes(self) -> None:
        text = self.printed("help")
        for verb in main.VERBS:
            self.assertIn(f"  {verb} ", text)
        for code in Exit:
            self.assertIn(code.meaning, text)
        self.assertEqual(self.printed(), text)

    def test_each_verb_has_help_with_its_options(self) -> None:
        for verb in main.VERBS:
            with self.subTest(verb):
                parser = main.parser_of(verb)
                self.assertIn("usage: suite " + verb, parser.format_help())
                self.assertTrue(parser.description)

    def test_what_is_not_known_is_refused(self) -> None:
        for words in (["kunti"], ["kunit", "--kdri=x"], ["kunit", "--kernel=7.3.4"],
                      ["kunit", "--kernel=../7.3"], ["kunit", "--config=big"],
                      ["kunit", "--arch=../x"], ["kunit", "--jobs=0"], ["tree", "--verbose"],
                      ["kunit", "--kd=x"]):
            with self.subTest(words):
                self.refused(*words)

    def test_an_architecture_has_the_compiler_that_this_machine_needs_for_it(self) -> None:
        with mock.patch("platform.machine", return_value="x86_64"):
            for words, prefix in (("--arch=x86_64", ""), ("--arch=i386", ""), ("--arch=um", ""),
                                  ("--arch=arm64", "aarch64-linux-gnu-"),
                                  ("--arch=arm64 --llvm=1", ""),
                                  ("--arch=arm64 --cross_compile=a-", "a-")):
                with self.subTest(words):
                    self.assertEqual(setup(*words.split()).cross_compile, prefix)
        with mock.patch("platform.machine", return_value="aarch64"):
            self.assertEqual(setup("--arch=arm64").cross_compile, "")

    def test_kdir_may_be_relative_have_spaces_or_a_tilde(self) -> None:
        self.assertEqual(arguments.path("../my linux"), Path.cwd().parent / "my linux")
        self.assertEqual(arguments.path("~/linux"), Path(os.path.expanduser("~")) / "linux")

    def test_what_kunit_py_takes_is_handed_on(self) -> None:
        self.assertEqual(setup("a*", "--qemu_args=-m 512", "--kernel_args=b", "--timeout=9",
                               "--run_isolated=suite").kunit_args,
                         ("--timeout=9", "--run_isolated=suite", "--kernel_args=b",
                          "--qemu_args=-m 512", "a*"))
        self.assertEqual(setup("--kconfig_add=CONFIG_A=y").kconfig_add, ("CONFIG_A=y",))

    def test_completion_knows_verbs_and_options(self) -> None:
        script = completion.script() + "COMP_WORDS=(./suite {}); COMP_CWORD={}; " \
            "_offline_skippable_suite; echo \"${{COMPREPLY[@]}}\"\n"
        text = script[:script.index("COMP_WORDS=(")]
        for words, number, expected in (("kun", 1, "kunit"), ("kunit --kd", 2, "--kdir="),
                                        ("tree --no", 2, "--no-install")):
            done = subprocess.run(["bash", "-c", text + (
                f"COMP_WORDS=(./suite {words}); COMP_CWORD={number}; _offline_skippable_suite; "
                'echo "${COMPREPLY[@]}"')], stdout=subprocess.PIPE, text=True, check=True)
            self.assertEqual(done.stdout.strip(), expected)


class MakeTest(unittest.TestCase):
    def options(self, *words: str) -> List[str]:
        return main.from_make(words)

    def make(self, *words: str) -> subprocess.CompletedProcess[str]:
        env = {**os.environ, "O": "leak", "BASE": "leak", "CONFIG": "leak", "KDIR": "leak"}
        return subprocess.run(["make", "-C", str(REPO), "--no-print-directory", *words],
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=env,
                              check=False)

    def test_variables_become_options(self) -> None:
        self.assertEqual(self.options("kunit", "KDIR=/a b", "O=x", "ARCH=", "INSTALL=no",
                                      "KUNIT_ARGS=--qemu_args '-smp 4' a*"),
                         ["kunit", "--kdir=/a b", "--build_dir=x", "--no-install",
                          "--qemu_args", "-smp 4", "a*"])

    def test_unknown_variables_are_errors(self) -> None:
        for words in (["kunit", "KDRI=/x"], ["check", "KDIR=/x"], ["check", "KDIR="],
                      ["clean", "INSTALL=no"], ["kunit", "INSTALL=maybe"],
                      ["kunit", "KUNIT_ARGS='open"]):
            with self.subTest(words), self.assertRaises(Fail) as caught:
                self.options(*words)
            self.assertEqual(caught.exception.code, Exit.BAD_INPUT)

    def test_make_hands_on_its_command_line_to_the_letter_and_no_environment(self) -> None:
        done = self.make("kunit", "KDIR=/no such/$HOME/it's", "INSTALL=no")
        self.assertNotEqual(done.returncode, 0)
        self.assertIn("/no such/$HOME/it's is not there", done.stderr)
        self.assertIn("has no FOO=x", self.make("kunit", "FOO=x").stderr)
        self.assertIn("usage: ./suite", self.make("help").stdout)
        self.assertIn("usage: ./suite", self.make().stdout)
