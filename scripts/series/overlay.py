# SPDX-License-Identifier: GPL-2.0
"""Lays the series over a kernel, in git's object database alone.

A kernel is a tree in git: a commit's, that of the fetched source, or what a
working tree is at this moment. What comes out is a tree again; nothing is
written outside of a repository of ours, which borrows the objects of others.
"""

from __future__ import annotations

import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import Dict, List, Optional, Set, Tuple

from base.files import REPO, digest
from base.outcome import Exit, Fail
from base.progress import say
from base.project import FEATURE, FEATURE_FILE, MARK, MARK_FILE
from series import queue as queues
from series import source as sources
from series.git import Repository, first_error


@dataclass
class Laid:
    """The queue of one kernel version, read once."""

    queue: queues.Queue
    paths: Dict[Path, List[str]]  # of each patch, those that it touches
    new: Dict[str, bytes]
    key: str  # of all its contents
    remembered: bool = False


@dataclass
class Overlay:
    """Lays queues over trees; `ours` has, or borrows, all objects."""

    ours: Repository
    repo: Path = REPO
    notes: List[str] = field(default_factory=list)  # git's remarks about hunks and merges
    _queues: Dict[str, Laid] = field(default_factory=dict)

    @property
    def _index(self) -> Path:
        return self.ours.home / "overlay.index"

    def has_feature(self, tree: str) -> bool:
        return FEATURE in self.ours.text(tree, FEATURE_FILE)

    def has_series(self, tree: str) -> bool:
        return MARK in self.ours.text(tree, MARK_FILE)

    def version(self, tree: str, name: str) -> Tuple[str, str]:
        """X.Y and X.Y.Z of a tree, or why it is not one."""
        found = queues.version_in(self.ours.text(tree, "Makefile"))
        if not found or self.ours.file(tree, "Kbuild") is None:
            raise Fail(Exit.BAD_INPUT, f"{name} is not a Linux kernel",
                       "pass the top folder of a Linux source tree as --kdir=")
        return found

    def queue(self, version: str) -> Laid:
        if version not in self._queues:
            queue = queues.queue_for(version, self.repo)
            queue.check_mark()
            queue.say_what_is_left_out()
            patches, new = queue.patches(), queue.new_files()
            key = digest(*(patch.read_bytes() for patch in patches),
                         *(part for path, data in new.items() for part in (path.encode(), data)))
            self._queues[version] = Laid(queue, {patch: queues.touched([patch])
                                                 for patch in patches}, new, key)
        return self._queues[version]

    def lay(self, tree: str, name: str) -> str:
        """The tree with all that it lacks of the series; `name` is for messages."""
        tree = self.ours.git("rev-parse", f"{tree}^{{tree}}").strip()
        version, _ = self.version(tree, name)
        if self.has_series(tree):
            return tree
        laid = self.queue(version)
        # The answer is kept under a name that says what it depends on.
        memory = f"refs/laid/{digest(tree.encode(), laid.key.encode())[:40]}"
        known = self.ours.attempt("rev-parse", "--quiet", "--verify", f"{memory}^{{tree}}")
        if known.returncode == 0:
            return known.stdout.strip()
        found = self.lay_anew(tree, name, laid)
        self.ours.git("update-ref", memory, found)
        return found

    def lay_anew(self, tree: str, name: str, laid: Laid) -> str:
        """The same, whatever is remembered; `notes` tells of offsets and merges."""
        feature = self.has_feature(tree)
        self.ours.git("read-tree", tree, index=self._index)
        for patch, paths in laid.paths.items():
            if not (feature and FEATURE_FILE in paths):
                self._apply(laid, patch, name)
        own = self._own(tree, laid)
        queues.put(self.ours, self._index,
                   {path: data for path, data in laid.new.items() if path not in own})
        return self.ours.git("write-tree", index=self._index).strip()

    def _own(self, tree: str, laid: Laid) -> Set[str]:
        """New files that the tree has already: it is its own that count."""
        if not laid.new:
            return set()
        return set(self.ours.git("ls-tree", "-r", "--name-only", "-z", tree, "--",
                                 *sorted(laid.new)).split("\0"))

    def _apply(self, laid: Laid, patch: Path, name: str) -> None:
        """Apply a patch, unless it is in already."""
        def attempt(*how: str) -> subprocess.CompletedProcess[str]:
            return self.ours.attempt("apply", "--cached", *how, str(patch), index=self._index)

        if attempt("--reverse", "--check").returncode == 0:
            return
        plain = attempt("--verbose")
        if plain.returncode == 0:
            self.notes += [f"{patch.name}: {line}" for line in plain.stderr.splitlines()
                           if "offset" in line]
            return
        without = self._remember(laid)
        if attempt("--3way").returncode:
            raise Fail(Exit.PATCH, f"{patch.name} does not apply to {name}: "
                       f"{first_error(plain.stderr)}{without}",
                       "see what it has changed there; nothing was changed by this run")
        self.notes.append(f"{patch.name}: merged three-way")
        say(f"{patch.name} does not apply as it is, and was merged into {name}")

    def _remember(self, laid: Laid) -> str:
        """Have the files that the patches were made from, which a merge goes by."""
        if laid.remembered:
            return ""
        try:
            pristine = sources.source(laid.queue.version)
        except Fail as fail:
            return f" (and cannot be merged: {fail.what})"
        index = self.ours.home / "pristine.index"
        paths = sorted({path for paths in laid.paths.values() for path in paths})
        index.unlink(missing_ok=True)
        queues.put(self.ours, index, {
            path: data for path in paths
            for data in [pristine.file(sources.COMMIT, path)] if data is not None})
        for patch in laid.paths:
            self.ours.git("apply", "--cached", str(patch), index=index)
        laid.remembered = True
        return ""

    def changed(self, old: str, new: str) -> List[str]:
        """The paths in which two trees differ."""
        listed = self.ours.git("diff-tree", "-r", "-z", "--name-only", "--no-renames", old, new)
        return [path for path in listed.split("\0") if path]


def feature_patch(version: str, repo: Path = REPO) -> Optional[Path]:
    """The patch that brings the feature: the one that adds its flag."""
    for patch in queues.queue_for(version, repo).patches():
        if FEATURE_FILE in queues.touched([patch]):
            return patch
    return None
