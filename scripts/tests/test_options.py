# SPDX-License-Identifier: GPL-2.0
from __future__ import annotations

import os
import unittest
from pathlib import Path

import fixture  # noqa: F401  # first: it sets the path

from options import from_environment
from verdict import Exit, Fail


class OptionsTest(unittest.TestCase):
    def test_empty_variables_take_their_defaults(self) -> None:
        options = from_environment({"ARCH": "", "KDIR": ""})
        self.assertEqual((options.kernel, options.arch, options.config, options.kdir),
                         ("7.3", "x86_64", "trimmed", None))

    def test_kdir_may_be_relative_have_spaces_or_a_tilde(self) -> None:
        self.assertEqual(from_environment({"KDIR": "../my linux"}).kdir,
                         Path.cwd().parent / "my linux")
        self.assertEqual(from_environment({"KDIR": "~/linux"}).kdir,
                         Path(os.path.expanduser("~")) / "linux")

    def test_kunit_args_are_split_as_a_shell_does(self) -> None:
        self.assertEqual(from_environment({"KUNIT_ARGS": "--qemu_args '-m 512' a*"}).kunit_args,
                         ["--qemu_args", "-m 512", "a*"])

    def test_bad_values_are_refused_with_a_remedy(self) -> None:
        for name, value in (("KERNEL", "7.3.4"), ("KERNEL", "../7.3"), ("CONFIG", "big"),
                            ("ARCH", "../x"), ("KUNIT_ARGS", "'open")):
            with self.subTest(name=name, value=value), self.assertRaises(Fail) as caught:
                from_environment({name: value})
            self.assertEqual(caught.exception.code, Exit.BAD_INPUT)
            self.assertTrue(caught.exception.remedy)
