# SPDX-License-Identifier: GPL-2.0
"""Builds each commit of the series as it will be mailed, boots it, and runs what suites it has."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Dict, List

from base import jobs
from base.files import BUILD, REPO, digest, digest_of_files, write
from base.outcome import Exit, Fail
from base.process import run
from base.progress import coloured, result
from base.project import ARCH, CONFIGS, FOR_ARCH_ALONE, KUNITCONFIGS
from guest import boot
from guest import build as kernels
from guest.setup import Setup
from series.mailing import Series
from series.worktree import Checkout

# What the series changes is built with these; and a kernel without suites of ours has
# those of KUnit's example to run.
UNDER_TEST = ("CONFIG_KUNIT=y", "CONFIG_KUNIT_EXAMPLE_TEST=y", "CONFIG_MEMORY_HOTPLUG=y",
              "CONFIG_MEMORY_HOTREMOVE=y", "CONFIG_VIRTIO_MENU=y", "CONFIG_VIRTIO_MMIO=y",
              "CONFIG_VIRTIO_MEM=y")


@dataclass(frozen=True)
class Proof:
    """What came of a commit."""

    commit: str
    subject: str
    complaint: str  # empty, if all is well
    passed: int = 0
    failed: int = 0
    skipped: int = 0

    def kept(self) -> Dict[str, Any]:
        """What holds for every commit with the same files."""
        return {name: value for name, value in vars(self).items()
                if name not in ("commit", "subject")}

    def line(self, number: int, of: int) -> str:
        word = coloured("FAIL", "red") if self.complaint else coloured("ok  ", "green")
        return f"{word} {number}/{of} {self.subject}: " + (
            self.complaint or f"builds at W=1, {self.passed} passed, {self.skipped} skipped")


def prove(series: Series, folder: Path) -> List[Proof]:
    """Go through all commits; what came of each is told at once, and kept in proof.json.

    What has been proven of a commit once is not proven again: cut short, or with a part of the
    series changed, the same command goes on from there.
    """
    store = jobs.Store(BUILD / "check" / "proofs", digest_of_files([Path(__file__)]))
    checkout = Checkout(series.ours, BUILD / "tree" / f"series-{series.version}")
    setup = Setup(build_dir=BUILD / "out" / f"series-{series.version}")
    found: List[Proof] = []
    for number, commit in enumerate(series.commits, 1):
        before, tree = series.ours.git("rev-parse", f"{commit}^^{{tree}}",
                                       f"{commit}^{{tree}}").split()
        checkout.to(tree, force=True)
        config = _kunitconfig(checkout.path)
        key = f"{before} {tree} {digest(config.read_bytes())}"
        known = store.load(key)
        if known:
            found.append(Proof(commit, series.subject(commit), **known))
        else:
            found.append(_prove(series, commit, checkout.path, setup, config))
            if not found[-1].complaint:
                store.save(key, found[-1].kept())
        result(found[-1].line(number, len(series.commits)))
        write(folder / "proof.json", json.dumps(
            [vars(proof) for proof in found], indent=2).encode() + b"\n")
    return found


def _prove(series: Series, commit: str, tree: Path, setup: Setup, config: Path) -> Proof:
    subject = series.subject(commit)
    kernel = kernels.as_linked(replace(kernels.describe(tree, setup), configs=(str(config),)))
    try:
        kernels.build(kernel)
        warnings = _warnings(kernel, series.ours.changed(f"{commit}^", commit))
        if warnings:
            return Proof(commit, subject, f"W=1 says {warnings[0]}")
        verdict = boot.boot(kernel)
    except Fail as fail:
        if fail.code is not Exit.BUILD:
            raise
        return Proof(commit, subject, fail.what)
    counts: Dict[str, Any] = verdict.counts
    return Proof(commit, subject, "" if verdict.code is Exit.OK else verdict.line(),
                 counts.get("passed", 0), counts.get("failed", 0), counts.get("skipped", 0))


def _kunitconfig(tree: Path) -> Path:
    """The options of the suites that a commit has, and what builds the code under test."""
    lines = [line for path in CONFIGS["trimmed"][0] if FOR_ARCH_ALONE.get(path, ARCH) == ARCH
             for line in (REPO / path).read_text().splitlines()]
    lines += [line for path in KUNITCONFIGS if (tree / path).is_file()
              for line in (tree / path).read_text().splitlines()]
    # What the suites need beside themselves: were it new, all would be built again.
    lines += [line for path in KUNITCONFIGS for line in (REPO / path).read_text().splitlines()
              if "KUNIT" not in line]
    made = BUILD / "check" / "series.kunitconfig"
    write(made, "\n".join((*dict.fromkeys((*lines, *UNDER_TEST)), "")).encode())
    return made


def _warnings(kernel: kernels.Kernel, paths: List[str]) -> List[str]:
    """What the compiler says at W=1 of the files that a commit touches, and that are built."""
    objects = [str(Path(path).with_suffix(".o")) for path in paths if path.endswith(".c")]
    built = [path for path in objects if (kernel.out / path).is_file()]
    if not built:
        return []
    for path in built:
        (kernel.out / path).unlink()
    done = run(kernels.make_command(kernel, "W=1", *built))
    return done.stderr.splitlines()
