# SPDX-License-Identifier: GPL-2.0
from __future__ import annotations

from pathlib import Path
from typing import Dict
from unittest import mock

from base.outcome import Exit, Fail
from commits.repository import Commits
from series.git import Repository
from series.snapshot import snapshot
from series.source import COMMIT
from tests import fixture

FLAGS = "include/linux/page-flags.h"
GLUE = fixture.KCONFIG.replace("config LAST\n",
                               "config OFFLINE_SKIPPABLE_KUNIT_TEST\n\nconfig LAST\n")


class CommitsCase(fixture.Case):
    """The series of the fixture is: a change, new files, the glue; here, and first, the feature."""

    def setUp(self) -> None:
        super().setUp()
        fixture.lay(self.kernel, {FLAGS: fixture.CODE})
        self.patch("0.patch", FLAGS, fixture.CODE,
                   fixture.CODE.replace("line 20\n", "PG_offline_skippable\n"))
        series = self.repo / "patches/v7.3/series"
        series.write_text("0.patch\n" + series.read_text())
        self.start = self.commit("base", {"mm/more.c": "more\n"})
        self.commits = Commits(self.kernel, repo=self.repo)

    def state(self, folder: Path) -> Dict[str, bytes]:
        return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


class CommitsTest(CommitsCase):
    def files(self, commit: str) -> Dict[str, str]:
        """What a commit is with the suite laid over it, checked out."""
        tree = self.commits.check_out(self.commits.lay(commit))
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
        before = self.state(self.kernel)
        (self.kernel / "mm/more.c").touch()  # `git status` would note that in the index
        self.files(self.start)
        self.commits.say_what_is_ignored()
        self.commits.see_that_all_is_there([self.start])
        self.assertEqual(self.state(self.kernel), before)

    def test_only_what_differs_from_the_last_commit_is_written(self) -> None:
        second = self.commit("second", {"mm/more.c": "changed\n"})
        self.files(self.start)
        tree = self.commits.checkout.path
        times = {path: path.stat().st_mtime_ns for path in tree.rglob("*") if path.is_file()}
        self.files(second)
        self.assertEqual([path.name for path, when in times.items()
                          if path.stat().st_mtime_ns != when], ["more.c"])

    def test_what_is_edited_in_our_tree_is_in_no_commits_way(self) -> None:
        second = self.commit("second", {"mm/more.c": "changed\n"})
        self.files(self.start)
        fixture.lay(self.commits.checkout.path, {"mm/more.c": "edited\n"})
        self.assertEqual(self.files(second)["mm/more.c"], "changed\n")

    def test_locks_of_a_git_that_was_killed_are_in_nobodys_way(self) -> None:
        second = self.commit("second", {"mm/more.c": "changed\n"})
        self.files(self.start)
        home = self.commits.ours.home
        for name in (f"{self.commits.checkout.index.name}.lock", "overlay.index.lock",
                     "kunit.index.lock", "HEAD.lock", "packed-refs.lock"):
            (home / name).touch()
        for ref in ("bisect/bad", "laid/x", "heads/main"):
            fixture.lay(home, {f"refs/{ref}.lock": ""})
        self.commits = Commits(self.kernel, repo=self.repo)
        self.assertEqual(self.files(second)["mm/more.c"], "changed\n")
        self.commits.ours.git("update-ref", "--no-deref", "HEAD", second)
        self.commits.bisect("start", "--no-checkout", second, self.start)

    def test_what_a_commit_has_is_its_own(self) -> None:
        whole = self.commit("all of it", {"lib/Kconfig.debug": GLUE, "mm/tests/suite.c": "its\n"})
        self.assertEqual(self.files(whole)["mm/tests/suite.c"], "its\n")
        self.assertNotIn("twenty", self.files(whole)["mm/code.c"])
        part = self.commit("part of it", {
            "lib/Kconfig.debug": fixture.KCONFIG, "mm/tests/suite.c": "its own\n",
            **fixture.FEATURE, FLAGS: fixture.FEATURE[FLAGS] + "done in another way\n",
            "mm/code.c": fixture.CODE.replace("line 20\n", "line twenty\n")})
        files = self.files(part)
        self.assertEqual(files["mm/tests/suite.c"], "its own\n")
        self.assertIn("another way", files[FLAGS])
        self.assertEqual(files["lib/Kconfig.debug"], GLUE)

    def test_without_the_feature_that_the_tip_has_there_is_no_test(self) -> None:
        tip = self.commit("feature", fixture.FEATURE)
        self.commits.follow(tip)
        self.commits.lay(tip)
        self.assertEqual(self.refused(self.start).code, Exit.NO_FEATURE)
        self.assertEqual(self.commits.first_with_feature(self.start, tip), tip)

    def test_another_version_takes_the_nearest_queue(self) -> None:
        old = self.commit("7.2", {"Makefile": fixture.MAKEFILE.replace("= 3", "= 2")})
        self.assertIn("line twenty", self.files(old)["mm/code.c"])
        self.assertIn("takes that of 7.3", self.commits.overlay.notes[0])

    def test_half_of_the_feature_is_no_commits_fault(self) -> None:
        half = self.commit("half", {FLAGS: fixture.FEATURE[FLAGS]})
        self.assertEqual(self.refused(half).code, Exit.NO_FEATURE)
        self.assertEqual(self.commits.first_with_feature(self.start, half), half)

    def test_changed_context_is_merged_by_what_the_patch_was_made_from(self) -> None:
        fixture.lay(self.root / "pristine", {**fixture.KERNEL, FLAGS: fixture.CODE})
        pristine = Repository(self.root / "pristine.git")
        tree = snapshot(self.root / "pristine", pristine, "kdir")
        pristine.git("update-ref", COMMIT, pristine.git("commit-tree", tree, "-m", "x").strip())
        moved = self.commit("context", {"mm/code.c": fixture.CODE.replace("line 18\n", "other\n")})
        self.commit("gone again", {"mm/code.c": fixture.CODE})
        with mock.patch("series.source.source", return_value=pristine):
            code = self.files(moved)["mm/code.c"]
        self.assertIn("line 17\nother\nline 19\nline twenty\n", code)

    def test_one_after_the_other_is_as_one_by_one(self) -> None:
        commits = [self.start]
        for number, files in enumerate([
                {"mm/more.c": "2\n"}, {"mm/new.c": "new\n"}, {"mm/code.c": "1\n" + fixture.CODE},
                {"mm/more.c": "3\n", "other/x.c": "x\n"}, {"mm/tests/suite.c": "its own\n"},
                {"mm/more.c": "4\n"}, {"Makefile": fixture.MAKEFILE.replace("= 4", "= 5")},
                fixture.FEATURE, {"mm/more.c": "5\n"}]):
            commits.append(self.commit(f"commit {number}", files))
        fixture.git(self.kernel, "rm", "-q", "mm/new.c")
        commits.append(self.commit("one file less", {}))
        for commit in commits:
            with self.subTest(self.commits.describe(commit).subject):
                alone = Commits(self.kernel, repo=self.repo)
                self.assertEqual(self.commits.lay(commit), alone.lay(commit))

    def test_a_conflict_names_patch_and_file(self) -> None:
        fail = self.refused(self.commit("conflict", {
            "mm/code.c": fixture.CODE.replace("line 20\n", "something else\n")}))
        self.assertEqual(fail.code, Exit.PATCH)
        self.assertRegex(fail.what, r"1\.patch of v7\.3 does not apply to \w{12}: mm/code\.c:20")

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
        with mock.patch("commits.repository.say") as said:
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

    def test_a_folder_in_a_git_tree_is_no_repository(self) -> None:
        for path in (self.kernel / "mm", self.root, self.root / "none"):
            with self.subTest(path), self.assertRaises(Fail) as caught:
                Commits(path, repo=self.repo)
            self.assertEqual(caught.exception.code, Exit.BAD_INPUT)

    def test_a_commit_is_reverted_on_the_tip(self) -> None:
        first = self.commit("first", {"mm/code.c": fixture.CODE.replace("line 1\n", "one\n")})
        tip = self.commit("second", {"mm/more.c": "2\n"})
        undone = self.commits.reverted(first, tip)
        assert undone
        self.assertEqual(self.commits.ours.text(undone, "mm/code.c"), fixture.CODE)
        self.assertEqual(self.commits.ours.text(undone, "mm/more.c"), "2\n")
        tip = self.commit("third", {"mm/code.c": fixture.CODE.replace("line 1\n", "eins\n")})
        self.assertIsNone(self.commits.reverted(first, tip))

    def test_kunit_py_stays_when_the_tree_moves_on(self) -> None:
        tool = "tools/testing/kunit/kunit.py"
        first = self.commit("first", {tool: "first\n"})
        second = self.commit("second", {tool: "second\n", "mm/more.c": "2\n"})
        third = self.commit("third", {"mm/more.c": "3\n"})
        homes = [self.commits.kunit(commit) for commit in (first, second, third)]
        self.assertEqual([(home / tool).read_text() for home in homes],
                         ["first\n", "second\n", "second\n"])
        self.assertEqual(homes[1], homes[2])
        with self.assertRaises(Fail):
            self.commits.kunit(self.start)


class CloneTest(CommitsCase):
    def setUp(self) -> None:
        super().setUp()
        self.second = self.commit("second", {"mm/more.c": "2\n"})
        fixture.git(self.kernel, "config", "uploadpack.allowFilter", "true")

    def clone(self, *options: str) -> Path:
        fixture.git(self.root, "clone", "-q", "--no-local", *options, str(self.kernel), "clone")
        return self.root / "clone"

    def test_a_shallow_clone_is_told_to_get_the_rest(self) -> None:
        commits = Commits(self.clone("--depth=1"), repo=self.repo)
        with self.assertRaises(Fail) as caught:
            commits.range("HEAD~1..HEAD")
        self.assertIn("fetch --unshallow", caught.exception.remedy)

    def test_a_clone_without_files_is_told_so(self) -> None:
        commits = Commits(self.clone("--filter=blob:none", "--no-checkout"), repo=self.repo)
        with self.assertRaises(Fail) as caught:
            commits.see_that_all_is_there([self.start, self.second])
        self.assertEqual(caught.exception.code, Exit.BAD_INPUT)
        self.assertIn("partial clone", caught.exception.what)
        self.assertIn("--refetch", caught.exception.remedy)

    def test_a_partial_clone_that_has_the_files_will_do(self) -> None:
        commits = Commits(self.clone("--filter=blob:limit=1m"), repo=self.repo)
        commits.see_that_all_is_there([self.start, self.second])

    def test_gits_own_hint_about_an_owner_is_shown(self) -> None:
        said = ("fatal: detected dubious ownership in repository at '/x'\n"
                "To add an exception for this directory, call:\n\n"
                "\tgit config --global --add safe.directory /x\n")
        with mock.patch("series.git.run", return_value=mock.Mock(
                returncode=128, stdout="", stderr=said)), self.assertRaises(Fail) as caught:
            Commits(self.kernel, repo=self.repo)
        self.assertIn("safe.directory /x", caught.exception.what)
