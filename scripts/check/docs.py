# SPDX-License-Identifier: GPL-2.0
"""The kernel's own checkers of documentation: kernel-doc, and Sphinx, of what the series brings.

A kernel has words of its own to hear from both. Only those count that the series is the cause of.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Iterable, List, Set

from base.outcome import Exit, Fail
from base.process import run

KERNEL_DOC = "tools/docs/kernel-doc"
LINE = re.compile(r":\d+\b")
# The folder that has the pages of the series. (In two others it changes a sentence each; to build
# those takes minutes.)
FOLDER = "mm"
# What a page refers to may be in a folder that was not built.
ELSEWHERE = re.compile(r"undefined label|unknown document")


def kernel_doc(tree: Path, pristine: Path, paths: Iterable[str]) -> List[str]:
    """What kernel-doc says of files in a tree, and not of the same files in a pristine one."""
    sources = [path for path in paths if path.endswith((".c", ".h"))]
    before = {LINE.sub("", line) for line in _kernel_doc(tree, pristine, sources)}
    return [line for line in _kernel_doc(tree, tree, sources) if LINE.sub("", line) not in before]


def _kernel_doc(tool: Path, tree: Path, paths: List[str]) -> List[str]:
    there = [path for path in paths if (tree / path).is_file()]
    if not there:
        return []
    done = run([sys.executable, "-B", str(tool / KERNEL_DOC), "-none", "-Wall", *there], cwd=tree)
    # What it says in two lines begins the second one with a star.
    said = re.sub(r"\n +\*", "", done.stdout + done.stderr)
    return list(dict.fromkeys(said.splitlines()))


def sphinx(tree: Path, out: Path, new: Iterable[str], touched: Iterable[str]) -> List[str]:
    """What Sphinx says of files that the series brings, and of those that it changes.

    The pages are below `out`, in Documentation/output/.
    """
    done = run(["make", "-s", "-C", str(tree), f"O={out}", f"SPHINXDIRS={FOLDER}", "htmldocs"])
    said = done.stdout + done.stderr
    if done.returncode:
        raise Fail(Exit.BUILD, f"Documentation/{FOLDER} cannot be built: {said.strip()[-1000:]}",
                   "see what Sphinx says above")
    return told(said, set(new), set(touched))


def told(said: str, new: Set[str], touched: Set[str]) -> List[str]:
    """The lines that name such a file."""
    def named(line: str, paths: Set[str]) -> bool:
        return any(f"/{path}:" in line for path in paths)
    return [line for line in dict.fromkeys(said.splitlines())
            if named(line, new) or named(line, touched) and not ELSEWHERE.search(line)]
