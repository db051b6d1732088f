# SPDX-License-Identifier: GPL-2.0
from __future__ import annotations

import os
import shutil
from unittest import mock

from base.outcome import Fail
from series import queue
from tests import fixture


class QueueTest(fixture.Case):
    def queue(self) -> queue.Queue:
        return queue.Queue("7.3", self.repo)

    def test_new_files_come_where_the_series_says(self) -> None:
        self.assertEqual([mail.name for mail in self.queue().mails()],
                         ["1.patch", "new-files.patch", "2.patch"])

    def test_the_mail_of_the_new_files_depends_on_nothing_else(self) -> None:
        mail = self.queue().mails()[1]
        first = mail.read_bytes()
        mail.unlink()
        self.assertEqual(self.queue().mails()[1].read_bytes(), first)
        self.assertIn(b"From: A Developer <a@b.example>", first)
        self.assertIn(b"Subject: [PATCH] mm: add suites", first)

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
        for change, words in (({"patches/v7.3/series": "1.patch\n"}, "where the new kernel files"),
                              ({"patches/v7.3/series": "gone.patch\n# new files\n"}, "gone.patch"),
                              ({"patches/new-files.msg": "mm: x\n"}, "Signed-off-by")):
            fixture.lay(self.repo, change)
            with self.subTest(words=words), self.assertRaises(Fail) as caught:
                self.queue().mails()
            self.assertIn(words, caught.exception.what)
            fixture.git(self.repo, "checkout", "-q", ".")

    def test_an_unknown_version_names_those_there_are(self) -> None:
        with self.assertRaises(Fail) as caught:
            queue.queue_for("5.10", self.repo)
        self.assertIn("7.3", caught.exception.remedy)

    def test_version_of_a_makefile(self) -> None:
        self.assertEqual(queue.version_in(fixture.MAKEFILE), ("7.3", "7.3.4"))
        self.assertIsNone(queue.version_in("all:\n"))

    def test_the_users_settings_change_no_byte_of_a_mail(self) -> None:
        (self.repo / "mm/tests/suite.c").write_bytes(b"one\r\n\xe4 \n")
        plain = self.queue().mails()[1].read_bytes()
        self.assertIn(b"+one\r\n+\xe4 \n", plain)
        settings = self.root / "gitconfig"
        settings.write_text("[format]\nsignOff=true\nattach=true\nsubjectPrefix=X\n"
                            "[diff]\nnoprefix=true\n[core]\nautocrlf=true\n"
                            "[user]\nname=Somebody\n[commit]\ngpgSign=true\n")
        shutil.rmtree(self.queue().made)
        with mock.patch.dict(os.environ, {"GIT_CONFIG_GLOBAL": str(settings),
                                          "HOME": str(self.root)}):
            settings.rename(self.root / ".gitconfig")
            self.assertEqual(self.queue().mails()[1].read_bytes(), plain)
