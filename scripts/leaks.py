#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Looks for memory that is still allocated after the suites, and that nothing points to.

kmemleak finds it, in a kernel that has it built in; a user space asks it.
"""

from __future__ import annotations

import os
from pathlib import Path

import kernel as kernels
import kunit
import tools
import userspace
from host import BUILD, write
from options import Options, from_environment
from tree import build_lock
from verdict import Exit, run_verb

# Only what is older than 5 s may be a leak, and only if a second scan finds it unchanged.
SCRIPT = """sleep 6
echo scan > /debug/kmemleak
echo scan > /debug/kmemleak
echo "kmemleak has scanned" >&3
cat /debug/kmemleak >&3"""
LEAK = "unreferenced object "  # begins each report


def describe(tree: Path, options: Options) -> kernels.Kernel:
    return userspace.describe(tree, options, "leaks")


def boot(kernel: kernels.Kernel, folder: Path) -> kunit.Verdict:
    """Boot, scan, and judge; `folder` gets what kmemleak says."""
    said = kernel.state / "kmemleak"
    verdict = userspace.boot(kernel, SCRIPT, said)
    if verdict.code is not Exit.OK:
        return verdict
    reports = said.read_text(errors="replace")
    write(folder / "kmemleak.txt", reports.encode())
    leaks = reports.count(LEAK)
    if not leaks:
        return verdict
    print(reports)
    return kunit.Verdict(Exit.CASE_FAILED, f"{leaks} leaks", verdict.counts)


def leaks(options: Options, folder: Path) -> kunit.Verdict:
    """The whole way from source to verdict."""
    tools.require(options, userspace.TOOLS)
    return kunit.kunit(options, folder, describe, lambda kernel: boot(kernel, folder))


def main() -> Exit:
    options = from_environment(os.environ)
    folder = BUILD / "results" / f"leaks-{options.arch}"
    with build_lock("make leaks"):
        return kunit.recorded(folder, lambda: leaks(options, folder))


if __name__ == "__main__":
    run_verb(main)
