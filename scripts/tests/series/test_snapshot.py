# SPDX-License-Identifier: GPL-2.0
from __future__ import annotations

import os
import shutil
import time
from typing import Dict, List

from base.outcome import Fail
from series.git import Repository
from series.snapshot import snapshot
from tests import fixture


class SnapshotTest(fixture.Case):
    """In a git tree and in a plain one."""

    def setUp(self) -> None:
        super().setUp()
        self.ours = Repository(self.root / "ours.git")

    def snap(self) -> str:
        return snapshot(self.kernel, self.ours, "kdir")

    def paths(self) -> List[str]:
        return self.ours.git("ls-tree", "-r", "--name-only", self.snap()).splitlines()

    def test_uncommitted_and_untracked_files_are_in_it(self) -> None:
        for in_git in (False, True):
            with self.subTest(in_git=in_git):
                if in_git:
                    fixture.make_git(self.kernel)
                fixture.lay(self.kernel, {"mm/other.c": f"edited {in_git}\n", "new.c": "new\n"})
                self.assertEqual(self.ours.text(self.snap(), "mm/other.c"), f"edited {in_git}\n")
                self.assertIn("new.c", self.paths())

    def test_an_edit_of_the_same_size_and_time_is_seen(self) -> None:
        for in_git in (False, True):
            with self.subTest(in_git=in_git):
                if in_git:
                    fixture.make_git(self.kernel)
                file = self.kernel / "mm/other.c"
                self.snap()
                before = file.stat()
                time.sleep(1.1)  # git may go by whole seconds of the time of change
                file.write_text(f"{'OTHER' if in_git else 'oTHER'}\n")
                os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
                self.assertEqual(self.ours.text(self.snap(), "mm/other.c"), file.read_text())

    def test_the_repository_and_the_index_stay_as_they_are(self) -> None:
        fixture.make_git(self.kernel)
        fixture.lay(self.kernel, {"mm/other.c": "edited\n", "new.c": "new\n"})

        def state() -> Dict[str, bytes]:
            return {str(path): path.read_bytes() for path in self.kernel.rglob("*")
                    if path.is_file()}
        before = state()
        self.snap()
        self.assertEqual(state(), before)

    def test_what_git_ignores_is_left_out_unless_it_is_tracked(self) -> None:
        fixture.lay(self.kernel, {".gitignore": "*.o\n", "mm/kept.o": "kept\n"})
        fixture.git(self.kernel, "init", "-q")
        fixture.git(self.kernel, "add", "-f", "mm/kept.o")
        fixture.make_git(self.kernel)
        fixture.lay(self.kernel, {"mm/built.o": ""})
        (self.kernel / "mm/other.c").unlink()
        paths = self.paths()
        self.assertIn("mm/kept.o", paths)
        self.assertNotIn("mm/built.o", paths)
        self.assertNotIn("mm/other.c", paths)

    def test_a_file_may_become_a_folder_and_a_folder_a_file(self) -> None:
        for in_git in (False, True):
            with self.subTest(in_git=in_git):
                fixture.lay(self.kernel, {"thing": "file\n"})
                if in_git:
                    fixture.make_git(self.kernel)
                self.assertIn("thing", self.paths())
                (self.kernel / "thing").unlink()
                fixture.lay(self.kernel, {"thing/inside": "file\n"})
                self.assertIn("thing/inside", self.paths())
                shutil.rmtree(self.kernel / "thing")

    def test_a_submodule_is_not_in_the_way(self) -> None:
        fixture.lay(self.root / "sub", {"file": "sub\n"})
        fixture.make_git(self.root / "sub")
        fixture.make_git(self.kernel)
        fixture.git(self.kernel, "-c", "protocol.file.allow=always", "submodule", "--quiet", "add",
                    str(self.root / "sub"), "sub")
        fixture.git(self.kernel, "commit", "-q", "-m", "submodule")
        self.assertIn("sub", self.paths())

    def test_a_lock_of_a_git_that_was_killed_is_no_obstacle(self) -> None:
        fixture.make_git(self.kernel)
        self.snap()
        (self.ours.home / "kdir.index.lock").touch()
        (self.kernel / ".git/index.lock").touch()
        self.snap()

    def test_a_split_index_is_read(self) -> None:
        fixture.make_git(self.kernel)
        fixture.git(self.kernel, "update-index", "--split-index")
        self.assertIn("mm/code.c", self.paths())

    def test_a_plain_tree_that_was_built_in_is_refused(self) -> None:
        fixture.lay(self.kernel, {".config": ""})
        with self.assertRaises(Fail) as caught:
            self.snap()
        self.assertIn("mrproper", caught.exception.remedy)

    def test_links_are_links(self) -> None:
        (self.kernel / "folder").symlink_to("mm")
        for in_git in (False, True):
            if in_git:
                fixture.make_git(self.kernel)
            self.assertIn("120000 blob", self.ours.git("ls-tree", self.snap(), "folder"))
