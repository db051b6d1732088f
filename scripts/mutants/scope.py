# SPDX-License-Identifier: GPL-2.0
"""What is to be broken: of which tree, which files, and which of their lines."""

from __future__ import annotations

from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Dict, List, Mapping, Sequence

from base.files import REPO, entries
from base.outcome import Exit, Fail
from commits import mails
from commits.repository import Commits
from mutants.find import ENCODING, OPERATORS, Change, Mutant, between, undo
from series.overlay import feature_patch
from series.worktree import Source, Tree, prepare

FILES = OPERATORS / "files"
# What is on the kernel's command line, one boot after the other; and of whole files,
# much of which does nothing unless it is asked for.
USUAL: Sequence[Sequence[str]] = ((),)
ALL = (*USUAL, ("memory_hotplug.memmap_on_memory=force", "memhp_default_state=online_movable",
                "memory_hotplug.online_policy=auto-movable"))


@dataclass(frozen=True)
class Scope:
    """The part of a tree that is broken."""

    what: str
    tree: Tree
    changes: Dict[str, Change]
    functions: Mapping[str, Sequence[str]] = field(default_factory=dict)  # patterns, by file
    command_lines: Sequence[Sequence[str]] = USUAL
    complete: bool = False  # has it all of the feature, so all that is excused?

    def has(self, mutant: Mutant) -> bool:
        """Are mutants of that function wanted?"""
        return any(fnmatchcase(mutant.function, pattern)
                   for pattern in self.functions.get(mutant.path, "*"))


def files(listed: Path = FILES) -> Dict[str, List[str]]:
    """The files that are about memory hotplug, and which functions of each."""
    return {path: patterns for path, *patterns in map(str.split, entries(listed))}


def of_feature(source: Source) -> Scope:
    """What the feature's patch changes."""
    tree = prepare(source)
    version = tree.version.rsplit(".", 1)[0]
    patch = feature_patch(version)
    if not patch:
        raise Fail(Exit.BAD_INPUT, f"no patch for linux {version} brings the feature",
                   "there is nothing to break, then; pass another --kernel= or --kdir=")
    return Scope("the feature", tree, undo(tree, patch), complete=True)


def of_files(source: Source) -> Scope:
    """All of the files that are about memory hotplug."""
    tree, listed = prepare(source), files()
    return Scope("memory hotplug", tree,
                 {path: Change.whole((tree.path / path).read_bytes().decode(ENCODING))
                  for path in listed}, listed, ALL)


def of_series(source: Source, span: str, mbox: Sequence[Path], start: str,
              repo: Path = REPO) -> Scope:
    """The lines that a series of the user's touches: a range of commits, or mails on a base."""
    found = mails.files(mbox) if mbox else []  # before a kernel is fetched in vain
    commits = Commits(source.kdir, source.kernel, repo)
    if mbox:
        base, made, trouble = mails.onto(commits, start, found)
        if trouble:
            raise trouble
        tip = made[-1]
    else:
        base, listed = commits.range(span)
        commits.see_that_all_is_there([base, listed[-1]])
        tip = listed[-1]
    commits.follow(tip)
    after = commits.lay(tip)
    before = base if commits.carried else commits.lay(base)
    paths = [path for path in commits.ours.git(
        "diff-tree", "-r", "-z", "--name-only", "--no-renames", "--diff-filter=AM", base,
        tip).split("\0") if path.endswith(".c")]
    version = commits.overlay.version(tip, tip[:12])[1]
    tree = Tree(commits.check_out(after), version, before, after, commits.ours)
    return Scope(span or "the mails", tree, between(commits.ours, before, after, paths))
