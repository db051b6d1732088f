# SPDX-License-Identifier: GPL-2.0
from __future__ import annotations

from unittest import mock

from base.outcome import Fail
from series import queue
from tests import fixture


class QueueTest(fixture.Case):
    def queue(self) -> queue.Queue:
        return queue.Queue("7.3", self.repo)

    def test_new_files_come_with_the_patch_that_says_so(self) -> None:
        folder = self.repo / "patches/v7.3"
        self.assertEqual(self.queue().brought(), {folder / "1.patch": [],
                                                  folder / "2.patch": ["mm/tests/suite.c"]})

    def test_queues_share_patches(self) -> None:
        fixture.lay(self.repo, {"patches/v7.2/series": "../v7.3/1.patch\n../v7.3/2.patch\n"})
        shared = queue.Queue("7.2", self.repo)
        self.assertEqual(shared.patches(), self.queue().patches())
        self.assertEqual(shared.homes(), ["7.3"])

    def test_fixes_are_a_queue_of_their_own(self) -> None:
        with self.assertRaises(Fail) as caught:
            self.queue().fixes()
        self.assertIn("no fixes for linux 7.3", caught.exception.what)
        fixture.lay(self.repo, {"patches/v7.3/fixes/series": "a.patch\n",
                                "patches/v7.3/fixes/a.patch": ""})
        self.assertEqual(self.queue().fixes(), [self.repo / "patches/v7.3/fixes/a.patch"])
        self.assertEqual(len(self.queue().patches()), 2)

    def test_only_tracked_files_are_part_of_the_series_and_that_is_said(self) -> None:
        fixture.lay(self.repo, {"mm/tests/suite.c.orig": "", "mm/tests/.suite.c.swp": "",
                                "lib/x.c": "x\n"})
        self.assertEqual(list(self.queue().new_files()), ["mm/tests/suite.c"])
        with mock.patch("series.queue.say") as said:
            self.queue().say_what_is_left_out()
        self.assertTrue(said.call_args.args[0].endswith("does not track it: lib/x.c"))
        fixture.git(self.repo, "add", "lib/x.c")
        self.assertEqual(list(self.queue().new_files()), ["lib/x.c", "mm/tests/suite.c"])

    def test_gaps_are_named(self) -> None:
        note = (self.repo / "patches/v7.3/2.patch").read_text()
        for change, words in (
                ({"patches/v7.3/series": "1.patch\n"}, "suite.c comes with no patch"),
                ({"patches/v7.3/series": "gone.patch\n"}, "gone.patch"),
                ({"patches/v7.3/1.patch": note}, "comes with 1.patch and 2.patch")):
            fixture.lay(self.repo, change)
            with self.subTest(words=words), self.assertRaises(Fail) as caught:
                self.queue().brought()
            self.assertIn(words, caught.exception.what)
            fixture.git(self.repo, "checkout", "-q", ".")

    def test_the_nearest_queue_is_taken(self) -> None:
        fixture.lay(self.repo, {"patches/v6.12/series": "", "patches/v7.1/series": ""})
        for version, nearest in (("7.3", "7.3"), ("7.4", "7.3"), ("7.2", "7.3"), ("7.0", "7.1"),
                                 ("6.19", "7.1"), ("6.15", "6.12"), ("5.10", "6.12")):
            self.assertEqual(queue.queue_for(version, self.repo).version, nearest)
        with self.assertRaises(Fail):
            queue.queue_for("7.3", self.root)

    def test_version_of_a_makefile(self) -> None:
        self.assertEqual(queue.version_in(fixture.MAKEFILE), ("7.3", "7.3.4"))
        self.assertIsNone(queue.version_in("all:\n"))
