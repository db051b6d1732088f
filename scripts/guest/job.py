# SPDX-License-Identifier: GPL-2.0
"""The main job: from a source to a verdict, kept in a folder of results and told in few lines."""

from __future__ import annotations

import contextlib
import json
import os
import time
from pathlib import Path
from typing import Any, Callable, Dict, Optional

from base.files import BUILD, write
from base.outcome import Exit, Fail, from_os_error
from base.progress import coloured, result
from base.project import KERNEL
from guest import boot as guests
from guest import build as kernels
from guest import kvm
from guest.setup import Setup
from guest.verdict import Suite, Verdict, around, around_crash, got_to, suites, without_times
from series.worktree import Source, Tree, prepare

SHOWN, NAMED = 3, 12  # failures that are told in full, and by name; the files have them all
COLOURS = {Exit.OK: "green", Exit.CASE_FAILED: "red", Exit.CRASH: "red", Exit.HANG: "red"}
Describe = Callable[[Tree, Setup], kernels.Kernel]
Start = Callable[[kernels.Kernel], Verdict]


def results_folder(name: str, arch: str, source: Source) -> Path:
    """Where results go: those of another kernel from Debian lie beside those of the usual one.

    With a tree of the user's, verdict.json says which it is.
    """
    other = "" if source.kdir or source.kernel == KERNEL else f"-v{source.kernel}"
    return BUILD / "results" / f"{name}-{arch}{other}"


def _plain(tree: Tree, setup: Setup) -> kernels.Kernel:
    return kernels.describe(tree.path, setup)


def run(source: Source, setup: Setup, folder: Path, describe: Describe = _plain,
        start: Start = guests.boot, tell: bool = True) -> Verdict:
    """The whole way. The caller holds the lock of the build."""
    begin = time.monotonic()
    tree = prepare(source)
    kernel = describe(tree, setup)
    kernels.build(kernel)
    built = time.monotonic()
    verdict = start(kernel)
    end = time.monotonic()
    log = guests.keep(kernel, folder)
    found = suites(log)
    record(folder, verdict.code, verdict.reason, {
        "counts": verdict.counts, "kernel": tree.version, "tree": str(tree.path),
        "series": list(tree.notes),
        "config": setup.config, "arch": setup.arch, "retried": list(verdict.retried),
        "suites": [_as_json(suite) for suite in found],
        "seconds": {"build": round(built - begin, 2), "boot": round(end - built, 2)}})
    if tell:
        for line in lines(found, verdict, log):
            result(line)
        result(f"{coloured(verdict.line(), COLOURS[verdict.code])}; boot {end - built:.1f} s, "
               f"all {end - begin:.1f} s; see {os.path.relpath(folder)}/")
    if verdict.code is Exit.OK:
        kvm.learn(setup.arch, kernel.image, kernel.guest)
    return verdict


def _as_json(suite: Suite) -> Dict[str, Any]:
    return {"name": suite.name, "seconds": suite.seconds,
            "passed": sum(case.state == "ok" for case in suite.cases),
            "failed": sum(case.state == "not ok" for case in suite.cases),
            "skipped": {case.name: case.reason for case in suite.cases if case.state == "skip"}}


def lines(found: list[Suite], verdict: Verdict, log: str = "") -> list[str]:
    """One line a suite; what failed, with the kernel's words about it, and nothing else."""
    told = [f"{suite.name:<32} {len(suite.cases):4} cases"
            + (f" {suite.seconds * 1000:6.0f} ms" if suite.seconds is not None else
               coloured("  never ended", "red"))
            + "".join(f"\n    {coloured('skipped', 'yellow')} {case.name}: {case.reason}"
                      for case in suite.cases if case.state == "skip") for suite in found]
    failed = [case for suite in found for case in suite.cases if case.state == "not ok"]
    if verdict.code is not Exit.OK:
        told = []
    for case in failed[:SHOWN]:
        told += [f"{coloured('FAIL', 'red')} {case.suite}.{case.name}", *around(case.said)]
    told += [f"{coloured('FAIL', 'red')} {case.suite}.{case.name}" for case in
             failed[SHOWN:NAMED]]
    if len(failed) > NAMED:
        told.append(f"and {len(failed) - NAMED} more failed cases")
    if verdict.code in (Exit.CRASH, Exit.HANG):
        told += around([without_times(line) for line in around_crash(log)])
        told.append(f"that was {got_to(without_times(log)) or 'before the first suite'}")
    return told + [f"an earlier boot ended before the first case ({reason}): that is put down to "
                   "the machine" for reason in verdict.retried]


def record(folder: Path, code: Exit, reason: str, details: Dict[str, Any]) -> None:
    """Keep the verdict for programs."""
    write(folder / "verdict.json", json.dumps(
        {"verdict": code.name_in_json, "code": int(code), "reason": reason, **details},
        indent=2).encode(errors="surrogateescape") + b"\n")


def recorded(folder: Path, work: Callable[[], Optional[Verdict]]) -> Exit:
    """See that verdict.json tells how the work ended, whatever happens."""
    guests.forget(folder)  # a run that is killed must not leave an earlier run's verdict
    try:
        verdict = work()
        return verdict.code if verdict else Exit.OK
    except (Fail, OSError) as error:
        fail = error if isinstance(error, Fail) else from_os_error(error)
        with contextlib.suppress(OSError):
            record(folder, fail.code, fail.what, {"remedy": fail.remedy})
        raise
    except KeyboardInterrupt:
        record(folder, Exit.INTERRUPTED, "interrupted", {})
        raise
    except Exception as error:
        record(folder, Exit.INTERNAL, repr(error), {})
        raise
