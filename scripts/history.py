# SPDX-License-Identifier: GPL-2.0
"""Makes commits without a working tree, for histories of kernels to try things on."""

from __future__ import annotations

from pathlib import Path
from typing import Dict

from commits import our_git
from host import fresh, git
from verdict import Exit, Fail


class History:
    """A bare repository that borrows the objects of another one, and grows."""

    def __init__(self, home: Path, source: Path, start: str = "HEAD") -> None:
        self.home = fresh(home)
        git(home, "clone", "-q", "--shared", "--bare", str(source), ".")
        self.tip = git(home, "rev-parse", start).strip()
        self._git("read-tree", self.tip)

    def _git(self, *arguments: str) -> str:
        return our_git(self.home, *arguments, index=self.home / "index")

    def text(self, path: str) -> str:
        return self._git("cat-file", "blob", f"{self.tip}:{path}")

    def replaced(self, path: str, old: str, new: str) -> Dict[str, str]:
        """A file with one place changed, which has to be there."""
        text = self.text(path)
        if old not in text:
            raise Fail(Exit.BAD_INPUT, f"{path} does not have {old!r}", "this history is for "
                       "another kernel")
        return {path: text.replace(old, new, 1)}

    def commit(self, subject: str, files: Dict[str, str]) -> str:
        """Add a commit with these files changed; branch `main` follows."""
        scratch = self.home / "scratch"
        for path, text in files.items():
            scratch.write_text(text)
            blob = self._git("hash-object", "-w", str(scratch)).strip()
            self._git("update-index", "--add", "--cacheinfo", f"100644,{blob},{path}")
        self.tip = self._git("commit-tree", self._git("write-tree").strip(), "-p", self.tip,
                             "-m", subject).strip()
        self._git("update-ref", "refs/heads/main", self.tip)
        self._git("symbolic-ref", "HEAD", "refs/heads/main")
        return self.tip
