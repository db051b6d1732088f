# SPDX-License-Identifier: GPL-2.0
"""Puts the series into a tree of the user's: all of it, or nothing.

A git tree gets one commit per patch, by `git am`; any other tree gets the
finished files.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Dict, List, Optional

from base.files import REPO, digest, fresh, write
from base.outcome import Exit, Fail
from base.process import run
from base.progress import say
from base.project import HOW_TO_RUN
from series.git import WITH_SETTINGS, git, git_path, is_repository
from series.mails import mails
from series.overlay import Overlay
from series.snapshot import snapshot
from series.worktree import repository_for

# What git leaves in its folder while one of these is under way.
UNDER_WAY = {"rebase-apply": "am --abort", "rebase-merge": "rebase --abort",
             "MERGE_HEAD": "merge --abort", "CHERRY_PICK_HEAD": "cherry-pick --abort",
             "REVERT_HEAD": "revert --abort"}
Files = Dict[str, Optional[bytes]]  # None: there is no such file


def apply(kdir: Path, arch: str, repo: Path = REPO) -> None:
    """The caller holds the lock."""
    journal = repo / "build" / "apply" / digest(str(kdir).encode())[:16]
    _undo_cut_short(kdir, journal)
    in_git = is_repository(kdir)
    if in_git:
        _refuse_unready(kdir)
    # Find out what does not apply before anything is touched.
    ours = repository_for(kdir, "", repo)
    overlay = Overlay(ours, repo)
    base = snapshot(kdir, ours, "kdir")
    if overlay.has_series(base):
        raise Fail(Exit.BAD_INPUT, f"{kdir} has the series already",
                   f"nothing to apply; run the suites there:\n  {HOW_TO_RUN.format(arch=arch)}")
    laid = overlay.lay(base, str(kdir))
    if in_git:
        # Files that git does not track may be in the way, but are not what is applied to.
        head = git(kdir, "rev-parse", "HEAD^{tree}").strip()
        _am(kdir, mails(overlay, head, str(kdir), repo / "build" / "apply" / "mails"))
    else:
        paths = ours.changed(base, laid)
        _write(kdir, {path: ours.file(base, path) for path in paths},
               {path: ours.file(laid, path) for path in paths}, journal)


def _refuse_unready(kdir: Path) -> None:
    for mark, undo in UNDER_WAY.items():
        if git_path(kdir, mark).exists():
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


def _am(kdir: Path, mails: List[Path]) -> None:
    command = ["git", "-C", str(kdir), *WITH_SETTINGS, "am"]
    try:
        done = run([*command, "--quiet", "--no-3way", "--keep-cr", "--no-scissors",
                    "--no-message-id", *(str(mail) for mail in mails)])
    except KeyboardInterrupt:
        run([*command, "--abort"])
        raise
    if done.returncode:
        said = "\n".join(line for line in (done.stdout + done.stderr).splitlines()
                         if not line.startswith("hint:"))
        run([*command, "--abort"])
        raise Fail(Exit.PATCH, f"git am in {kdir}: {said.strip()}",
                   "see what is in the way there; the tree is as it was before")


def _write(kdir: Path, before: Files, after: Files, journal: Path) -> None:
    """Without git: keep what the files were until all of them are written."""
    aside = fresh(journal.with_name(f"{journal.name}.new"))
    for name, files in (("before", before), ("after", after)):
        for path, data in files.items():
            if data is not None:
                write(aside / name / path, data)
    os.replace(aside, journal)
    for path, data in after.items():
        _put(kdir / path, data)
    fresh(journal).rmdir()


def _put(path: Path, data: Optional[bytes]) -> None:
    if data is None:
        path.unlink(missing_ok=True)
    else:
        write(path, data, path.stat().st_mode & 0o777 if path.exists() else 0o644)


def _undo_cut_short(kdir: Path, journal: Path) -> None:
    """An earlier run was killed among its files: take back those it wrote."""
    if not journal.is_dir():
        return
    say(f"taking back what a run that was cut short left in {kdir}")
    for after in (journal / "after").rglob("*"):
        path = after.relative_to(journal / "after")
        there, before = kdir / path, journal / "before" / path
        if not after.is_file() or not there.is_file() or there.read_bytes() != after.read_bytes():
            continue
        _put(there, before.read_bytes() if before.is_file() else None)
    fresh(journal).rmdir()
