# SPDX-License-Identifier: GPL-2.0
from __future__ import annotations

import unittest
from unittest import mock

from base.outcome import Exit, Fail
from matrix.rows import ROWS, Row, matching, sample


class RowTest(unittest.TestCase):
    def test_options_are_written_as_in_a_config(self) -> None:
        self.assertEqual(Row("a", "KASAN -CMA NODES_SHIFT=4").options,
                         ("CONFIG_KASAN=y", "# CONFIG_CMA is not set", "CONFIG_NODES_SHIFT=4"))

    def test_what_is_as_usual_is_not_told_to_kunit_py(self) -> None:
        self.assertEqual(Row("a").boot, ())
        self.assertTrue(Row("a").usual)
        self.assertEqual(Row("a", args="b=1 c", cpus=8, memory=512, qemu="-d").boot,
                         ("--kernel_args=b=1", "--kernel_args=c", "--qemu_args=-m 512",
                          "--qemu_args=-smp 8", "--qemu_args=-d"))

    def test_another_architecture_has_its_compiler(self) -> None:
        with mock.patch("platform.machine", return_value="x86_64"):
            self.assertEqual(Row("a", arch="arm64").setup.compiler, "aarch64-linux-gnu-gcc")
            self.assertEqual(Row("a", arch="arm64", llvm="1").setup.compiler, "clang")

    def test_each_name_is_there_once_and_each_machine_too(self) -> None:
        self.assertEqual(len({row.name for row in ROWS}), len(ROWS))
        self.assertEqual(len({(row.source, row.setup, row.boot) for row in ROWS}), len(ROWS))

    def test_a_row_with_more_processors_has_a_kernel_for_them(self) -> None:
        for row in ROWS:
            if row.cpus > 1 and row.config != "debug":
                with self.subTest(row.name):
                    self.assertIn("CONFIG_SMP=y", row.options)

    def test_rows_that_are_not_there_are_refused(self) -> None:
        some = [Row("numa-2"), Row("numa-4"), Row("kasan")]
        self.assertEqual(matching(["numa-*", "kasan"], some), some)
        self.assertEqual(matching(["kasan"], some), some[2:])
        with self.assertRaisesRegex(Fail, "no row matches numa\n") as caught:
            matching(["kasan", "numa"], some)
        self.assertEqual(caught.exception.code, Exit.BAD_INPUT)


class SampleTest(unittest.TestCase):
    def test_it_has_a_row_for_which_the_usual_kernel_is_enough(self) -> None:
        for commit in ("a", "b", "c"):
            found, = sample(commit)
            self.assertTrue(found.usual and found.boot and not found.qemu)

    def test_in_time_all_rows_of_the_usual_kernel_are_seen(self) -> None:
        some = [Row("usual"), Row("a", cpus=2), Row("b", memory=512), Row("c", "X"), Row("d", "Y"),
                Row("e", arch="arm64"), Row("f", kernel="6.12"), Row("g", llvm="1"),
                Row("h", config="debug"), Row("i", qemu="-machine x")]
        seen = {row.name for commit in map(str, range(50)) for row in sample(commit, some)}
        self.assertEqual(seen, {"a", "b"})

    def test_the_same_commit_has_the_same(self) -> None:
        self.assertEqual(sample("a"), sample("a"))
