# SPDX-License-Identifier: GPL-2.0
"""The patch queue of one kernel version, in the order in which it is applied.

`patches/vX.Y/series` is a quilt series file of mails that `git am` takes; a mail
that goes for other versions as well lies in the folder of one of them, and the
others name it as ../vX.Y/NAME. `patches/vX.Y/fixes` is another queue, to go on top if
it is asked for: it mends bugs that the kernel has. Kernel files that are new lie in this repository at
their kernel paths. The patch that brings some of them says so below its `---`,
where git does not look: `New-files: PATTERN ...`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Dict, List, Optional, Sequence, Set, Tuple

from base.files import REPO
from base.outcome import Exit, Fail
from base.process import run
from base.progress import say
from base.project import KERNEL_FOLDERS
from series.git import Repository, git

NEW_FILES = re.compile(r"^New-files: (.+)$", re.MULTILINE)
START_OF_DIFF = re.compile(r"^diff --git ", re.MULTILINE)


@dataclass(frozen=True)
class Queue:
    """The queue for one version; `repo` is a parameter for the tests' sake."""

    version: str
    repo: Path = REPO

    @property
    def folder(self) -> Path:
        return self.repo / "patches" / f"v{self.version}"

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
        """The patches, in order."""
        return _listed(self.folder)

    def fixes(self) -> List[Path]:
        """Those for bugs that the kernel has, which are not part of the series."""
        folder = self.folder / "fixes"
        if not (folder / "series").is_file():
            raise Fail(Exit.BAD_INPUT, f"there are no fixes for linux {self.version}",
                       "leave --fixes out: cases that show a known bug are then skipped")
        return _listed(folder)

    def homes(self) -> List[str]:
        """The versions whose kernels the patches were made from."""
        return sorted({patch.parent.name[1:] for patch in self.patches()})

    def brought(self) -> Dict[Path, List[str]]:
        """For each patch, the new files that come with it: each file with one of them."""
        patterns = {patch: " ".join(NEW_FILES.findall(message(patch.read_text()))).split()
                    for patch in self.patches()}
        found: Dict[Path, List[str]] = {patch: [] for patch in patterns}
        for path in self.new_files():
            bring = [patch for patch, some in patterns.items()
                     if any(fnmatchcase(path, pattern) for pattern in some)]
            if len(bring) != 1:
                names = " and ".join(patch.name for patch in bring) or "no patch"
                raise Fail(Exit.BAD_INPUT, f"{path} comes with {names} in {self.folder / 'series'}",
                           f"have one patch say `New-files: {path}` below its `---`")
            found[bring[0]].append(path)
        return found


def _listed(folder: Path) -> List[Path]:
    """The patches that a folder's series file names."""
    lines = (line.split("#")[0].split() for line in (folder / "series").read_text().splitlines())
    found = [(folder / words[0]).resolve() for words in lines if words]
    for patch in found:
        if not patch.is_file():
            raise Fail(Exit.BAD_INPUT, f"{patch} is in the series but does not exist",
                       "restore the file, or take it out of the series")
    return found


def message(mail: str) -> str:
    """All that stands in front of the changes."""
    start = START_OF_DIFF.search(mail)
    return mail[:start.start()] if start else mail


def put(ours: Repository, index: Path, files: Dict[str, bytes]) -> None:
    """Put files into an index of ours."""
    lines = "".join(f"100644 {ours.blob(data)} 0\t{path}\0" for path, data in files.items())
    ours.git("update-index", "-z", "--add", "--index-info", index=index, given=lines)


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
    return sorted(found, key=_age, reverse=True)


def _age(version: str) -> int:
    """Where a version stands among all: a major one has had twenty minor ones of late."""
    major, minor = (int(part) for part in version.split("."))
    return 20 * major + minor


def queue_for(version: str, repo: Path = REPO) -> Queue:
    """The queue of a kernel version, or else the nearest, of two the newer."""
    known = versions(repo)
    if not known:
        raise Fail(Exit.BAD_INPUT, f"there are no patches in {repo / 'patches'}",
                   "clone this repository anew")
    return Queue(min(known, key=lambda other: abs(_age(other) - _age(version))), repo)


def version_in(makefile: str) -> Optional[Tuple[str, str]]:
    """X.Y and X.Y.Z, from the text of a kernel's Makefile."""
    number = dict(re.findall(r"^(VERSION|PATCHLEVEL|SUBLEVEL) *= *(\d+)$", makefile[:2000],
                             re.MULTILINE))
    if len(number) < 3:
        return None
    short = f"{number['VERSION']}.{number['PATCHLEVEL']}"
    return short, f"{short}.{number['SUBLEVEL']}"
