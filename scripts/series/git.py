# SPDX-License-Identifier: GPL-2.0
"""git in repositories of ours, and reading git in the user's.

Ours are bare and free of the user's settings and hooks; contents go in and
come out byte by byte.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Any, Dict, Iterable, List, Optional

from base.files import is_full, made_aside
from base.outcome import Exit, Fail, no_space
from base.process import child_env, run, run_bytes

# What we commit is the same whoever commits it, and when.
IDENTITY = {f"GIT_{who}_{what}": value for who in ("AUTHOR", "COMMITTER")
            for what, value in (("NAME", "offline-skippable"), ("EMAIL", "ci@localhost"),
                                ("DATE", "2026-01-01T00:00:00Z"))}
# No process of git's is to go on in the background; and bytes stay as they are.
SETTINGS = {"gc.auto": "0", "maintenance.auto": "false", "core.autocrlf": "false",
            "core.safecrlf": "false", "core.hooksPath": "/dev/null", "core.fsmonitor": "false",
            "core.untrackedCache": "false", "core.splitIndex": "false", "core.fileMode": "true",
            "core.trustctime": "true", "core.checkStat": "default", "core.quotePath": "false",
            "core.whitespace": "", "apply.whitespace": "nowarn", "apply.ignoreWhitespace": "no",
            "commit.gpgSign": "false", "advice.addEmbeddedRepo": "false",
            "i18n.commitEncoding": "UTF-8"}
# What git says where a partial clone lacks a file, and nobody may fetch it.
LACKING = ("promisor", "lazy", "missing blob", "unable to read")
WITH_SETTINGS = [word for name, value in SETTINGS.items() for word in ("-c", f"{name}={value}")]


def git(folder: Path, *arguments: str, **more: Any) -> str:
    """A git command in the user's repository that has to succeed."""
    done = run(["git", "--no-optional-locks", "-C", str(folder), *WITH_SETTINGS, *arguments],
               **more)
    if done.returncode:
        if is_full(folder, done.stderr):
            raise no_space(folder)
        raise Fail(Exit.BAD_INPUT, f"git {arguments[0]} in {folder}: {done.stderr.strip()}",
                   "do what git says above, then run the same command again")
    return done.stdout


def is_repository(folder: Path) -> bool:
    """Is the folder the top of a git repository, or a bare one?"""
    done = run(["git", "-C", str(folder), "rev-parse", "--show-prefix"])
    if "dubious ownership" in done.stderr:
        raise Fail(Exit.BAD_INPUT, f"git does not trust {folder}: {done.stderr.strip()}",
                   "do what git says above, then run the same command again")
    return done.returncode == 0 and not done.stdout.strip()


def git_path(folder: Path, name: str) -> Path:
    """Where git keeps something in the user's repository."""
    return (folder / git(folder, "rev-parse", "--git-path", name).strip()).resolve()


def first_error(said: str) -> str:
    """Of what `git apply` says, what is in the way: a file, mostly, and a line of it."""
    errors = [line[len("error: "):] for line in said.splitlines() if line.startswith("error: ")]
    return next((line.removeprefix("patch failed: ") for line in errors
                 if not line.startswith("while searching")), said.strip())


class Repository:
    """A repository of ours, made as needed; commits are in our name, or in another's."""

    def __init__(self, home: Path, identity: Optional[Dict[str, str]] = None) -> None:
        self.home = home
        self.identity = IDENTITY if identity is None else identity
        if not (home / "HEAD").exists():
            with made_aside(home) as aside:
                done = run(["git", "init", "-q", "--bare", "--template=", str(aside)],
                           env=self._env())
                if done.returncode:
                    raise Fail(Exit.MISSING, f"git init in {home}: {done.stderr.strip()}",
                               "see that git is installed whole")

    def _env(self, **more: str) -> Dict[str, str]:
        return {**child_env(), **self.identity, "GIT_CONFIG_GLOBAL": "/dev/null",
                "GIT_CONFIG_NOSYSTEM": "1", **more}

    def _settings(self, index: Optional[Path], work: Optional[Path]) -> Dict[str, Any]:
        more = {"GIT_INDEX_FILE": str(index)} if index else {}
        if index:  # of a git that was killed; whoever gets here holds the lock of the build
            index.with_name(f"{index.name}.lock").unlink(missing_ok=True)
        return {"cwd": work or self.home, "env": self._env(**more)}

    def _command(self, work: Optional[Path], arguments: Iterable[str]) -> list[str]:
        place = [f"--work-tree={work}"] if work else []
        return ["git", f"--git-dir={self.home}", *WITH_SETTINGS, *place, *arguments]

    def attempt(self, *arguments: str, index: Optional[Path] = None, work: Optional[Path] = None,
                given: str = "") -> subprocess.CompletedProcess[str]:
        """A command that may fail; the caller judges."""
        done = run(self._command(work, arguments), **self._settings(index, work), input=given)
        if done.returncode and is_full(self.home, done.stderr):
            raise no_space(self.home)
        return done

    def git(self, *arguments: str, index: Optional[Path] = None, work: Optional[Path] = None,
            given: str = "") -> str:
        """A command that has to succeed: if it does not, that is no commit's fault."""
        done = self.attempt(*arguments, index=index, work=work, given=given)
        if done.returncode:
            raise self._trouble(arguments, done.stderr)
        return done.stdout

    def git_bytes(self, *arguments: str, index: Optional[Path] = None,
                  given: bytes = b"") -> bytes:
        """The same for contents."""
        done = run_bytes(self._command(None, arguments), **self._settings(index, None),
                         input=given)
        if done.returncode:
            raise self._trouble(arguments, os.fsdecode(done.stderr))
        return done.stdout

    def _trouble(self, arguments: Iterable[str], said: str) -> Fail:
        remedy = f"if nothing else helps: rm -rf '{self.home}', and run the same command again"
        if any(word in said for word in LACKING):
            remedy = "a repository that lacks files cannot be tested, such as a partial clone: " \
                "git fetch --refetch --no-filter there, or use a full clone"
        return Fail(Exit.MISSING, f"git {next(iter(arguments))} in {self.home}: {said.strip()}",
                    remedy)

    def borrow(self, *objects: Path) -> None:
        """Read objects of other repositories, too."""
        text = "".join(f"{path}\n" for path in objects)
        file = self.home / "objects/info/alternates"
        if not file.exists() or file.read_text() != text:
            file.parent.mkdir(exist_ok=True)
            file.write_text(text)

    @property
    def objects(self) -> Path:
        return self.home / "objects"

    def blob(self, data: bytes) -> str:
        return os.fsdecode(self.git_bytes("hash-object", "-w", "--stdin", given=data)).strip()

    def changed(self, old: str, new: str) -> List[str]:
        """The paths in which two trees, or commits, differ."""
        listed = self.git("diff-tree", "-r", "-z", "--name-only", "--no-renames", old, new)
        return [path for path in listed.split("\0") if path]

    def file(self, tree: str, path: str) -> Optional[bytes]:
        """The contents of a file, or None if there is none."""
        done = run_bytes(self._command(None, ["cat-file", "blob", f"{tree}:{path}"]),
                         **self._settings(None, None))
        return done.stdout if done.returncode == 0 else None

    def text(self, tree: str, path: str) -> str:
        """The text of a file; empty, if there is none."""
        return (self.file(tree, path) or b"").decode(errors="replace")
