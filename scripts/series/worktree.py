# SPDX-License-Identifier: GPL-2.0
"""A kernel tree with the series applied, below build/tree/, up to date with what it comes from.

git writes only the files that differ from what was there, so that a build
after it compiles what is new and nothing else. What somebody has edited in
there stays, and is refused where it is in the way.
"""

from __future__ import annotations

import re
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Optional, Tuple

from base.files import REPO, digest, fresh, need_space, write
from base.outcome import Exit, Fail
from base.progress import Progress
from series.git import Repository
from series.overlay import Overlay
from series.snapshot import safe_name, snapshot
from series.source import pristine, source

IN_THE_WAY = re.compile(r"^error: Entry '(.+)' not uptodate|^\t(\S.*)$"
                        r"|^error: (?:Untracked working tree file|Entry) '(.+)' (?:would|overlaps)",
                        re.MULTILINE)


@dataclass(frozen=True)
class Source:
    """Which kernel: a tree of the user's, or a version to be fetched."""

    kernel: str
    kdir: Optional[Path] = None
    fixes: bool = False  # for bugs of the kernel, on top of the series


@dataclass(frozen=True)
class Tree:
    """A tree to build, what it was made from and what it is, as trees of `ours`."""

    path: Path
    version: str  # X.Y.Z
    base: str
    id: str
    ours: Repository
    notes: Tuple[str, ...] = ()  # how the series came in, if not as the queue has it


class Checkout:
    """A working tree of ours; its index and what it was brought to lie beside the objects."""

    def __init__(self, ours: Repository, path: Path) -> None:
        self.ours, self.path = ours, path
        self.index = ours.home / f"{path.name}.tree-index"
        self.at = ours.home / f"{path.name}.at"  # the tree; and while there are two, the next

    def to(self, tree: str, force: bool = False) -> None:
        """Bring it to a tree. What is edited there is refused, or with `force`, lost."""
        known = self.at.read_text().split() if self.at.exists() and self.index.exists() else []
        if not known or not self.path.is_dir():
            self._anew(tree)
        elif known == [tree]:
            return
        else:
            if len(known) > 1:
                self._drop(known[0], known[1])
            self._switch(known[0], tree, force)
        write(self.at, f"{tree}\n".encode())

    def _anew(self, tree: str) -> None:
        need_space(self.path.parent, 2)
        self.at.unlink(missing_ok=True)
        self.index.unlink(missing_ok=True)
        fresh(self.path)
        with Progress(f"checking out a kernel tree at {self.path}"):
            self.ours.git("read-tree", "--reset", "-u", tree, index=self.index, work=self.path)

    def _switch(self, old: str, new: str, force: bool) -> None:
        if not self.ours.attempt("cat-file", "-e", f"{old}^{{tree}}").returncode == 0:
            self._anew(new)
            return
        write(self.at, f"{old}\n{new}\n".encode())
        done = self._merge(old, new)
        if done.returncode:  # perhaps files that were only touched
            self.ours.attempt("update-index", "-q", "--refresh", index=self.index, work=self.path)
            done = self._merge(old, new)
        if done.returncode and force:
            self.ours.git("read-tree", "--reset", "-u", new, index=self.index, work=self.path)
            self.ours.git("clean", "-ffdxq", index=self.index, work=self.path)
        elif done.returncode:
            write(self.at, f"{old}\n".encode())  # git looks at all files before it writes any
            names = [name for found in IN_THE_WAY.findall(done.stderr) for name in found if name]
            raise Fail(Exit.BAD_INPUT, f"{', '.join(names) or done.stderr.strip()} in {self.path} "
                       "would be overwritten, and has changes that the series does not have",
                       "take the changes over into this repository, or delete the file there to "
                       "drop them; then run the same command again")

    def _merge(self, old: str, new: str) -> subprocess.CompletedProcess[str]:
        return self.ours.attempt("read-tree", "-m", "-u", old, new, index=self.index,
                                 work=self.path)

    def _drop(self, old: str, new: str) -> None:
        """A run was cut short among its files; these may be of the one, the other, or halves."""
        for name in self.ours.changed(old, new):
            path = self.path / name
            if path.is_file() or path.is_symlink():
                path.unlink()


def repository_for(kdir: Optional[Path], kernel: str, repo: Path = REPO) -> Repository:
    """Ours that goes with a tree of the user's, or with a fetched kernel."""
    if kdir is None:
        ours = Repository(repo / "build" / "git" / f"linux-{kernel}.git")
        ours.borrow(source(kernel).objects)
        return ours
    name = f"{safe_name(kdir)}-{digest(str(kdir).encode())[:8]}"
    return Repository(repo / "build" / "git" / f"{name}.git")


def resolved(kdir: Path) -> Path:
    found = kdir.resolve()
    if not found.is_dir():
        raise Fail(Exit.BAD_INPUT, f"KDIR={kdir} is not there",
                   "pass the top folder of a Linux source tree as --kdir=")
    return found


def refuse_place(repo: Path = REPO) -> None:
    """kbuild splits paths at spaces and lists of them at colons."""
    if re.search(r"[\s:]", str(repo)):
        raise Fail(Exit.BAD_INPUT, f"kbuild cannot work below {repo}: a path with a space or a "
                   "colon is more than make can take", "move this repository elsewhere; KDIR "
                   "may have such a path")


def prepare(given: Source, repo: Path = REPO) -> Tree:
    """The tree to build, up to date with its source and the series. The caller has the lock."""
    refuse_place(repo)
    kdir = resolved(given.kdir) if given.kdir else None
    ours = repository_for(kdir, given.kernel, repo)
    if kdir:
        base = snapshot(kdir, ours, "kdir")
        name = ours.home.stem
    else:
        base = ours.git("rev-parse", f"{pristine(given.kernel)}^{{tree}}").strip()
        name = f"linux-{given.kernel}"
    if given.fixes:  # beside the other, as both are built in turn
        name += "-fixes"
    overlay = Overlay(ours, repo, given.fixes)
    where = str(kdir or f"linux {given.kernel}")
    version = overlay.version(base, where)[1]
    tree = overlay.lay(base, where)
    checkout = Checkout(ours, repo / "build" / "tree" / name)
    checkout.to(tree)
    return Tree(checkout.path, version, base, tree, ours, tuple(overlay.notes))
