# SPDX-License-Identifier: GPL-2.0
"""Parts of a device's memory, as (start, end) in bytes, in order and apart."""

from __future__ import annotations

import errno
import os
import re
from pathlib import Path
from typing import List, Sequence, Tuple

Part = Tuple[int, int]


def parse(text: str) -> List[Part]:
    """What a test case says, such as ` 0x0-0x200000 0x400000-0x600000`."""
    return [(int(start, 16), int(end, 16))
            for start, end in re.findall(r"(0x[0-9a-f]+|0)-(0x[0-9a-f]+)", text)]


def size(parts: Sequence[Part]) -> int:
    return sum(end - start for start, end in parts)


def existing(path: Path) -> List[Part]:
    """The parts of a file that are not holes."""
    found: List[Part] = []
    handle = os.open(path, os.O_RDONLY)
    try:
        end = 0
        while True:
            start = os.lseek(handle, end, os.SEEK_DATA)
            end = os.lseek(handle, start, os.SEEK_HOLE)
            found.append((start, end))
    except OSError as error:
        if error.errno != errno.ENXIO:  # no more data
            raise
        return found
    finally:
        os.close(handle)


def outside(parts: Sequence[Part], allowed: Sequence[Part]) -> List[Part]:
    """What of the parts is in none of those that are allowed."""
    found: List[Part] = []
    for start, end in parts:
        for other_start, other_end in allowed:
            if other_end <= start or other_start >= end:
                continue
            if start < other_start:
                found.append((start, other_start))
            start = min(other_end, end)
        if start < end:
            found.append((start, end))
    return found


def told(parts: Sequence[Part]) -> str:
    return ", ".join(f"{start:#x}-{end:#x}" for start, end in parts)
