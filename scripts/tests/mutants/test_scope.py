# SPDX-License-Identifier: GPL-2.0
from __future__ import annotations

import dataclasses

from base.outcome import Exit, Fail
from mutants.scope import Scope, files, of_series
from series.git import Repository
from series.worktree import Tree
from tests import fixture
from tests.commits.test_repository import CommitsCase
from tests.mutants.some import plain

CODE = "one\ntwo\nthree\n"


class FilesTest(fixture.Case):
    def test_some_files_are_broken_in_part(self) -> None:
        fixture.lay(self.root, {"files": "# why\n\nmm/a.c *\nmm/b.c __offline* alloc_contig*\n"})
        listed = files(self.root / "files")
        self.assertEqual(listed, {"mm/a.c": ["*"], "mm/b.c": ["__offline*", "alloc_contig*"]})
        scope = Scope("", Tree(self.kernel, "", "", "", Repository(self.root / "git")), {}, listed)
        for path, function, wanted in (("mm/a.c", "f", True), ("mm/b.c", "f", False),
                                       ("mm/b.c", "__offline_isolated_pages", True),
                                       ("mm/c.c", "f", True)):
            with self.subTest(path, function=function):
                mutant = dataclasses.replace(plain("key", function), path=path)
                self.assertEqual(scope.has(mutant), wanted)

    def test_the_list_names_what_is_in_the_kernel(self) -> None:
        self.assertIn("mm/memory_hotplug.c", files())


class SeriesTest(CommitsCase):
    def setUp(self) -> None:
        super().setUp()
        self.base = self.commit("base", {"mm/own.c": CODE})
        self.commit("one", {"mm/own.c": CODE.replace("one\n", "one\nmore\n")})
        self.tip = self.commit("two", {"mm/new.c": "new\n", "mm/own.h": "new\n"})

    def check(self, scope: Scope) -> None:
        """Both commits count, and what our series changes does not."""
        self.assertEqual({path: change.added for path, change in scope.changes.items()},
                         {"mm/own.c": {2}, "mm/new.c": {1}})
        self.assertIn("line twenty", (scope.tree.path / "mm/code.c").read_text())
        self.assertEqual(scope.tree.version, "7.3.4")

    def test_a_range(self) -> None:
        self.check(of_series(self.source(), f"{self.base}..{self.tip}", [], "", self.repo))

    def test_mails(self) -> None:
        mbox = self.root / "series.mbx"
        mbox.write_text(fixture.git(self.kernel, "format-patch", "--stdout", self.base))
        self.check(of_series(self.source(), "", [mbox], self.base, self.repo))
        with self.assertRaises(Fail) as caught:
            of_series(self.source(), "", [mbox], self.start, self.repo)
        self.assertEqual(caught.exception.code, Exit.PATCH)
