# SPDX-License-Identifier: GPL-2.0
"""What stands against each other where git could not merge a patch."""

from __future__ import annotations

import re
import tempfile
from pathlib import Path
from typing import Dict, List

from base.process import run_bytes
from series.git import Repository

SHOWN, LINES = 4, 15  # conflicts, and lines of each side
# Lines where a function begins, as git's diff takes them.
HEAD = re.compile(r"^(?:[A-Za-z_][^(]*\W)?(\w+)\(")
OURS, MIDDLE, THEIRS = "<<<<<<< ", "=======", ">>>>>>> "


def told(ours: Repository, index: Path) -> str:
    """For each conflict in an index: file, line, function, and both sides; or nothing."""
    stages: Dict[str, Dict[int, str]] = {}
    for line in ours.git("ls-files", "--unmerged", "-z", index=index).split("\0"):
        if line:
            entry, path = line.split("\t", 1)
            _, blob, stage = entry.split()
            stages.setdefault(path, {})[int(stage)] = blob
    found = [conflict for path, blobs in stages.items() for conflict in _of_file(ours, path, blobs)]
    if len(found) > SHOWN:
        found[SHOWN:] = [f"and {len(found) - SHOWN} more"]
    return "\n".join(found)


def _of_file(ours: Repository, path: str, blobs: Dict[int, str]) -> List[str]:
    if len(blobs) < 3:  # one side has removed the file
        return [f"{path} is {'there already' if 2 in blobs else 'gone'}"]
    with tempfile.TemporaryDirectory() as held:
        files = [Path(held) / name for name in ("tree", "base", "patch")]
        for file, stage in zip(files, (2, 1, 3)):
            file.write_bytes(ours.git_bytes("cat-file", "blob", blobs[stage]))
        merged = run_bytes(["git", "merge-file", "-p", "--no-diff3", *(str(file) for file in files)])
    return _sides(path, merged.stdout.decode(errors="replace").splitlines())


def _sides(path: str, lines: List[str]) -> List[str]:
    """Each place that git has marked, with the line it has in the tree."""
    found: List[str] = []
    number, function = 0, ""
    tree: List[str] = []
    patch: List[str] = []
    side = None
    for line in lines:
        if line.startswith(OURS):
            tree, patch, side = [], [], "tree"
        elif side == "tree" and line == MIDDLE:
            side = "patch"
        elif side == "patch" and line.startswith(THEIRS):
            side = None
            where = f", in {function}()" if function else ""
            found.append("\n".join((f"{path}:{number - len(tree) + 1}{where}",
                                    "  the tree has", *_short(tree),
                                    "  the patch has", *_short(patch))))
        elif side == "patch":
            patch.append(line)
        else:
            number += 1
            head = HEAD.match(line)
            if line == "}":
                function = ""
            elif head and not line.endswith(";"):
                function = head.group(1)
            if side == "tree":
                tree.append(line)
    return found


def _short(lines: List[str]) -> List[str]:
    more = [f"    | ... and {len(lines) - LINES} more lines"] if len(lines) > LINES else []
    return [f"    | {line}" for line in lines[:LINES] or ["(nothing)"]] + more
