# SPDX-License-Identifier: GPL-2.0
"""Look for memory that is still allocated after the suites, and that nothing points to.

kmemleak finds it, in a kernel that has it built in; a user space asks it. What
it says is in build/results/leaks-ARCH/kmemleak.txt.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from base.files import write
from base.outcome import Exit
from base.progress import result
from guest import initramfs, job, verb
from guest import build as kernels
from guest.requirements import BUSYBOX
from guest.setup import Setup
from guest.verdict import Verdict
from series.worktree import Source, Tree

# Only what is older than 5 s may be a leak, and only if a second scan finds it unchanged.
SCRIPT = """sleep 6
echo scan > /debug/kmemleak
echo scan > /debug/kmemleak
echo "kmemleak has scanned" >&3
cat /debug/kmemleak >&3"""
LEAK = "unreferenced object "  # begins each report


def describe(tree: Tree, setup: Setup) -> kernels.Kernel:
    return initramfs.describe(tree.path, setup, "leaks")


def boot(kernel: kernels.Kernel, folder: Path) -> Verdict:
    """Boot, scan, and judge; `folder` gets what kmemleak says."""
    said = kernel.state / "kmemleak"
    verdict = initramfs.boot(kernel, SCRIPT, said)
    if verdict.code is not Exit.OK:
        return verdict
    reports = said.read_text(errors="replace")
    write(folder / "kmemleak.txt", reports.encode())
    leaks = reports.count(LEAK)
    if not leaks:
        return verdict
    result(reports)
    return Verdict(Exit.CASE_FAILED, f"{leaks} leaks", verdict.counts)


add_arguments = verb.add_arguments


def leaks(source: Source, setup: Setup, folder: Path) -> Verdict:
    """The whole way from source to verdict."""
    return job.run(source, setup, folder, describe, lambda kernel: boot(kernel, folder))


def main(args: argparse.Namespace) -> Exit:
    return verb.run(args, "leaks", leaks, BUSYBOX)
