# SPDX-License-Identifier: GPL-2.0
"""The patch queue of one kernel version, in the order in which it is applied.

`patches/vX.Y/series` is a quilt series file of mails that `git am` takes.
Kernel files that are new lie in this repository at their kernel paths; they
are in no patch. The series' `# new files` line says when they come, and
patches/new-files.msg holds the message of the commit that adds them.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Dict, List, Optional, Tuple

from host import REPO, digest, fresh, git, write
from verdict import Exit, Fail

NEW_FILES_MARK = "# new files"
KERNEL_FOLDERS = ("mm", "drivers", "include", "lib", "tools")
# Same files, same mail: the date must not depend on the day.
MAIL_DATE = "2026-01-01T00:00:00Z"


@dataclass(frozen=True)
class Queue:
    """The queue for one version; `repo` is a parameter for the tests' sake."""

    version: str
    repo: Path = REPO

    @property
    def folder(self) -> Path:
        return self.repo / "patches" / f"v{self.version}"

    @property
    def made(self) -> Path:
        return self.repo / "build" / "series"

    def entries(self) -> List[str]:
        """Patch names, and NEW_FILES_MARK for the place of the new files."""
        found = []
        for line in (self.folder / "series").read_text().splitlines():
            if line.strip() == NEW_FILES_MARK:
                found.append(NEW_FILES_MARK)
            elif line.split("#")[0].strip():
                found.append(line.split("#")[0].split()[0])
        return found

    def new_files(self) -> Dict[str, bytes]:
        """The new kernel files of this repository, committed or not."""
        listed = git(self.repo, "ls-files", "-co", "--exclude-standard", "-z", "--",
                     *KERNEL_FOLDERS)
        paths = sorted({path for path in listed.split("\0") if path})
        return {path: (self.repo / path).read_bytes()
                for path in paths if (self.repo / path).is_file()}

    def patches(self) -> List[Path]:
        """The whole queue as mails, the one of the new files made as needed."""
        new = self.new_files()
        entries = self.entries()
        if new and NEW_FILES_MARK not in entries:
            raise Fail(Exit.BAD_INPUT, f"{self.folder / 'series'} does not say where the "
                       f"{len(new)} new kernel files come in",
                       f"put the line `{NEW_FILES_MARK}` into it")
        mails = []
        for entry in entries:
            if entry != NEW_FILES_MARK:
                mails.append(self.folder / entry)
            elif new:
                mails.append(self._new_files_mail(new))
        for mail in mails:
            if not mail.is_file():
                raise Fail(Exit.BAD_INPUT, f"{mail} is in the series but does not exist",
                           "restore the file, or take it out of the series")
        return mails

    def _new_files_mail(self, new: Dict[str, bytes]) -> Path:
        message = self.repo / "patches" / "new-files.msg"
        if not message.is_file():
            raise Fail(Exit.BAD_INPUT, f"there are new kernel files, but no {message}",
                       "write the message of the commit that adds them there")
        text = message.read_text()
        signer = re.search(r"^Signed-off-by: (.+) <(.+)>$", text, re.MULTILINE)
        if not signer:
            raise Fail(Exit.BAD_INPUT, f"{message} has no Signed-off-by line", "add one")
        key = digest(text.encode(), *(part for path, data in new.items()
                                      for part in (path.encode(), data)))
        mail = self.made / key[:16] / "new-files.patch"
        if not mail.exists():
            write(mail, _as_mail(new, text, signer.group(1), signer.group(2),
                                 fresh(self.made / ".scratch")))
        return mail


def _as_mail(new: Dict[str, bytes], message: str, name: str, email: str, scratch: Path) -> bytes:
    """Let git itself write the mail, in a throw-away repository."""
    git(scratch, "init", "-q")
    for path, data in new.items():
        write(scratch / path, data)
    # -f: what a user's global ignore file names is part of the series all the same.
    git(scratch, "-c", "core.autocrlf=false", "add", "-A", "-f")
    author = ("-c", f"user.name={name}", "-c", f"user.email={email}")
    git(scratch, *author, "-c", "commit.gpgsign=false", "commit", "-q", "--no-verify",
        f"--date={MAIL_DATE}", "-m", message)
    mail = git(scratch, "-c", "format.signOff=false", "-c", "diff.noprefix=false",
               "format-patch", "--root", "-1", "--stdout", "--zero-commit", "--no-signature",
               "--full-index", "--no-renames", "--no-attach", "--no-thread")
    fresh(scratch).rmdir()
    return mail.encode()


def versions(repo: Path = REPO) -> List[str]:
    """The kernel versions there is a queue for, newest first."""
    found = [path.parent.name[1:] for path in (repo / "patches").glob("v*/series")]
    return sorted(found, key=lambda text: [int(part) for part in text.split(".")], reverse=True)


def queue_for(version: str, repo: Path = REPO) -> Queue:
    if version not in versions(repo):
        raise Fail(Exit.BAD_INPUT, f"there are no patches for linux {version}",
                   f"use one of: {', '.join(versions(repo)) or 'none yet'}")
    return Queue(version, repo)


def version_of(tree: Path) -> Tuple[str, str]:
    """X.Y and X.Y.Z of a kernel tree, or why it is not one."""
    makefile = tree / "Makefile"
    text = makefile.read_text(errors="replace") if makefile.is_file() else ""
    found = version_in(text)
    if not found or not (tree / "Kbuild").is_file():
        raise Fail(Exit.BAD_INPUT, f"{tree} is not a kernel tree",
                   "pass the top folder of a Linux source tree as KDIR=")
    return found


def version_in(makefile: str) -> Optional[Tuple[str, str]]:
    """X.Y and X.Y.Z, from the text of a kernel's Makefile."""
    number = dict(re.findall(r"^(VERSION|PATCHLEVEL|SUBLEVEL) *= *(\d+)$", makefile[:2000],
                             re.MULTILINE))
    if len(number) < 3:
        return None
    short = f"{number['VERSION']}.{number['PATCHLEVEL']}"
    return short, f"{short}.{number['SUBLEVEL']}"
