# SPDX-License-Identifier: GPL-2.0
"""Makes commits without a working tree, for histories of kernels to try things on."""

from __future__ import annotations

from pathlib import Path
from typing import Dict

from base.files import fresh
from base.outcome import Exit, Fail
from series.git import Repository
from series.queue import put


class History:
    """A bare repository that borrows the objects of another one, and grows."""

    def __init__(self, home: Path, source: Repository, start: str) -> None:
        fresh(home).rmdir()
        self.ours = Repository(home)
        self.home = home
        self.ours.borrow(source.objects)
        self.tip = source.git("rev-parse", start).strip()
        self._index = home / "grow.index"
        self.ours.git("read-tree", self.tip, index=self._index)

    def text(self, path: str) -> str:
        return self.ours.text(self.tip, path)

    def replaced(self, path: str, old: str, new: str) -> Dict[str, str]:
        """A file with one place changed, which has to be there."""
        text = self.text(path)
        if old not in text:
            raise Fail(Exit.BAD_INPUT, f"{path} does not have {old!r}", "this history is for "
                       "another kernel")
        return {path: text.replace(old, new, 1)}

    def commit(self, subject: str, files: Dict[str, str]) -> str:
        """Add a commit with these files changed; branch `main` and HEAD follow."""
        put(self.ours, self._index, {path: text.encode() for path, text in files.items()})
        tree = self.ours.git("write-tree", index=self._index).strip()
        self.tip = self.ours.git("commit-tree", tree, "-p", self.tip, "-m", subject).strip()
        self.ours.git("update-ref", "refs/heads/main", self.tip)
        self.ours.git("symbolic-ref", "HEAD", "refs/heads/main")
        return self.tip
