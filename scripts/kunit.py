#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""The main job: tree, build, boot, verdict.

The boot and the reading of its results are kunit.py's, from the tree that
is tested; this verb adds what a single word for the outcome takes.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Callable, Dict, Optional

import accel
import kernel as kernels
import series
import tools
from host import BUILD, REPO, run, spawn, write
from options import Options, from_environment
from tree import build_lock, prepare
from verdict import Exit, Fail, from_os_error, run_verb

CRASH = re.compile(r"Kernel panic|kernel BUG at|\bOops: |\bBUG: |Internal error: ")
# Warnings that a case expects are suppressed by KUnit, and do not get here.
WARNING = re.compile(r"^WARNING: .*", re.MULTILINE)
# The last words of a kernel that got to its end.
THE_END = "reboot: "
PATIENCE = 120  # seconds for a boot; emulated, one takes one or two
COUNTS = ("passed", "failed", "crashed", "skipped", "errors")


@dataclass(frozen=True)
class Verdict:
    code: Exit
    reason: str
    counts: Dict[str, int]

    def line(self) -> str:
        """One line that says it all."""
        told = ", ".join(f"{self.counts.get(name, 0)} {name}" for name in COUNTS
                         if self.counts.get(name) or name in ("passed", "failed"))
        word = "PASS" if self.code is Exit.OK else "FAIL" if self.code is Exit.CASE_FAILED \
            else "CRASH"
        return f"{word}: {told}{f' ({self.reason})' if self.reason else ''}"


def judge(status: int, results: Optional[Dict[str, Any]], log: str) -> Verdict:
    """The verdict on a boot, from kunit.py's exit status, its JSON, and the console."""
    counts = {name: int(results["misc"][name]) for name in COUNTS} if results else {}
    ran = counts.get("passed", 0) + counts.get("failed", 0)
    if "Linux version" not in log:
        lines = [line for line in log.splitlines() if line.startswith("qemu-system-")]
        if lines:
            raise Fail(Exit.MISSING, f"QEMU did not start: {lines[-1]}",
                       "see that QEMU is installed whole, its firmware included")
        return Verdict(Exit.CRASH, "the kernel printed nothing", counts)
    crash = CRASH.search(log)
    if crash:
        line = next(line for line in log.splitlines() if CRASH.search(line))
        return Verdict(Exit.CRASH, line.strip(), counts)
    if THE_END not in log:
        return Verdict(Exit.CRASH, "the kernel hung: it never got to its end", counts)
    if counts.get("crashed"):
        return Verdict(Exit.CRASH, "a case never came to its end", counts)
    if counts.get("failed"):
        return Verdict(Exit.CASE_FAILED, "", counts)
    if not ran:
        reason = "all cases were skipped" if counts.get("skipped") else "no case ran"
        return Verdict(Exit.CASE_FAILED, reason, counts)
    warning = WARNING.search(log, log.find("KTAP version"))
    if warning:
        return Verdict(Exit.CASE_FAILED, f"the kernel warned: {warning.group()}", counts)
    if counts.get("errors") or status:
        return Verdict(Exit.CASE_FAILED, "kunit.py found errors in the results", counts)
    return Verdict(Exit.OK, "", counts)


def boot(kernel: kernels.Kernel, *arguments: str, quiet: bool = False) -> Verdict:
    """Boot the kernel under kunit.py, let it print, and judge."""
    results = kernel.out / "results.json"
    results.unlink(missing_ok=True)
    (kernel.out / "test.log").unlink(missing_ok=True)
    files = [f"--json={results}"]
    if (kernel.tree / "tools/testing/kunit/kunit_junit.py").exists():
        files.append(f"--junit={kernel.out / 'results.junit.xml'}")
    # A panic ends the guest at once; kunit.py would wait for its timeout.
    command = kernel.kunit("exec", f"--timeout={PATIENCE}", "--kernel_args=panic=-1",
                           *files, *arguments,
                           *kernel.options.kunit_args)
    sys.stdout.flush()
    with open(os.devnull, "w") as nowhere, \
            spawn(command, env=accel.environment(kernel), stdout=nowhere if quiet else None,
                  stderr=nowhere if quiet else None) as child:
        status = child.wait()
    log = kernel.out / "test.log"
    if not log.exists():
        raise Fail(Exit.BAD_INPUT, "kunit.py refused to boot the kernel",
                   "see above what it says about KUNIT_ARGS")
    found = json.loads(results.read_text()) if results.exists() else None
    return judge(status, found, log.read_text(errors="replace"))


def keep(kernel: kernels.Kernel, folder: Path) -> None:
    """Copy what the boot left into the results folder."""
    for name in ("test.log", "results.json", "results.junit.xml"):
        if (kernel.out / name).exists():
            write(folder / name, (kernel.out / name).read_bytes())
    tool = str(kernel.tree / "tools/testing/kunit/kunit.py")
    ktap = run([sys.executable, tool, "parse", "--raw_output=kunit", str(folder / "test.log")])
    write(folder / "results.ktap", ktap.stdout.encode())


def kunit(options: Options, folder: Path,
          describe: Callable[[Path, Options], kernels.Kernel] = kernels.describe,
          start: Callable[[kernels.Kernel], Verdict] = boot) -> Verdict:
    """The whole way from source to verdict; `folder` gets the results."""
    begin = time.monotonic()
    tools.require(options)
    tree = prepare(options)
    kernel = describe(tree, options)
    kernels.build(kernel)
    built = time.monotonic()
    verdict = start(kernel)
    end = time.monotonic()
    keep(kernel, folder)
    _record(folder, verdict.code, verdict.reason, {
        "counts": verdict.counts, "kernel": series.version_of(tree)[1], "tree": str(tree),
        "config": options.config, "arch": options.arch,
        "seconds": {"build": round(built - begin, 2), "boot": round(end - built, 2)}})
    print(f"{verdict.line()}; boot {end - built:.1f} s, all {end - begin:.1f} s; "
          f"see {os.path.relpath(folder)}/")
    return verdict


def _record(folder: Path, code: Exit, reason: str, details: Dict[str, Any]) -> None:
    """make turns every failure into its own exit code 2; this file keeps the difference."""
    write(folder / "verdict.json", json.dumps(
        {"verdict": code.name.lower(), "code": int(code), "reason": reason, **details},
        indent=2).encode() + b"\n")


def recorded(folder: Path, work: Callable[[], Verdict]) -> Exit:
    """See that verdict.json tells how the work ended, whatever happens."""
    # A run that is killed must not leave an earlier run's verdict.
    (folder / "verdict.json").unlink(missing_ok=True)
    try:
        return work().code
    except (Fail, OSError) as error:
        fail = error if isinstance(error, Fail) else from_os_error(error)
        with contextlib.suppress(OSError):
            _record(folder, fail.code, fail.what, {"remedy": fail.remedy})
        raise fail from None
    except KeyboardInterrupt:
        _record(folder, Exit.INTERRUPTED, "interrupted", {})
        raise


def main() -> Exit:
    options = from_environment(os.environ)
    folder = BUILD / "results" / f"{options.config}-{options.arch}"
    with build_lock("make kunit"):
        return recorded(folder, lambda: kunit(options, folder))


if __name__ == "__main__":
    run_verb(main)
