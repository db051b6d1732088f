# SPDX-License-Identifier: GPL-2.0
"""Patches of bugs that never were."""

from __future__ import annotations

from pathlib import Path

from history.bugs import Bug, read
from tests import fixture

HEADER = "Bug: {name}\nYear: 2020\nFile: mm/code.c\nFix: 0123456789ab\n{more}\nAll is\nlost.\n---\n"


def bug(folder: Path, name: str, after: str, more: str = "", before: str = fixture.CODE) -> Bug:
    """A patch for mm/code.c, with more in its header."""
    diff = fixture.mail("mm/code.c", before, after).split("\n\n", 2)[2]
    fixture.lay(folder, {f"{name}.patch": HEADER.format(name=name, more=more) + diff})
    return read(folder / f"{name}.patch")
