# SPDX-License-Identifier: GPL-2.0
"""The series as mails for one kernel: each with the new files that it brings, and merged."""

from __future__ import annotations

from pathlib import Path
from typing import List

from base.files import fresh, write
from series.overlay import Overlay
from series.queue import message


def mails(overlay: Overlay, tree: str, name: str, folder: Path) -> List[Path]:
    """Write to a folder what `git am` makes the same of as Overlay.lay(), of this tree.

    What the tree has already is left out.
    """
    before, found = tree, []
    fresh(folder)
    for patch, after in overlay.steps(tree, name):
        if overlay.ours.changed(before, after):
            path = folder / patch.name
            write(path, message(patch.read_text()).encode() + overlay.ours.git_bytes(
                "diff-tree", "-p", "--full-index", "--no-renames", "--no-color", "--binary",
                "--src-prefix=a/", "--dst-prefix=b/", before, after))
            found.append(path)
        before = after
    return found
