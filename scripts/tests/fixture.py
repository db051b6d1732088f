# SPDX-License-Identifier: GPL-2.0
"""A kernel tree of a few lines, and a project with a series for it.

No test needs a network or a tool other than git. To run them all:
cd scripts && python3 -m unittest discover -s tests -t .
"""

from __future__ import annotations

import atexit
import functools
import os
import shutil
import subprocess
import tempfile
import unittest
from pathlib import Path
from typing import Any, Dict
from unittest import mock

from base.outcome import Exit, Fail
from guest.setup import Setup
from series.worktree import Source

MAKEFILE = "VERSION = 7\nPATCHLEVEL = 3\nSUBLEVEL = 4\n"
KCONFIG = "config KUNIT\n\nconfig LAST\n"
CODE = "".join(f"line {number}\n" for number in range(1, 41))
KERNEL = {"Makefile": MAKEFILE, "Kbuild": "", "lib/Kconfig.debug": KCONFIG, "mm/code.c": CODE,
          "mm/other.c": "other\n"}
SIGNED = "\n\nSigned-off-by: The developers <developers@project.example>\n---\n"
# What a kernel with the feature is known by.
FEATURE = {"include/linux/page-flags.h": "PG_offline_skippable\nPAGEFLAG(OfflineSkippable)\n",
           "drivers/virtio/virtio_mem.c": "SetPageOfflineSkippable();\n",
           **{f"mm/{name}.c": "PageOfflineSkippable();\n"
              for name in ("memory_hotplug", "page_alloc", "page_isolation")}}


def lay(folder: Path, files: Dict[str, str]) -> None:
    """Write files, and the folders that they are in."""
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)


def git(folder: Path, *arguments: str) -> str:
    # Bare of what the user has set, hooks and signing keys above all.
    env = {**os.environ, "HOME": "/nonexistent", "XDG_CONFIG_HOME": "/nonexistent",
           "GIT_CONFIG_NOSYSTEM": "1"}
    return subprocess.run(["git", "-C", str(folder), "-c", "user.name=T", "-c", "user.email=t@t",
                           *arguments], env=env, check=True, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True).stdout


def make_git(folder: Path) -> None:
    git(folder, "init", "-q")
    git(folder, "config", "user.name", "T")
    git(folder, "config", "user.email", "t@t")
    git(folder, "add", "-A")
    git(folder, "commit", "-q", "-m", "start")


@functools.lru_cache(maxsize=None)
def mail(path: str, before: str, after: str, note: str = "") -> str:
    """What git format-patch makes of a change, with a note below its `---`."""
    with tempfile.TemporaryDirectory() as held:
        work = Path(held)
        lay(work, {path: before})
        make_git(work)
        lay(work, {path: after})
        git(work, "commit", "-q", "-a", "-m", f"change {path}")
        text = git(work, "format-patch", "-1", "--full-index", "--no-signature", "--stdout")
        return text.replace("\n---\n", f"\n---\n{note}\n", 1)


@functools.lru_cache(maxsize=None)
def _project() -> Path:
    """Made once, as it takes git a while; each test gets a copy."""
    held = tempfile.TemporaryDirectory()
    atexit.register(held.cleanup)
    repo = Path(held.name) / "repo"
    lay(repo, {
        ".gitignore": "/build/\n", "mm/tests/suite.c": "suite\n",
        "patches/v7.3/series": "# a comment\n1.patch\n2.patch -p1\n"})
    lay(repo / "patches/v7.3", {
        "1.patch": mail("mm/code.c", CODE, CODE.replace("line 20\n", "line twenty\n")),
        "2.patch": mail("lib/Kconfig.debug", KCONFIG, KCONFIG.replace(
            "config LAST\n", "config OFFLINE_SKIPPABLE_KUNIT_TEST\n\nconfig LAST\n"),
            "New-files: mm/tests/* lib/*")})
    make_git(repo)
    return repo


class Case(unittest.TestCase):
    """Gives each test a kernel at self.kernel and a project at self.repo."""

    def setUp(self) -> None:
        held = tempfile.TemporaryDirectory()
        self.addCleanup(held.cleanup)
        self.root = Path(held.name).resolve()
        self.kernel, self.repo = self.root / "linux", self.root / "repo"
        lay(self.kernel, KERNEL)
        shutil.copytree(_project(), self.repo)
        # The cache is the test's own, and nothing is fetched into it.
        self.replace(
            mock.patch.dict(os.environ, {"XDG_CACHE_HOME": str(self.root / "cache")}),
            mock.patch("series.source._fetch",
                       side_effect=Fail(Exit.MISSING, "no network", "connect to it")))

    def replace(self, *patchers: Any) -> None:
        """Have mock's patches in force until the test ends."""
        for patcher in patchers:
            patcher.start()
            self.addCleanup(patcher.stop)

    def patch(self, name: str, path: str, before: str, after: str) -> None:
        """Write a patch of the series."""
        (self.repo / "patches/v7.3" / name).write_text(mail(path, before, after))

    def sign_patches(self) -> None:
        """Have the patches of the series signed by somebody made up, as ours are."""
        for patch in (self.repo / "patches/v7.3").glob("*.patch"):
            patch.write_text(patch.read_text().replace("\n---\n", SIGNED, 1))

    def commit(self, subject: str, files: Dict[str, str]) -> str:
        """A commit in the kernel, which is a git tree from then on."""
        if not (self.kernel / ".git").exists():
            make_git(self.kernel)
        lay(self.kernel, files)
        git(self.kernel, "add", "-A")
        git(self.kernel, "commit", "-q", "-m", subject)
        return git(self.kernel, "rev-parse", "HEAD").strip()

    def source(self) -> Source:
        """The kernel, as --kdir=."""
        return Source("7.3", self.kernel)

    def setup(self, **given: Any) -> Setup:
        return Setup(**given)
