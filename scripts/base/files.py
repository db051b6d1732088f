# SPDX-License-Identifier: GPL-2.0
"""Where things lie on this machine, and safe ways to write there."""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import tempfile
from pathlib import Path
from typing import Dict, Iterator, List, Sequence

from base.outcome import Exit, Fail

REPO = Path(__file__).resolve().parent.parent.parent
BUILD = REPO / "build"
CACHE_NAME = "offline-skippable-kunit"


def cache() -> Path:
    """The user's cache folder of this product."""
    base = os.environ.get("XDG_CACHE_HOME", "")
    if not os.path.isabs(base):  # the XDG specification: a relative path counts as none
        base = os.path.expanduser("~/.cache")
    # Whoever has no home (a container's user without a passwd entry) gets it here.
    return Path(base) / CACHE_NAME if os.path.isabs(base) else BUILD / "cache"


def write(path: Path, data: bytes, mode: int = 0o644) -> None:
    """Write aside, then rename: nobody ever sees half a file, or half of two."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, aside = tempfile.mkstemp(prefix=f".{path.name[:100]}.", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
        os.chmod(aside, mode)
        os.replace(aside, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(aside)
        raise


def fresh(path: Path) -> Path:
    """An empty folder; what an earlier, cut short run left in it is gone."""
    if path.is_symlink() or path.is_file():
        path.unlink()
    elif path.exists():
        shutil.rmtree(path)
    path.mkdir(parents=True)
    return path


@contextlib.contextmanager
def made_aside(home: Path) -> Iterator[Path]:
    """A folder that appears at `home` only if the block got to its end."""
    home.parent.mkdir(parents=True, exist_ok=True)
    aside = Path(tempfile.mkdtemp(prefix=f".{home.name}.", dir=home.parent))
    try:
        yield aside
        aside.chmod(0o755)
        os.replace(aside, home)
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def digest(*parts: bytes) -> str:
    total = hashlib.sha256()
    for part in parts:
        total.update(len(part).to_bytes(8, "big"))
        total.update(part)
    return total.hexdigest()


def digest_of_files(paths: Sequence[Path]) -> str:
    return digest(*(path.read_bytes() for path in sorted(paths)))


def entries(file: Path) -> List[str]:
    """The lines of a list, without comments and empty ones."""
    return [line for line in file.read_text().splitlines()
            if line.strip() and not line.startswith("#")]


def reasons(file: Path) -> Dict[str, str]:
    """What a list names, each with the reason that is indented below it, or none.

    Names that follow one another have theirs in common.
    """
    found: Dict[str, str] = {}
    names: List[str] = []
    for line in entries(file):
        if line[0].isspace():
            found.update({name: f"{found[name]} {line.strip()}".strip() for name in names})
            continue
        if names and found[names[0]]:
            names = []
        names.append(line.strip())
        found[names[-1]] = ""
    return found


def is_full(folder: Path, said: str) -> bool:
    """Did a program fail for want of space? (It may have had none to say so in.)"""
    return "No space left" in said or shutil.disk_usage(folder).free < 1e7


def need_space(folder: Path, gigabytes: float) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(folder).free / 1e9
    if free < gigabytes:
        raise Fail(Exit.MISSING, f"{folder} has {free:.1f} GB free; {gigabytes:g} GB are needed",
                   "free some space, or move build/ or XDG_CACHE_HOME to another disk")
