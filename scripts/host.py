# SPDX-License-Identifier: GPL-2.0
"""The machine underneath: where things lie, locks, child processes, safe writes."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any, Dict, Iterator, List, Sequence

from options import VARIABLES
from progress import say
from verdict import Exit, Fail, no_space

REPO = Path(__file__).resolve().parent.parent
BUILD = REPO / "build"

# Children must not see our variables (the kernel's Makefile knows some of the
# names), nor the make or the git hook that may have started us.
_HIDDEN = {name for name, _, _ in VARIABLES} | {
    "MAKEFLAGS", "MFLAGS", "MAKELEVEL", "MAKEOVERRIDES", "MAKEFILES", "GNUMAKEFLAGS",
    "MAKE_TERMOUT", "MAKE_TERMERR", "GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_PREFIX"}

_held: List[int] = []


def cache() -> Path:
    """The user's cache folder of this product."""
    base = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    return Path(base) / "offline-skippable-kunit"


def child_env() -> Dict[str, str]:
    env = {name: value for name, value in os.environ.items() if name not in _HIDDEN}
    env["LC_ALL"] = "C"
    # kunit.py must not leave byte code in a tree that is not ours.
    env["PYTHONPYCACHEPREFIX"] = str(BUILD / "pycache")
    # One clone's objects serve the next one: keep its path out of the hash.
    env["CCACHE_BASEDIR"] = str(REPO)
    env["CCACHE_NOHASHDIR"] = "1"
    return env


@contextlib.contextmanager
def spawn(command: Sequence[str], **more: Any) -> Iterator[subprocess.Popen[str]]:
    """A child that never outlives the block, and keeps our locks while it lives."""
    settings: Dict[str, Any] = {"env": child_env(), "stdin": subprocess.DEVNULL,
                                "text": True, "errors": "replace", **more}
    settings["pass_fds"] = (*_held, *settings.get("pass_fds", ()))
    try:
        child = subprocess.Popen(command, **settings)
    except FileNotFoundError:
        raise Fail(Exit.MISSING, f"{command[0]} is not installed",
                   f"install it (on Debian: apt-get install {command[0]})") from None
    try:
        yield child
    finally:
        if child.poll() is None:
            child.terminate()
        child.wait()


def run(command: Sequence[str], **more: Any) -> subprocess.CompletedProcess[str]:
    """Run to the end and give back what it said; the caller judges the exit code."""
    settings = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **more}
    with spawn(command, **settings) as child:
        out, err = child.communicate()
    return subprocess.CompletedProcess(command, child.returncode, out or "", err or "")


def git(folder: Path, *arguments: str, **more: Any) -> str:
    """A git command that has to succeed."""
    done = run(["git", "-C", str(folder), *arguments], **more)
    if done.returncode:
        if is_full(folder, done.stderr):
            raise no_space(folder)
        raise Fail(Exit.BAD_INPUT, f"git {arguments[0]} in {folder}: {done.stderr.strip()}",
                   "do what git says above, then run the same command again")
    return done.stdout


@contextlib.contextmanager
def lock(path: Path, use: str) -> Iterator[None]:
    """Hold a lock file; wait, and say for whom, while somebody else does."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.pread(handle, 200, 0).decode(errors="replace").strip()
            say(f"waiting for {holder or 'another run'}, which has {path}")
            fcntl.flock(handle, fcntl.LOCK_EX)
        os.ftruncate(handle, 0)
        os.pwrite(handle, f"{use} (process {os.getpid()})\n".encode(), 0)
        _held.append(handle)
        try:
            yield
        finally:
            _held.remove(handle)
    finally:
        os.close(handle)


def write(path: Path, data: bytes, mode: int = 0o644) -> None:
    """Write aside, then rename: nobody ever sees half a file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f".{path.name}.new")
    aside.write_bytes(data)
    aside.chmod(mode)
    os.replace(aside, path)


def install(source: Path, target: Path) -> None:
    """Copy a file or a link, aside first; the copy is as new as it is."""
    target.parent.mkdir(parents=True, exist_ok=True)
    aside = target.with_name(f".{target.name}.new")
    aside.unlink(missing_ok=True)
    shutil.copyfile(source, aside, follow_symlinks=False)
    if not source.is_symlink():
        shutil.copymode(source, aside)
    os.replace(aside, target)


def fresh(path: Path) -> Path:
    """An empty folder; what an earlier, cut short run left in it is gone."""
    if path.exists():
        shutil.rmtree(path)
    path.mkdir(parents=True)
    return path


def digest(*parts: bytes) -> str:
    total = hashlib.sha256()
    for part in parts:
        total.update(len(part).to_bytes(8, "big"))
        total.update(part)
    return total.hexdigest()


def is_full(folder: Path, said: str) -> bool:
    """Did a program fail for want of space? (It may have had none to say so in.)"""
    return "No space left" in said or shutil.disk_usage(folder).free < 1e7


def need_space(folder: Path, gigabytes: float) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(folder).free / 1e9
    if free < gigabytes:
        raise Fail(Exit.MISSING, f"{folder} has {free:.1f} GB free; {gigabytes:g} GB are needed",
                   "free some space, or move build/ or XDG_CACHE_HOME to another disk")


