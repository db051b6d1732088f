# SPDX-License-Identifier: GPL-2.0
from __future__ import annotations

import fixture  # first: it sets the path

import series
from verdict import Exit, Fail


class SeriesTest(fixture.Case):
    def queue(self) -> series.Queue:
        return series.Queue("7.3", self.repo)

    def test_new_files_come_where_the_series_says(self) -> None:
        self.assertEqual([mail.name for mail in self.queue().patches()],
                         ["1.patch", "new-files.patch", "2.patch"])

    def test_the_mail_of_the_new_files_depends_on_nothing_else(self) -> None:
        mail = self.queue().patches()[1]
        first = mail.read_bytes()
        mail.unlink()
        self.assertEqual(self.queue().patches()[1].read_bytes(), first)
        self.assertIn(b"From: A Developer <a@b.example>", first)
        self.assertIn(b"Subject: [PATCH] mm: add suites", first)

    def test_an_ignored_file_is_not_part_of_the_series(self) -> None:
        fixture.lay(self.repo, {".gitignore": "*.o\n", "mm/tests/suite.o": "", "lib/x.c": "x\n"})
        self.assertEqual(list(self.queue().new_files()), ["lib/x.c", "mm/tests/suite.c"])

    def test_gaps_are_named(self) -> None:
        for change, words in (({"patches/v7.3/series": "1.patch\n"}, "where the 1 new"),
                              ({"patches/v7.3/series": "gone.patch\n# new files\n"}, "gone.patch"),
                              ({"patches/new-files.msg": "mm: x\n"}, "Signed-off-by")):
            fixture.lay(self.repo, change)
            with self.subTest(words=words), self.assertRaises(Fail) as caught:
                self.queue().patches()
            self.assertIn(words, caught.exception.what)
            fixture.git(self.repo, "checkout", "-q", ".")

    def test_an_unknown_version_names_those_there_are(self) -> None:
        with self.assertRaises(Fail) as caught:
            series.queue_for("5.10", self.repo)
        self.assertIn("7.3", caught.exception.remedy)

    def test_version_of_a_tree(self) -> None:
        self.assertEqual(series.version_of(self.kernel), ("7.3", "7.3.4"))
        with self.assertRaises(Fail) as caught:
            series.version_of(self.repo)
        self.assertEqual(caught.exception.code, Exit.BAD_INPUT)
