# SPDX-License-Identifier: GPL-2.0
"""Lays the series over a kernel, in git's object database alone.

A kernel is a tree in git: a commit's, that of the fetched source, or what a
working tree is at this moment. What comes out is a tree again; nothing is
written outside of a repository of ours, which borrows the objects of others.
"""

from __future__ import annotations

import re
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import Dict, List, Optional, Set, Tuple

from base.files import REPO, digest
from base.outcome import Exit, Fail
from base.progress import say
from base.project import FEATURE_FILE, MARK, MARK_FILE
from series import conflict, feature
from series import queue as queues
from series import source as sources
from series.git import Repository, first_error


PLACE = re.compile(r"^error: patch failed: (.+):\d+$", re.MULTILINE)
FORM = b"3"  # of what is kept under refs/laid


@dataclass
class Laid:
    """The queue of one kernel version, read once."""

    queue: queues.Queue
    paths: Dict[Path, List[str]]  # of each patch, those that it touches
    new: Dict[str, bytes]
    brought: Dict[Path, List[str]]  # by each patch of the series, of the new files
    key: str  # of all its contents
    remembered: bool = False


@dataclass
class Overlay:
    """Lays queues over trees; `ours` has, or borrows, all objects."""

    ours: Repository
    repo: Path = REPO
    fixes: bool = False  # on top of the series, those for bugs of the kernel
    # What of the last tree was not as the queue has it: another's queue and merges; and where
    # hunks applied at other lines, which is not told of.
    notes: List[str] = field(default_factory=list)
    offsets: List[str] = field(default_factory=list)
    _queues: Dict[str, Laid] = field(default_factory=dict)

    @property
    def _index(self) -> Path:
        return self.ours.home / "overlay.index"

    def has_feature(self, tree: str) -> bool:
        return feature.there(self.ours, tree)

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
            queue.say_what_is_left_out()
            patches = queue.patches() + (queue.fixes() if self.fixes else [])
            new = queue.new_files()
            key = digest(*(patch.read_bytes() for patch in patches),
                         *(part for path, data in new.items() for part in (path.encode(), data)))
            self._queues[version] = Laid(queue, {patch: queues.touched([patch])
                                                 for patch in patches}, new, queue.brought(), key)
        return self._queues[version]

    def lay(self, tree: str, name: str) -> str:
        """The tree with all that it lacks of the series; `name` is for messages."""
        tree = self.ours.git("rev-parse", f"{tree}^{{tree}}").strip()
        version, _ = self.version(tree, name)
        self.notes, self.offsets = [], []
        if self.has_series(tree) and not self.fixes:
            return tree
        laid = self.queue(version)
        # The answer is kept under a name that says what it depends on; its message are the notes.
        memory = f"refs/laid/{digest(tree.encode(), laid.key.encode(), FORM)[:40]}"
        known = self.ours.attempt("log", "-1", "--format=%T%n%B", memory, "--")
        if known.returncode == 0:
            found, *notes = known.stdout.splitlines()
            self.notes = [note for note in notes if note]
        else:
            found = self.steps(tree, name)[-1][1]
            self.ours.git("update-ref", memory, self.ours.git(
                "commit-tree", found, given="\n".join(self.notes)).strip())
        for note in self.notes:
            say(note)
        return found

    def steps(self, tree: str, name: str) -> List[Tuple[Path, str]]:
        """Each patch, and the tree that there is after it and the new files that it brings.

        Nothing is remembered, so that `offsets` is complete as well.
        """
        version, full = self.version(tree, name)
        laid = self.queue(version)
        self.notes, self.offsets = [], []
        if laid.queue.version != version:
            self.notes.append(f"linux {full} has no queue of its own: it takes that of "
                              f"{laid.queue.version}")
        patches, own, found = list(laid.paths), self._own(tree, laid), []
        there: List[Path] = []
        if self.has_series(tree):
            patches = patches[len(laid.brought):]
        elif self.has_feature(tree):
            # Who has the feature has those patches as well that come before it.
            there = patches[:1 + max(at for at, patch in enumerate(patches)
                                     if FEATURE_FILE in laid.paths[patch])]
        self.ours.git("read-tree", tree, index=self._index)
        for patch in patches:
            if patch not in there:
                self._apply(laid, patch, name)
            queues.put(self.ours, self._index,
                       {path: laid.new[path] for path in laid.brought.get(patch, ())
                        if path not in own})
            found.append((patch, self.ours.git("write-tree", index=self._index).strip()))
        return found

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
            self.offsets += [f"{patch.name}: {line}" for line in plain.stderr.splitlines()
                             if "offset" in line]
            return
        without = self._remember(laid)
        if attempt("--3way").returncode:
            raise Fail(Exit.PATCH, f"{patch.name} of {laid.queue.folder.name} does not apply to "
                       f"{name}: " + (conflict.told(self.ours, self._index) or
                                      f"{first_error(plain.stderr)}{without}"),
                       "see what it has changed there; nothing was changed by this run")
        self.notes.append(f"{patch.name} does not apply as it is, and was merged into {name}: "
                          f"{', '.join(self._merged(plain.stderr))}")

    @staticmethod
    def _merged(said: str) -> List[str]:
        """The files in which `git apply` found no place for a hunk."""
        return list(dict.fromkeys(PLACE.findall(said)))

    def _remember(self, laid: Laid) -> str:
        """Have the files that the patches were made from, which a merge goes by."""
        if laid.remembered:
            return ""
        for version in laid.queue.homes():
            try:
                pristine = sources.source(version)
            except Fail as fail:
                return f" (and cannot be merged: {fail.what})"
            home = self.queue(version)
            index = self.ours.home / "pristine.index"
            paths = sorted({path for paths in home.paths.values() for path in paths})
            index.unlink(missing_ok=True)
            queues.put(self.ours, index, {
                path: data for path in paths
                for data in [pristine.file(sources.COMMIT, path)] if data is not None})
            for patch in home.paths:
                self.ours.git("apply", "--cached", str(patch), index=index)
        laid.remembered = True
        return ""

    def put(self, tree: str, patch: Path) -> str:
        """The tree with one more patch, which is not of a queue and has to apply as it is."""
        self.ours.git("read-tree", tree, index=self._index)
        done = self.ours.attempt("apply", "--cached", str(patch), index=self._index)
        if done.returncode:
            raise Fail(Exit.PATCH, f"{patch.name} does not apply: {first_error(done.stderr)}",
                       "see what has changed there, and make the patch anew")
        return self.ours.git("write-tree", index=self._index).strip()


def feature_patch(version: str, repo: Path = REPO) -> Optional[Path]:
    """The patch that brings the feature: the one that adds its flag."""
    for patch in queues.queue_for(version, repo).patches():
        if FEATURE_FILE in queues.touched([patch]):
            return patch
    return None
