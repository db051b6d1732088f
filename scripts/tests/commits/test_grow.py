# SPDX-License-Identifier: GPL-2.0
from __future__ import annotations

from base.outcome import Fail
from commits.grow import History
from series.git import Repository
from tests import fixture


class HistoryTest(fixture.Case):
    def test_commits_are_made_without_a_working_tree(self) -> None:
        start = self.commit("start", {"mm/more.c": "more\n"})
        history = History(self.root / "grown.git", Repository(self.kernel / ".git"), start)
        tip = history.commit("reword", history.replaced("mm/code.c", "line 7\n", "seven\n"))
        self.assertEqual(fixture.git(history.home, "show", "--format=%P %s", "--name-only", "main"),
                         f"{start} reword\n\nmm/code.c\n")
        self.assertEqual(history.text("mm/code.c"), fixture.CODE.replace("line 7\n", "seven\n"))
        self.assertEqual(fixture.git(history.home, "rev-parse", "HEAD").strip(), tip)
        self.assertEqual(fixture.git(self.kernel, "rev-parse", "HEAD").strip(), start)
        with self.assertRaises(Fail):
            history.replaced("mm/code.c", "line 7\n", "")
