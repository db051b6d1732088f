# SPDX-License-Identifier: GPL-2.0
"""The least memory of a guest in which a row passes, with no more cases skipped than it has."""

from __future__ import annotations

import dataclasses
from typing import Callable, Optional

from base.outcome import Exit
from base.project import UML
from matrix.result import Result
from matrix.rows import Row

SIZES = (256, 384, 512, 768, 1024, 1536, 2048, 3072)  # MiB
Look = Callable[[Row], Optional[Result]]


def is_free(row: Row) -> bool:
    """May it have less memory than it has, or does something else of the row say how much?"""
    return row.arch != UML and "memory" not in row.qemu


def least(full: Result, look: Look) -> Optional[int]:
    """In MiB; `look` runs a row, or knows what came of it. None if nobody knows.

    It is looked for by halves: what passes does so with more memory, too.
    """
    if full.code is not Exit.OK or not is_free(full.row):
        return None
    sizes = [*(size for size in SIZES if size < full.row.memory), full.row.memory]
    low, high = 0, len(sizes) - 1
    while low < high:
        middle = (low + high) // 2
        tried = look(_with(full.row, sizes[middle]))
        if tried is None or tried.code is Exit.MISSING:
            return None
        if tried.code is Exit.OK and tried.counts == full.counts:
            high = middle
        else:
            low = middle + 1
    return sizes[high]


def _with(row: Row, memory: int) -> Row:
    return dataclasses.replace(row, name=f"{row.name}@{memory}", memory=memory)
