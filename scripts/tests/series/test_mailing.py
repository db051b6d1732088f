# SPDX-License-Identifier: GPL-2.0
from __future__ import annotations

import os
from pathlib import Path
from typing import List
from unittest import mock

from base.outcome import Exit, Fail
from series.mailing import Series, applied, commit_all, sender, write_mails
from series.worktree import Source
from tests import fixture

LETTER = "mm: a subject\n\nA letter.\n"


class MailingTest(fixture.Case):
    def setUp(self) -> None:
        super().setUp()
        self.sign_patches()
        self.base = self.commit("base", {"mm/more.c": "more\n"})
        fixture.git(self.kernel, "config", "user.name", "A Übermittler")
        fixture.git(self.kernel, "config", "user.email", "a@users.example")

    def series(self) -> Series:
        return commit_all(self.source(), sender(self.kernel), self.repo)

    def mails(self, series: Series) -> List[Path]:
        return write_mails(series, LETTER, self.root / "mails")

    def test_all_goes_out_in_the_users_name(self) -> None:
        for mail in self.mails(self.series()):
            text = mail.read_text()
            with self.subTest(mail.name):
                self.assertNotIn("project.example", text)
                self.assertRegex(text, r"(?m)^From: .*bermittler.* <a@users\.example>$")
                self.assertNotIn("localhost", text)
                if not mail.name.startswith("0000"):
                    self.assertIn("Signed-off-by: A Übermittler <a@users.example>\n", text)

    def test_the_letter_names_the_base(self) -> None:
        letter = self.mails(self.series())[0].read_text()
        self.assertIn("Subject: [PATCH 0/2] mm: a subject", letter)
        self.assertIn(f"base-commit: {self.base}", letter)
        self.assertNotIn("Debian", letter)

    def test_mails_make_the_tree_of_the_series(self) -> None:
        series = self.series()
        mails = self.mails(series)
        self.assertEqual(len(mails), 3)
        self.assertIsNone(applied(series, mails, self.root / "index"))
        fixture.git(self.kernel, "am", *(str(mail) for mail in mails[1:]))
        self.assertEqual(fixture.git(self.kernel, "rev-parse", "HEAD^{tree}").strip(),
                         series.ours.git("rev-parse", f"{series.commits[-1]}^{{tree}}").strip())
        mails[2].write_text(mails[2].read_text().replace("+suite", "+other"))
        self.assertIn("another tree", applied(series, mails, self.root / "index") or "")

    def test_how_patches_came_in_is_told(self) -> None:
        self.assertEqual((self.series().notes, self.series().offsets), ((), ()))
        self.commit("more", {"mm/code.c": "new\n" + fixture.CODE})
        self.assertRegex(self.series().offsets[0], r"^1\.patch: .*offset 1 line")

    def test_nobody_is_made_up(self) -> None:
        fixture.git(self.kernel, "config", "--unset", "user.name")
        with mock.patch.dict(os.environ, {"HOME": str(self.root), "GIT_CONFIG_NOSYSTEM": "1"}), \
                self.assertRaises(Fail) as caught:
            sender(self.kernel)
        self.assertEqual(caught.exception.code, Exit.BAD_INPUT)

    def test_what_cannot_be_a_base_is_refused(self) -> None:
        by = sender(self.kernel)
        plain = self.root / "plain"
        fixture.lay(plain, fixture.KERNEL)
        with self.assertRaises(Fail) as caught:
            commit_all(Source("7.3", plain), by, self.repo)
        self.assertIn("not a git repository", caught.exception.what)
        fixture.git(self.kernel, "am", *(str(mail) for mail in self.mails(self.series())[1:]))
        with self.assertRaises(Fail) as caught:
            self.series()
        self.assertIn("already", caught.exception.what)
