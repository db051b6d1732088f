# SPDX-License-Identifier: GPL-2.0
"""One run at a time where two would spoil each other's work."""

from __future__ import annotations

import contextlib
import fcntl
import os
from pathlib import Path
from typing import ContextManager, Iterator

from base.files import BUILD
from base.process import locks_held
from base.progress import say


@contextlib.contextmanager
def lock(path: Path, use: str) -> Iterator[None]:
    """Hold a lock file; wait, and say for whom, while somebody else does.

    Children keep it as well: what a killed run left behind, say a make, is
    over before the next run begins.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.pread(handle, 200, 0).decode(errors="replace").strip()
            say(f"waiting for {holder or 'another run'}, which has {path} (or a child that it "
                f"left behind: `fuser -v {path}` names it)")
            fcntl.flock(handle, fcntl.LOCK_EX)
        os.ftruncate(handle, 0)
        os.pwrite(handle, f"{use} (process {os.getpid()})\n".encode(), 0)
        locks_held.append(handle)
        try:
            yield
        finally:
            locks_held.remove(handle)
    finally:
        os.close(handle)


LOCK = BUILD / "lock"


def build_lock(use: str) -> ContextManager[None]:
    """One verb at a time works below build/."""
    return lock(LOCK, use)
