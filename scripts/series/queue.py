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
from typing import Dict, List, Optional, Sequence, Set, Tuple

from base.files import REPO, digest, fresh, write
from base.outcome import Exit, Fail
from base.process import run
from base.progress import say
from base.project import KERNEL_FOLDERS
from series.git import Repository, git

NEW_FILES_MARK = "# new files"
# Same files, same mail: the date must not depend on the day.
MAIL_DATE = "1767225600 +0000"


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
        """The new kernel files of this repository: those that git tracks, as they are now."""
        listed = git(self.repo, "ls-files", "-z", "--", *KERNEL_FOLDERS)
        paths = sorted({path for path in listed.split("\0") if path})
        return {path: (self.repo / path).read_bytes()
                for path in paths if (self.repo / path).is_file()}

    def say_what_is_left_out(self) -> None:
        """Somebody may have forgotten that a new file has to be added."""
        listed = git(self.repo, "ls-files", "-z", "--others", "--exclude-standard", "--",
                     *KERNEL_FOLDERS)
        found = [path for path in listed.split("\0") if path.endswith((".c", ".h", ".rst"))]
        if found:
            say(f"not part of the series, as git does not track it: {', '.join(sorted(found))}")

    def patches(self) -> List[Path]:
        """The patches that exist as files, in order."""
        found = [self.folder / entry for entry in self.entries() if entry != NEW_FILES_MARK]
        for patch in found:
            if not patch.is_file():
                raise Fail(Exit.BAD_INPUT, f"{patch} is in the series but does not exist",
                           "restore the file, or take it out of the series")
        return found

    def check_mark(self) -> None:
        if NEW_FILES_MARK not in self.entries() and self.new_files():
            raise Fail(Exit.BAD_INPUT, f"{self.folder / 'series'} does not say where the new "
                       "kernel files come in", f"put the line `{NEW_FILES_MARK}` into it")

    def mails(self) -> List[Path]:
        """The whole queue as mails, the one of the new files made as needed."""
        self.check_mark()
        patches, new = iter(self.patches()), self.new_files()
        mails = []
        for entry in self.entries():
            if entry != NEW_FILES_MARK:
                mails.append(next(patches))
            elif new:
                mails.append(self._new_files_mail(new))
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


def put(ours: Repository, index: Path, files: Dict[str, bytes]) -> None:
    """Put files into an index of ours."""
    lines = "".join(f"100644 {ours.blob(data)} 0\t{path}\0" for path, data in files.items())
    ours.git("update-index", "-z", "--add", "--index-info", index=index, given=lines)


def _as_mail(new: Dict[str, bytes], message: str, name: str, email: str, scratch: Path) -> bytes:
    """Let git itself write the mail, in a throw-away repository."""
    ours = Repository(scratch)
    put(ours, scratch / "index", new)
    tree = ours.git("write-tree", index=scratch / "index").strip()
    who = f"{name} <{email}> {MAIL_DATE}"  # git's own form of a date
    commit = ours.git_bytes("hash-object", "-t", "commit", "-w", "--stdin", given=(
        f"tree {tree}\nauthor {who}\ncommitter {who}\n\n{message}").encode())
    mail = ours.git_bytes(
        "format-patch", "--root", "-1", "--stdout", "--zero-commit", "--no-signature",
        "--full-index", "--no-renames", "--no-attach", "--no-thread", "--no-color",
        "--src-prefix=a/", "--dst-prefix=b/", "--binary", commit.decode().strip())
    fresh(scratch).rmdir()
    return mail


def touched(patches: Sequence[Path]) -> List[str]:
    """Every path the patches name; git reads them."""
    paths: Set[str] = set()
    for patch in patches:
        # Inside a repository git would pass over all that lies outside of the folder.
        done = run(["git", "apply", "--numstat", "-z", str(patch)], cwd="/")
        if done.returncode:
            raise Fail(Exit.PATCH, f"{patch.name} is not a patch: {done.stderr.strip()}",
                       f"mend {patch}")
        paths.update(line.split("\t")[2] for line in done.stdout.split("\0") if line)
    return sorted(paths)


def versions(repo: Path = REPO) -> List[str]:
    """The kernel versions there is a queue for, newest first."""
    found = [path.parent.name[1:] for path in (repo / "patches").glob("v*/series")]
    return sorted(found, key=lambda text: [int(part) for part in text.split(".")], reverse=True)


def queue_for(version: str, repo: Path = REPO) -> Queue:
    if version not in versions(repo):
        raise Fail(Exit.BAD_INPUT, f"there are no patches for linux {version}",
                   f"use one of: {', '.join(versions(repo)) or 'none yet'}")
    return Queue(version, repo)


def version_in(makefile: str) -> Optional[Tuple[str, str]]:
    """X.Y and X.Y.Z, from the text of a kernel's Makefile."""
    number = dict(re.findall(r"^(VERSION|PATCHLEVEL|SUBLEVEL) *= *(\d+)$", makefile[:2000],
                             re.MULTILINE))
    if len(number) < 3:
        return None
    short = f"{number['VERSION']}.{number['PATCHLEVEL']}"
    return short, f"{short}.{number['SUBLEVEL']}"
