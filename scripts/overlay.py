# SPDX-License-Identifier: GPL-2.0
"""Works out what a queue makes of a kernel's files, beside the kernel.

Only the files that the queue touches are copied and patched; `git apply`
does it, with every context line in place (offsets are allowed). A tree
gets the finished files or none.
"""

from __future__ import annotations

import re
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import List, Sequence, Set

from host import child_env, fresh, install, run
from verdict import Exit, Fail


@dataclass(frozen=True)
class Overlay:
    """The finished files lie in `folder`; of `paths`, a deleted one is not there."""

    folder: Path
    paths: List[str]
    notes: List[str]  # git's remarks about hunks found at an offset


def _git_apply(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    # Inside a repository git would skip, silently, all that lies outside of the folder.
    env = {**child_env(), "GIT_CEILING_DIRECTORIES": str(folder.parent.resolve())}
    return run(["git", "apply", *arguments], cwd=folder, env=env)


def touched(patches: Sequence[Path]) -> List[str]:
    """Every path the patches name; git reads them."""
    paths: Set[str] = set()
    for patch in patches:
        done = _git_apply(patch.parent, "--numstat", str(patch))
        if done.returncode:
            raise Fail(Exit.PATCH, f"{patch.name} is not a patch: {done.stderr.strip()}",
                       f"mend {patch}")
        paths.update(line.split("\t")[2] for line in done.stdout.splitlines())
    return sorted(paths)


def compute(base: Path, patches: Sequence[Path], folder: Path) -> Overlay:
    """Apply the patches to copies of base's files."""
    fresh(folder)
    paths = touched(patches)
    for path in paths:
        if (base / path).is_file():
            install(base / path, folder / path)
    notes = []
    for patch in patches:
        done = _git_apply(folder, "--verbose", str(patch))
        if done.returncode:
            has_it = not _git_apply(folder, "--check", "--reverse", str(patch)).returncode
            raise _refused(base, patch, done.stderr, has_it)
        notes += [f"{patch.name}: {line}" for line in done.stderr.splitlines()
                  if "offset" in line]
    return Overlay(folder, paths, notes)


def first_error(said: str) -> str:
    """Of what `git apply` says, what is in the way: a file, mostly, and a line of it."""
    errors = [line[len("error: "):] for line in said.splitlines() if line.startswith("error: ")]
    return next((re.sub(r"^patch failed: ", "", line) for line in errors
                 if not line.startswith("while searching")), said.strip())


def _refused(base: Path, patch: Path, said: str, has_it: bool) -> Fail:
    remedy = "the tree has this very patch already: take it out, or put the rest in too" \
        if has_it else "see what the tree has changed there; nothing was changed by this run"
    return Fail(Exit.PATCH, f"{patch.name} does not apply to {base}: {first_error(said)}", remedy)
