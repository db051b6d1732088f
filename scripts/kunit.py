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
import shlex
import shutil
import signal
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Callable, Dict, Optional

import accel
import kernel as kernels
import series
import tools
from host import BUILD, REPO, is_full, run, spawn, write
from options import Options, from_environment
from tree import build_lock, prepare
from verdict import Exit, Fail, from_os_error, no_space, run_verb

# (Lockups are the watchdogs' word for a hang.)
CRASH = re.compile(r"Kernel panic|kernel BUG at|\bOops: |Internal error: "
                   r"|\bBUG: (?!soft lockup|workqueue lockup)")
# Warnings that a case expects are suppressed by KUnit, and do not get here.
WARNING = re.compile(r"^WARNING: .*", re.MULTILINE)
# The last words of a kernel that got to its end.
THE_END = "reboot: "
PATIENCE = 120  # seconds for a boot; emulated, one takes one or two
# QEMU's last words, after whatever the kernel was about to say, and who made it say them.
TERMINATED = re.compile(r"qemu-system-\S+: terminating on signal \d+ from pid (\d+)")
WORDS = {Exit.OK: "PASS", Exit.CASE_FAILED: "FAIL", Exit.CRASH: "CRASH", Exit.HANG: "HANG"}
# A crash ends the guest at once; kunit.py would wait for its timeout. And the
# timer of an emulated PC may be late enough on a busy host for Linux to give up.
KERNEL_ARGUMENTS = ("oops=panic", "panic=-1", "no_timer_check")
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
        return f"{WORDS[self.code]}: {told}{f' ({self.reason})' if self.reason else ''}"


def judge(status: int, results: Optional[Dict[str, Any]], log: str, hung: bool) -> Verdict:
    """The verdict on a boot, from kunit.py's exit status, its JSON, and the console."""
    counts = {name: int(results["misc"][name]) for name in COUNTS} if results else {}
    ran = counts.get("passed", 0) + counts.get("failed", 0)
    if "Linux version" not in log:
        lines = [line for line in log.splitlines() if line.startswith("qemu-system-")]
        if lines and not hung:
            raise Fail(Exit.MISSING, f"QEMU did not start: {lines[-1]}",
                       "see that QEMU is installed whole, its firmware included")
        return Verdict(Exit.HANG if hung else Exit.CRASH, "the kernel printed nothing", counts)
    crash = CRASH.search(log)
    if crash:
        line = next(line for line in log.splitlines() if CRASH.search(line))
        return Verdict(Exit.CRASH, line.strip(), counts)
    if hung:
        return Verdict(Exit.HANG, "the kernel never got to its end", counts)
    if THE_END not in log:
        return Verdict(Exit.CRASH, "the machine reset itself before the kernel got to its end",
                       counts)
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


def boot(kernel: kernels.Kernel, *arguments: str, quiet: bool = False,
         patience: int = PATIENCE) -> Verdict:
    """Boot the kernel under kunit.py, let it print, and judge."""
    binary = f"qemu-system-{kernel.qemu['qemu_arch']}"
    if not shutil.which(binary):
        raise Fail(Exit.MISSING, f"{binary} is not there any more",
                   "install it again, and run the same command again")
    results, pidfile = kernel.out / "results.json", kernel.out / "qemu.pid"
    said = kernel.state / "kunit.log"
    for old in (results, pidfile, kernel.out / "test.log"):
        old.unlink(missing_ok=True)
    files = [f"--json={results}"]
    if (kernel.tree / "tools/testing/kunit/kunit_junit.py").exists():
        files.append(f"--junit={kernel.out / 'results.junit.xml'}")
    command = kernel.kunit("exec", f"--timeout={patience}",
                           *(f"--kernel_args={argument}" for argument in KERNEL_ARGUMENTS),
                           f"--qemu_args=-pidfile {shlex.quote(str(pidfile))}",
                           *files, *arguments,
                           *kernel.options.kunit_args)
    sys.stdout.flush()
    try:
        with open(said, "w") as quietly, \
                spawn(command, env=accel.environment(kernel), stdout=quietly if quiet else None,
                      stderr=quietly if quiet else None) as child:
            status = child.wait()
    finally:
        killed = _left(pidfile)
    if is_full(kernel.out, ""):  # what has been written of the log would be a riddle
        raise no_space(kernel.out)
    path = kernel.out / "test.log"
    if not path.exists():
        raise Fail(Exit.BAD_INPUT, "kunit.py refused to boot the kernel",
                   f"see {said if quiet else 'above'} what it says about KUNIT_ARGS")
    log = path.read_text(errors="replace")
    ended = TERMINATED.search(log)
    hung = ended is not None and int(ended.group(1)) == child.pid
    if killed or (ended and not hung):
        raise Fail(Exit.MISSING, "QEMU was killed, or crashed, while the kernel ran",
                   "see in the host's log who did it (was there memory enough?), and run the "
                   "same command again")
    found = json.loads(results.read_text()) if results.exists() else None
    return judge(status, found, log, hung)


def _left(pidfile: Path) -> bool:
    """QEMU removes its pidfile, unless it is killed; or it lives, as kunit.py does not."""
    if not pidfile.exists():
        return False
    process = Path("/proc") / pidfile.read_text().strip()
    with contextlib.suppress(OSError):  # it may end by itself just now
        if process.name.isdigit() and str(pidfile).encode() in (process / "cmdline").read_bytes():
            os.kill(int(process.name), signal.SIGKILL)
    pidfile.unlink()
    return True


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
