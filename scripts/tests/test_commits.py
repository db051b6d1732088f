# SPDX-License-Identifier: GPL-2.0
from __future__ import annotations

import base64
from pathlib import Path
from typing import Dict
from unittest import mock

import fixture  # first: it sets the path

import commits
from verdict import Exit, Fail

FLAGS = "include/linux/page-flags.h"
GLUE = fixture.KCONFIG.replace("config LAST\n",
                               "config OFFLINE_SKIPPABLE_KUNIT_TEST\n\nconfig LAST\n")


class CommitsTest(fixture.Case):
    """The series of the fixture is: a change, new files, the glue; here, and first, the feature."""

    def setUp(self) -> None:
        super().setUp()
        fixture.lay(self.kernel, {FLAGS: fixture.CODE})
        self.patch("0.patch", FLAGS, fixture.CODE,
                   fixture.CODE.replace("line 20\n", "PG_offline_skippable\n"))
        series = self.repo / "patches/v7.3/series"
        series.write_text("0.patch\n" + series.read_text())
        self.start = self.commit("base", {"mm/more.c": "more\n"})
        self.commits = commits.Commits(self.kernel, self.repo)
        mock.patch("fetch.source", side_effect=Fail(Exit.MISSING, "no network", "")).start()
        self.addCleanup(mock.patch.stopall)

    def files(self, commit: str) -> Dict[str, str]:
        """What a commit is with the suite laid over it, checked out."""
        self.commits.check_out(self.commits.lay(commit))
        tree = self.commits.tree
        return {str(path.relative_to(tree)): path.read_text()
                for path in tree.rglob("*") if path.is_file()}

    def refused(self, commit: str) -> Fail:
        with self.assertRaises(Fail) as caught:
            self.commits.lay(commit)
        return caught.exception

    def test_a_commit_gets_all_that_it_lacks(self) -> None:
        files = self.files(self.start)
        self.assertIn("PG_offline_skippable", files[FLAGS])
        self.assertIn("line twenty", files["mm/code.c"])
        self.assertEqual(files["mm/tests/suite.c"], "suite\n")
        self.assertEqual(files["lib/Kconfig.debug"], GLUE)

    def test_kdir_is_not_touched(self) -> None:
        def state() -> Dict[str, bytes]:
            return {str(path): path.read_bytes() for path in self.kernel.rglob("*")
                    if path.is_file()}
        before = state()
        self.files(self.start)
        self.commits.say_what_is_ignored()
        self.commits.am(self.start, [self.repo / "patches/v7.3/1.patch"])
        self.assertEqual(state(), before)

    def test_only_what_differs_from_the_last_commit_is_written(self) -> None:
        second = self.commit("second", {"mm/more.c": "changed\n"})
        self.files(self.start)
        times = {path: path.stat().st_mtime_ns for path in self.commits.tree.rglob("*")
                 if path.is_file()}
        self.files(second)
        self.assertEqual([path.name for path, when in times.items()
                          if path.stat().st_mtime_ns != when], ["more.c"])

    def test_a_checkout_that_was_cut_short_leaves_nothing_behind(self) -> None:
        self.files(self.start)
        (self.commits.work / "checking-out").touch()
        (self.commits.work / "tree.index.lock").touch()
        fixture.lay(self.commits.tree, {"mm/stray.c": "", "mm/more.c": "half"})
        files = self.files(self.start)
        self.assertNotIn("mm/stray.c", files)
        self.assertEqual(files["mm/more.c"], "more\n")
        fixture.lay(self.commits.tree, {"mm/stray.c": ""})
        (self.commits.work / "tree.index").unlink()
        self.assertNotIn("mm/stray.c", self.files(self.start))

    def test_what_a_commit_has_is_its_own(self) -> None:
        whole = self.commit("all of it", {"lib/Kconfig.debug": GLUE, "mm/tests/suite.c": "its\n"})
        self.assertEqual(self.files(whole)["mm/tests/suite.c"], "its\n")
        self.assertNotIn("twenty", self.files(whole)["mm/code.c"])
        part = self.commit("part of it", {
            "lib/Kconfig.debug": fixture.KCONFIG, "mm/tests/suite.c": "its own\n",
            FLAGS: "PG_offline_skippable, done in another way\n",
            "mm/code.c": fixture.CODE.replace("line 20\n", "line twenty\n")})
        files = self.files(part)
        self.assertEqual(files["mm/tests/suite.c"], "its own\n")
        self.assertIn("another way", files[FLAGS])
        self.assertEqual(files["lib/Kconfig.debug"], GLUE)

    def test_without_the_feature_that_the_tip_has_there_is_no_test(self) -> None:
        tip = self.commit("feature", {FLAGS: "PG_offline_skippable\n"})
        self.commits.follow(tip)
        self.commits.lay(tip)
        self.assertEqual(self.refused(self.start).code, Exit.NO_FEATURE)
        self.assertEqual(self.commits.first_with_feature(self.start, tip), tip)

    def test_another_version_cannot_be_tested(self) -> None:
        old = self.commit("7.2", {"Makefile": fixture.MAKEFILE.replace("= 3", "= 2")})
        self.assertIn("linux 7.2.4", self.refused(old).what)
        self.assertEqual(self.refused(old).code, Exit.NO_FEATURE)

    def test_changed_context_is_merged_by_what_the_patch_was_made_from(self) -> None:
        pristine = self.root / "pristine"
        fixture.lay(pristine, {**fixture.KERNEL, FLAGS: fixture.CODE})
        moved = self.commit("context", {"mm/code.c": fixture.CODE.replace("line 18\n", "other\n")})
        self.commit("gone again", {"mm/code.c": fixture.CODE})
        with mock.patch("fetch.source", return_value=pristine):
            code = self.files(moved)["mm/code.c"]
        self.assertIn("line 17\nother\nline 19\nline twenty\n", code)

    def test_a_conflict_names_patch_and_file(self) -> None:
        fail = self.refused(self.commit("conflict", {
            "mm/code.c": fixture.CODE.replace("line 20\n", "something else\n")}))
        self.assertEqual(fail.code, Exit.PATCH)
        self.assertRegex(fail.what, r"1\.patch does not apply to \w{12}: mm/code\.c:17")

    def test_ranges(self) -> None:
        second = self.commit("second", {"mm/more.c": "2\n"})
        third = self.commit("third", {"mm/more.c": "3\n"})
        for text, expected in ((f"{self.start}..", (self.start, [second, third])),
                               ("HEAD~1..HEAD", (second, [third])), ("HEAD", (second, [third]))):
            self.assertEqual(self.commits.range(text), expected)

    def test_a_detached_and_dirty_tree_is_fine_and_the_latter_is_said(self) -> None:
        second = self.commit("second", {"mm/more.c": "2\n"})
        fixture.git(self.kernel, "checkout", "-q", "--detach")
        fixture.lay(self.kernel, {"mm/more.c": "dirty\n"})
        with mock.patch("commits.say") as said:
            self.commits.say_what_is_ignored()
        self.assertIn("uncommitted changes (of 1 file)", said.call_args.args[0])
        self.assertEqual(self.commits.range("HEAD"), (self.start, [second]))
        self.assertEqual(self.files(second)["mm/more.c"], "2\n")

    def test_ranges_that_are_wrong_are_named(self) -> None:
        self.commit("second", {"mm/more.c": "2\n"})
        fixture.git(self.kernel, "checkout", "-q", "--orphan", "other")
        self.commit("unrelated", {})
        fixture.git(self.kernel, "branch", "-f", "copy")
        for text, words in (("HEAD..HEAD", "is empty"), ("master..master~1", "comes before"),
                            ("none..HEAD", "no commit none"), ("master...other", "two branches"),
                            ("master..other", "no history in common"),
                            ("other", "the commit before it")):
            with self.subTest(text), self.assertRaises(Fail) as caught:
                self.commits.range(text)
            self.assertEqual(caught.exception.code, Exit.BAD_INPUT)
            self.assertIn(words, str(caught.exception))

    def test_a_shallow_clone_is_told_to_get_the_rest(self) -> None:
        self.commit("second", {"mm/more.c": "2\n"})
        clone = self.root / "clone"
        fixture.git(self.root, "clone", "-q", "--depth=1", f"file://{self.kernel}", str(clone))
        with self.assertRaises(Fail) as caught:
            commits.Commits(clone, self.repo).range("HEAD~1..HEAD")
        self.assertIn("fetch --unshallow", caught.exception.remedy)

    def test_a_folder_in_a_git_tree_is_no_repository(self) -> None:
        for path in (self.kernel / "mm", self.root, self.root / "none"):
            with self.subTest(path), self.assertRaises(Fail) as caught:
                commits.Commits(path, self.repo)
            self.assertEqual(caught.exception.code, Exit.BAD_INPUT)

    def test_mails_become_commits_until_one_does_not_apply(self) -> None:
        queue: Path = self.repo / "patches/v7.3"
        made, trouble = self.commits.am(self.start, [queue / "0.patch", queue / "1.patch"])
        self.assertEqual([self.commits.describe(commit).subject for commit in made],
                         [f"change {FLAGS}", "change mm/code.c"])
        self.assertIsNone(trouble)
        for before in (fixture.CODE, "elsewhere\n" * 40):  # what a merge goes by: there, and not
            self.patch("9.patch", "mm/code.c", before, before[:150] + "other\n" + before[150:])
            more, trouble = self.commits.am(made[-1], [queue / "2.patch", queue / "9.patch",
                                                       queue / "0.patch"])
            self.assertEqual(len(more), 1)
            assert trouble
            self.assertEqual(trouble.code, Exit.PATCH)
            self.assertRegex(trouble.what, r'"change mm/code\.c" .*mm/code\.c')
        with self.assertRaises(Fail) as caught:
            self.commits.am(self.start, [self.repo / "mm/tests/suite.c"])
        self.assertEqual(caught.exception.code, Exit.BAD_INPUT)

    def test_a_mail_may_be_encoded(self) -> None:
        head, body = fixture.mail("mm/code.c", fixture.CODE, "one\n" + fixture.CODE).split(
            "\n\n", 1)
        mail = self.root / "mail"
        mail.write_text(f"{head}\nMIME-Version: 1.0\nContent-Transfer-Encoding: base64\n"
                        "Content-Type: text/plain; charset=UTF-8\n\n"
                        + base64.encodebytes(body.encode()).decode())
        made, trouble = self.commits.am(self.start, [mail])
        self.assertIsNone(trouble)
        self.assertEqual(self.commits.file(made[0], "mm/code.c"), "one\n" + fixture.CODE)

    def test_a_commit_is_reverted_on_the_tip(self) -> None:
        first = self.commit("first", {"mm/code.c": fixture.CODE.replace("line 1\n", "one\n")})
        tip = self.commit("second", {"mm/more.c": "2\n"})
        undone = self.commits.reverted(first, tip)
        assert undone
        self.assertEqual(self.commits.file(undone, "mm/code.c"), fixture.CODE)
        self.assertEqual(self.commits.file(undone, "mm/more.c"), "2\n")
        tip = self.commit("third", {"mm/code.c": fixture.CODE.replace("line 1\n", "eins\n")})
        self.assertIsNone(self.commits.reverted(first, tip))
