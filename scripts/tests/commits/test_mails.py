# SPDX-License-Identifier: GPL-2.0
from __future__ import annotations

import base64
import os
from pathlib import Path
from typing import List, Optional, Tuple
from unittest import mock

from base.outcome import Exit, Fail
from commits import mails
from tests import fixture
from tests.commits.test_repository import FLAGS, CommitsCase

COVER = ("From 1 Mon Sep 17 00:00:00 2001\nFrom: A <a@b.example>\n"
         "Subject: [PATCH v2 00/12] mm: a series\nDate: Mon, 5 Jan 2026 10:00:00 +0200\n\nText.\n")


class MailsTest(CommitsCase):
    def apply(self, *paths: Path,
              base: str = "") -> Tuple[List[str], Optional[mails.Unapplied]]:
        return mails.apply(self.commits, base or self.start, paths)

    def one(self, data: bytes) -> str:
        """The commit that a mail becomes."""
        (self.root / "mail").write_bytes(data)
        made, trouble = self.apply(self.root / "mail")
        self.assertIsNone(trouble)
        self.assertEqual(len(made), 1)
        return made[0]

    def shown(self, commit: str, form: str) -> str:
        return self.commits.ours.git("log", "-1", f"--format={form}", commit).strip()

    def test_mails_become_commits_until_one_does_not_apply(self) -> None:
        queue: Path = self.repo / "patches/v7.3"
        made, trouble = self.apply(queue / "0.patch", queue / "1.patch")
        self.assertEqual([self.commits.describe(commit).subject for commit in made],
                         [f"change {FLAGS}", "change mm/code.c"])
        self.assertIsNone(trouble)
        for before in (fixture.CODE, "elsewhere\n" * 40):  # what a merge goes by: there, and not
            self.patch("9.patch", "mm/code.c", before, before[:150] + "other\n" + before[150:])
            more, trouble = self.apply(queue / "2.patch", queue / "9.patch", queue / "0.patch",
                                       base=made[-1])
            self.assertEqual(len(more), 1)
            assert trouble
            self.assertEqual(trouble.code, Exit.PATCH)
            self.assertRegex(trouble.what, r'"change mm/code\.c" .*mm/code\.c')
        with self.assertRaises(Fail) as caught:
            self.apply(self.repo / "mm/tests/suite.c")
        self.assertEqual(caught.exception.code, Exit.BAD_INPUT)

    def test_a_mail_may_be_encoded(self) -> None:
        head, body = fixture.mail("mm/code.c", fixture.CODE, "one\n" + fixture.CODE).split(
            "\n\n", 1)
        commit = self.one(
            (f"{head}\nMIME-Version: 1.0\nContent-Transfer-Encoding: base64\n"
             "Content-Type: text/plain; charset=UTF-8\n\n").encode()
            + base64.encodebytes(body.encode()))
        self.assertEqual(self.commits.ours.text(commit, "mm/code.c"), "one\n" + fixture.CODE)

    def test_who_wrote_it_and_when_is_kept(self) -> None:
        text = fixture.mail("mm/code.c", fixture.CODE, "one\n" + fixture.CODE)
        lines = ["Date: Mon, 5 Jan 2026 10:00:00 +0200" if line.startswith("Date: ") else line
                 for line in text.splitlines()]
        commit = self.one("\n".join(lines + [""]).encode())
        self.assertEqual(self.shown(commit, "%an <%ae> %ad"), "T <t@t> Mon Jan 5 10:00:00 2026 "
                         "+0200")

    def test_a_cover_letter_is_no_patch(self) -> None:
        fixture.lay(self.root, {"box": COVER + fixture.mail("mm/code.c", fixture.CODE,
                                                            "one\n" + fixture.CODE)})
        with mock.patch("commits.mails.say") as said:
            made, trouble = self.apply(self.root / "box")
        self.assertEqual((len(made), trouble, said.called), (1, None, False))
        fixture.lay(self.root, {"cover": COVER})
        with self.assertRaises(Fail) as caught:
            self.apply(self.root / "cover")
        self.assertIn("no patch", caught.exception.what)

    def test_a_mail_without_a_diff_is_named(self) -> None:
        fixture.lay(self.root, {"box": COVER.replace("[PATCH v2 00/12] mm", "Re: mm")
                                + fixture.mail("mm/code.c", fixture.CODE, "1\n" + fixture.CODE)})
        with mock.patch("commits.mails.say") as said:
            self.apply(self.root / "box")
        self.assertIn("mm: a series", said.call_args.args[0])

    def test_carriage_returns_of_the_way_go_and_those_of_files_stay(self) -> None:
        text = fixture.mail("mm/code.c", fixture.CODE, "one\n" + fixture.CODE)
        commit = self.one(text.replace("\n", "\r\n").encode())
        self.assertEqual(self.commits.ours.text(commit, "mm/code.c"), "one\n" + fixture.CODE)
        its = self.one(text.replace("\n+one\n", "\n+one\r\n").encode())
        self.assertEqual(self.commits.ours.file(its, "mm/code.c"),
                         b"one\r\n" + fixture.CODE.encode())

    def test_bytes_that_are_not_utf8_stay(self) -> None:
        text = fixture.mail("mm/code.c", fixture.CODE, "one\n" + fixture.CODE).encode()
        mail = text.replace(b"\n+one\n", b"\n+caf\xe9\n").replace(b"change mm", b"change \xe9 mm")
        for charset in (b"", b"iso-8859-1", b"x-unheard-of"):
            head = b"\nMIME-Version: 1.0\nContent-Type: text/plain; charset=" + charset \
                if charset else b""
            commit = self.one(mail.replace(b"\nDate:", head + b"\nDate:", 1))
            self.assertEqual(self.commits.ours.file(commit, "mm/code.c"),
                             b"caf\xe9\n" + fixture.CODE.encode())
            self.assertIn("mm/code.c", self.commits.describe(commit).subject)

    def test_the_users_settings_of_git_change_nothing(self) -> None:
        text = fixture.mail("mm/code.c", fixture.CODE, "one  \n" + fixture.CODE).encode()
        plain = self.one(text)
        fixture.lay(self.root, {"home/.gitconfig": (
            "[user]\nname = Other\n[core]\nautocrlf = true\nhooksPath = /none\n"
            "[apply]\nwhitespace = fix\n[am]\nthreeWay = true\nkeepcr = true\n"
            "[format]\nsuffix = .x\n[mailinfo]\nscissors = true\n[commit]\ngpgSign = true\n")})
        with mock.patch.dict(os.environ, {"HOME": str(self.root / "home"),
                                          "GIT_AUTHOR_NAME": "Somebody"}):
            self.assertEqual(self.one(text), plain)

    def test_a_folder_is_read_in_the_order_of_its_names(self) -> None:
        fixture.lay(self.root, {"box/2.patch": "", "box/1.eml": "", "box/notes": ""})
        self.assertEqual([path.name for path in mails.files([self.root / "box"])],
                         ["1.eml", "2.patch"])
