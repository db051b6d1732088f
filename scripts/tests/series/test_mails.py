# SPDX-License-Identifier: GPL-2.0
from __future__ import annotations

import os
from typing import List
from unittest import mock

from series.git import Repository
from series.mails import mails
from series.overlay import Overlay
from series.snapshot import snapshot
from tests import fixture


class MailsTest(fixture.Case):
    def mails(self) -> List[str]:
        overlay = Overlay(Repository(self.root / "ours.git"), self.repo)
        tree = snapshot(self.kernel, overlay.ours, "kdir")
        return [mail.read_bytes().decode("latin-1")
                for mail in mails(overlay, tree, "the tree", self.root / "mails")]

    def test_a_patch_comes_with_its_new_files(self) -> None:
        first, second = self.mails()
        self.assertEqual(first, (self.repo / "patches/v7.3/1.patch").read_text())
        self.assertIn("+++ b/lib/Kconfig.debug\n", second)
        self.assertIn("--- /dev/null\n+++ b/mm/tests/suite.c\n@@ -0,0 +1 @@\n+suite\n", second)

    def test_what_the_tree_has_is_left_out(self) -> None:
        fixture.lay(self.kernel, {"mm/code.c": fixture.CODE.replace("line 20\n", "line twenty\n"),
                                  "mm/tests/suite.c": "its own\n"})
        only, = self.mails()
        self.assertIn("Kconfig", only)
        self.assertNotIn("suite.c b/", only)

    def test_the_users_settings_change_no_byte(self) -> None:
        (self.repo / "mm/tests/suite.c").write_bytes(b"one\r\n\xe4 \n")
        plain = self.mails()
        self.assertIn("+one\r\n+\xe4 \n", plain[1])
        (self.root / ".gitconfig").write_text(
            "[diff]\nnoprefix=true\ncontext=1\n[core]\nautocrlf=true\n[color]\nui=always\n")
        with mock.patch.dict(os.environ, {"HOME": str(self.root)}):
            self.assertEqual(self.mails(), plain)
