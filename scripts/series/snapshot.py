# SPDX-License-Identifier: GPL-2.0
"""What a working tree is at this moment, as a tree in git: a commit that nobody made.

The working tree, its index and its repository stay as they are.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Optional

from base.outcome import Exit, Fail
from base.process import child_env
from base.progress import Progress
from series.git import Repository, git, git_path, is_repository


def snapshot(kdir: Path, ours: Repository, name: str) -> str:
    """The tree of all that is source in `kdir`, uncommitted changes included."""
    index = ours.home / f"{name}.index"
    index.with_name(f"{index.name}.lock").unlink(missing_ok=True)  # of a git that was killed
    if not (kdir / "Makefile").is_file():
        raise Fail(Exit.BAD_INPUT, f"{kdir} is not a kernel tree",
                   "pass the top folder of a Linux source tree as --kdir=")
    if not is_repository(kdir):
        return _plain(kdir, ours, index)
    if git(kdir, "rev-parse", "--is-bare-repository").strip() == "true":
        raise Fail(Exit.BAD_INPUT, f"{kdir} is a bare repository, so has no working tree",
                   "pass a working tree of it: git worktree add")
    ours.borrow(git_path(kdir, "objects"))
    # The user's index knows which files have not changed; ours starts as its copy.
    theirs = git_path(kdir, "index")
    if theirs.exists():
        shutil.copy2(theirs, index)
    else:
        index.unlink(missing_ok=True)
    env = {**child_env(), "GIT_INDEX_FILE": str(index), "GIT_OBJECT_DIRECTORY": str(ours.objects),
           "GIT_OPTIONAL_LOCKS": "0"}
    with Progress(f"looking at {kdir}"):
        git(kdir, "add", "-A", "--", ".", env=env)
        return git(kdir, "write-tree", env=env).strip()


def _plain(kdir: Path, ours: Repository, index: Path) -> str:
    """Without git, all of a clean tree is source."""
    left = [kdir / ".config", kdir / "include/config", *kdir.glob("arch/*/include/generated")]
    found: Optional[Path] = next((path for path in left if path.exists()), None)
    if found:
        raise Fail(Exit.BAD_INPUT, f"{kdir} was built in itself ({found} is there), and without "
                   "git there is no telling what of it is source",
                   f"make -C '{kdir}' mrproper (it removes .config and all that was built)")
    with Progress(f"looking at {kdir}"):
        ours.git("-c", "core.bigFileThreshold=1", "-c", "core.compression=1", "add", "-A", "-f",
                 "--", ".", index=index, work=kdir)
        return ours.git("write-tree", index=index).strip()


def safe_name(path: Path) -> str:
    """Part of a file's name that says which folder it is about."""
    return "".join(letter if letter.isalnum() or letter in "._-" else "_"
                   for letter in os.fsdecode(path.name)) or "root"
