# SPDX-License-Identifier: GPL-2.0
"""The series as somebody would mail it: commits in the sender's name, and git's mails of them."""

from __future__ import annotations

import re
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Dict, List, Optional, Tuple

from base.files import REPO, fresh
from base.outcome import Exit, Fail
from base.process import run
from series.git import Repository, git, git_path, is_repository
from series.overlay import Overlay
from series.source import pristine
from series.worktree import Source, repository_for, resolved

# The patches are in nobody's name; who sends them signs them.
PLACEHOLDER = re.compile(r"^Signed-off-by: [^<]+ <[^>]+\.example>$", re.MULTILINE)
LETTER = REPO / "patches" / "cover-letter.msg"
BRANCH = "refs/heads/series"
FETCHED = "\nThe base commit is linux {} as Debian packs it: no other repository has it.\n"


@dataclass(frozen=True)
class Sender:
    """Who git says the user is, as `git var` writes it: name, address, seconds, zone."""

    ident: str

    @property
    def who(self) -> str:
        return self.ident.rsplit(" ", 2)[0]

    def environment(self) -> Dict[str, str]:
        """For a git that commits, or writes a letter, in the user's name."""
        name, _, email = self.who.rpartition(" ")
        values = {"NAME": name, "EMAIL": email.strip("<>"),
                  "DATE": " ".join(self.ident.split()[-2:])}
        return {f"GIT_{who}_{what}": value for who in ("AUTHOR", "COMMITTER")
                for what, value in values.items()}


def sender(folder: Path) -> Sender:
    """The user's own identity in git; it is asked for, and never made up."""
    done = run(["git", "-C", str(folder), "-c", "user.useConfigOnly=true", "var",
                "GIT_AUTHOR_IDENT"])
    if done.returncode:
        raise Fail(Exit.BAD_INPUT, "git does not know in whose name the series goes out",
                   "git config --global user.name 'Your Name'; "
                   "git config --global user.email you@your.domain")
    return Sender(done.stdout.strip())


@dataclass(frozen=True)
class Series:
    """The commits of the series on top of a base, in a repository of ours."""

    ours: Repository
    version: str  # X.Y of the kernel
    base: str
    commits: List[str]
    fetched: str = ""  # X.Y.Z, if the base is a commit of ours
    notes: Tuple[str, ...] = ()  # of how the patches came in
    offsets: Tuple[str, ...] = ()  # ... and of hunks that applied at other lines

    def subject(self, commit: str) -> str:
        return self.ours.git("log", "-1", "--format=%s", commit).strip()


def commit_all(given: Source, by: Sender, repo: Path = REPO) -> Series:
    """Make the commits: one a patch, each with the new files that it brings."""
    kdir = resolved(given.kdir) if given.kdir else None
    ours = Repository(repository_for(kdir, given.kernel, repo).home, by.environment())
    base = _head(kdir, ours) if kdir else pristine(given.kernel)
    overlay = Overlay(ours, repo, given.fixes)
    name = str(kdir or f"linux {given.kernel}")
    version, full = overlay.version(base, name)
    if overlay.has_series(base):
        raise Fail(Exit.BAD_INPUT, f"{name} has the series already",
                   "check out the commit that the series is to be based on")
    commits: List[str] = []
    for patch, tree in overlay.steps(base, name):
        parent = commits[-1] if commits else base
        if ours.changed(parent, tree):
            commits.append(ours.git("commit-tree", tree, "-p", parent,
                                    given=_message(patch, by)).strip())
    ours.git("update-ref", BRANCH, commits[-1])
    return Series(ours, version, base, commits, "" if kdir else full,
                  tuple(overlay.notes), tuple(overlay.offsets))


def _head(kdir: Path, ours: Repository) -> str:
    if not is_repository(kdir):
        raise Fail(Exit.BAD_INPUT, f"{kdir} is not a git repository, so has no commit to base "
                   "the series on", "pass a clone of Linux as --kdir=, or none")
    ours.borrow(git_path(kdir, "objects"))
    return git(kdir, "rev-parse", "HEAD").strip()


def _message(patch: Path, by: Sender) -> str:
    with tempfile.TemporaryDirectory() as held:
        body = Path(held) / "message"
        done = run(["git", "mailinfo", str(body), str(Path(held) / "patch")],
                   input=patch.read_text())
        subject = re.search(r"^Subject: (.+)$", done.stdout, re.MULTILINE)
        if done.returncode or not subject:
            raise Fail(Exit.PATCH, f"{patch.name} is not a mail: {done.stderr.strip()}",
                       f"mend {patch}")
        text = f"{subject.group(1)}\n\n{body.read_text().strip()}\n"
    signed = f"Signed-off-by: {by.who}"
    if not PLACEHOLDER.search(text):
        raise Fail(Exit.PATCH, f"{patch.name} has no Signed-off-by line to be replaced",
                   f"mend {patch}")
    return PLACEHOLDER.sub(lambda _: signed, text)


def write_mails(series: Series, letter: str, folder: Path) -> List[Path]:
    """The mails, the cover letter first, into a folder that is emptied before."""
    if series.fetched:
        letter += FETCHED.format(series.fetched)
    fresh(folder)
    # git takes the cover letter from here: its subject is the first paragraph.
    series.ours.git("config", "branch.series.description", letter)
    series.ours.git("format-patch", "--quiet", "--cover-letter",
                    "--cover-from-description=subject", "--thread=shallow", "--no-renames",
                    "--no-signature", f"--base={series.base}", f"--output-directory={folder}",
                    f"{series.base}..{BRANCH.rpartition('/')[2]}")
    return sorted(folder.glob("*.patch"))


def applied(series: Series, mails: List[Path], index: Path) -> Optional[str]:
    """None, if the mails make the tree of the series out of its base; or what is wrong."""
    index.unlink(missing_ok=True)
    series.ours.git("read-tree", series.base, index=index)
    for mail in mails[1:]:
        done = series.ours.attempt("apply", "--cached", str(mail), index=index)
        if done.returncode:
            return f"{mail.name}: {done.stderr.strip()}"
    made = series.ours.git("write-tree", index=index).strip()
    wanted = series.ours.git("rev-parse", f"{series.commits[-1]}^{{tree}}").strip()
    return None if made == wanted else "the mails make another tree than `suite tree`"
