#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Puts the series into the user's own tree, KDIR: all of it, or nothing.

A git tree gets one commit per patch, by `git am`; any other tree gets the
finished files.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import List

import series
from host import REPO, digest, fresh, git, install, run
from options import from_environment
from overlay import compute
from progress import say
from tree import build_lock, has_series
from verdict import Exit, Fail, run_verb

HOW_TO_RUN = "./tools/testing/kunit/kunit.py run --arch={arch} --kunitconfig=mm/tests"
# What git leaves in its folder while one of these is under way.
UNDER_WAY = {"rebase-apply": "am --abort", "rebase-merge": "rebase --abort",
             "MERGE_HEAD": "merge --abort", "CHERRY_PICK_HEAD": "cherry-pick --abort",
             "REVERT_HEAD": "revert --abort"}


def apply(kdir: Path, arch: str, repo: Path = REPO) -> None:
    journal = repo / "build" / "apply" / digest(str(kdir).encode())[:16]
    version, _ = series.version_of(kdir)
    _undo_cut_short(kdir, journal)
    if has_series(kdir):
        raise Fail(Exit.BAD_INPUT, f"{kdir} has the series already",
                   f"nothing to apply; run the suites there:\n  {HOW_TO_RUN.format(arch=arch)}")
    patches = series.queue_for(version, repo).patches()
    is_git = (kdir / ".git").exists()
    if is_git:
        _refuse_unready(kdir)
    # Find out what does not apply before anything is touched.
    overlay = compute(kdir, patches, repo / "build" / "overlay")
    if is_git:
        _am(kdir, patches)
    else:
        _copy(kdir, overlay.folder, overlay.paths, journal)


def _refuse_unready(kdir: Path) -> None:
    for mark, undo in UNDER_WAY.items():
        place = git(kdir, "rev-parse", "--git-path", mark).strip()
        if (kdir / place).exists():
            raise Fail(Exit.BAD_INPUT, f"git is in the middle of something in {kdir} ({mark})",
                       f"finish it, or: git -C '{kdir}' {undo}")
    dirty = git(kdir, "status", "--porcelain", "--untracked-files=no").splitlines()
    if dirty:
        raise Fail(Exit.BAD_INPUT, f"{kdir} has uncommitted changes: "
                   f"{', '.join(line[3:] for line in dirty[:5])}{' ...' if dirty[5:] else ''}",
                   f"commit them, or: git -C '{kdir}' stash")
    if run(["git", "-C", str(kdir), "var", "GIT_COMMITTER_IDENT"]).returncode:
        raise Fail(Exit.BAD_INPUT, "git does not know who you are",
                   "git config --global user.name 'Your Name'; "
                   "git config --global user.email you@your.domain")


def _am(kdir: Path, patches: List[Path]) -> None:
    command = ["git", "-C", str(kdir), "am", "--quiet", "--no-3way"]
    try:
        done = run([*command, *(str(patch) for patch in patches)])
    except KeyboardInterrupt:
        run([*command[:3], "am", "--abort"])
        raise
    if done.returncode:
        said = "\n".join(line for line in (done.stdout + done.stderr).splitlines()
                         if not line.startswith("hint:"))
        run([*command[:3], "am", "--abort"])
        raise Fail(Exit.PATCH, f"git am in {kdir}: {said.strip()}",
                   "see what is in the way there; the tree is as it was before")


def _copy(kdir: Path, after: Path, paths: List[str], journal: Path) -> None:
    """Without git: keep what the files were until all of them are written."""
    aside = fresh(journal.with_name(f"{journal.name}.new"))
    for path in paths:
        for name, source in (("before", kdir / path), ("after", after / path)):
            if source.is_file():
                install(source, aside / name / path)
    os.replace(aside, journal)
    for path in paths:
        if (after / path).is_file():
            install(after / path, kdir / path)
        else:
            (kdir / path).unlink(missing_ok=True)
    fresh(journal).rmdir()


def _undo_cut_short(kdir: Path, journal: Path) -> None:
    """An earlier run was killed among its copies: take back those it made."""
    if not journal.is_dir():
        return
    say(f"taking back what a run that was cut short left in {kdir}")
    for after in (journal / "after").rglob("*"):
        path = after.relative_to(journal / "after")
        there, before = kdir / path, journal / "before" / path
        if not after.is_file() or not there.is_file() or there.read_bytes() != after.read_bytes():
            continue
        if before.is_file():
            install(before, there)
        else:
            there.unlink()
    fresh(journal).rmdir()


def main() -> Exit:
    options = from_environment(os.environ)
    if options.kdir is None:
        raise Fail(Exit.BAD_INPUT, "apply needs a tree to apply to",
                   "make apply KDIR=/path/to/linux")
    kdir = options.kdir.resolve()
    if not kdir.is_dir():
        raise Fail(Exit.BAD_INPUT, f"KDIR={kdir} is not there",
                   "pass the top folder of a Linux source tree")
    with build_lock("make apply"):
        apply(kdir, options.arch)
    print(f"applied to {kdir}; to run the suites there:\n  {HOW_TO_RUN.format(arch=options.arch)}")
    return Exit.OK


if __name__ == "__main__":
    run_verb(main)
