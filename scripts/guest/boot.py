# SPDX-License-Identifier: GPL-2.0
"""Boots a kernel under kunit.py, which is that of the tree, and judges.

kunit.py starts QEMU and reads the results; what a single word for the
outcome takes is added here.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
import xml.etree.ElementTree as xml
from pathlib import Path
from typing import List, Optional, Sequence, Tuple

from base.files import is_full, write
from base.outcome import Exit, Fail, no_space
from base.process import run, spawn
from base.progress import Progress, say
from base.project import ARCH, UML
from guest import kvm
from guest.build import KUNIT_PY, Kernel
from guest.setup import Setup, loses_end
from guest.verdict import Verdict, before_any_case, judge, ktap, last_boot

PATIENCE = 120  # seconds for a boot; emulated, one takes one or two
FOREIGN = 600  # ... of another architecture: each of its instructions takes longer
PIDFILE = "qemu.pid"
# QEMU's last words, after whatever the kernel was about to say.
TERMINATED = re.compile(r"qemu-system-\S+: terminating on signal \d+")
# What kunit.py says when it ends a boot that takes too long.
TIMED_OUT = re.compile(r"^Command '.*' timed out after", re.MULTILINE)
# A crash ends the guest at once; kunit.py would wait for its timeout. And the
# timer of an emulated PC may be late enough on a busy host for Linux to give up.
KERNEL_ARGUMENTS = ("oops=panic", "panic=-1", "no_timer_check")
# Calibrating the timer of the local APIC takes an emulated guest as long as a
# suite does. A single processor does as well with the timer of the PC.
SINGLE_PROCESSOR = {"x86_64": ("nolapic_timer",)}
# What tells how long each suite takes.
TIMES = "printk.time=1"
# Boots that end before the first case, and end so again, so many times at the
# most: only then is it the kernel's doing.
TRIES = {Exit.CRASH: 3, Exit.HANG: 2}
RESULTS = ("test.log", "results.json", "results.ktap", "results.junit.xml")


def patience_with(setup: Setup) -> int:
    """How many seconds a boot may take."""
    return PATIENCE if setup.arch in (ARCH, UML) else FOREIGN


def kernel_arguments(kernel: Kernel) -> Tuple[str, ...]:
    """What each boot has on the kernel's command line."""
    more = () if kernel.has("CONFIG_SMP") else SINGLE_PROCESSOR.get(kernel.setup.arch, ())
    return (*KERNEL_ARGUMENTS, *more)


def qemu(kernel: Kernel, image: Path, machine: Sequence[str], *words: str) -> List[str]:
    """As kunit.py starts QEMU, with more on the command line; it is killed if this program is."""
    return ["setpriv", "--pdeathsig", "KILL", f"qemu-system-{kernel.guest['qemu_arch']}",
            "-nodefaults", *machine, "-kernel", str(image),
            "-append", " ".join((*words, *kernel_arguments(kernel), "kunit.enable=1",
                                 "kunit_shutdown=reboot",
                                 str(kernel.guest["kernel_command_line"]))),
            "-no-reboot", "-nographic", *kvm.qemu_arguments(kernel.setup.arch),
            "-serial", str(kernel.guest["serial"]), *kernel.guest["extra_qemu_params"]]


def boot(kernel: Kernel, *arguments: str, patience: Optional[int] = None,
         judge_by: Optional[Path] = None, is_reset: bool = False,
         last_words: str = "") -> Verdict:
    """Boot, and boot again what ended before the first case: that may be the machine's doing.

    `judge_by` is a kunit.py to read the results with in place of the tree's own. If the
    machine `is_reset` on purpose, results are those of the kernel that starts after that;
    the one before may have crashed with these `last_words`.
    """
    earlier: List[str] = []
    limit = patience_with(kernel.setup) if patience is None else patience
    while True:
        verdict, log = _boot(kernel, arguments, limit, judge_by, is_reset, last_words)
        if not before_any_case(verdict, log) or len(earlier) + 1 >= TRIES[verdict.code]:
            return verdict.after(earlier if verdict.code is Exit.OK else [])
        earlier.append(verdict.reason)
        say(f"the kernel ended before the first case ({verdict.reason}): trying again, as the "
            "machine may be to blame")


def _boot(kernel: Kernel, arguments: Tuple[str, ...], patience: int, judge_by: Optional[Path],
          is_reset: bool, last_words: str) -> Tuple[Verdict, str]:
    uml = kernel.setup.arch == UML
    binary = "" if uml else f"qemu-system-{kernel.guest['qemu_arch']}"
    if binary and not shutil.which(binary):
        raise Fail(Exit.MISSING, f"{binary} is not there any more",
                   "install it again, and run the same command again")
    results, pidfile = kernel.out / "results.json", kernel.out / PIDFILE
    path = kernel.out / "test.log"
    for old in (results, pidfile, path, kernel.out / "results.junit.xml"):
        old.unlink(missing_ok=True)
    files = [] if judge_by else [f"--json={results}"]
    if not judge_by and (kernel.tree / "tools/testing/kunit/kunit_junit.py").exists():
        files.append(f"--junit={kernel.out / 'results.junit.xml'}")
    command = kernel.kunit("exec", f"--timeout={patience}",
                           *(f"--kernel_args={argument}" for argument in
                             (*kernel_arguments(kernel), TIMES)),
                           *([] if uml else
                             [f"--qemu_args=-pidfile {shlex.quote(str(pidfile))}"]),
                           *kernel.qemu_config(), *files, *arguments,
                           *kernel.setup.kunit_args)
    given = [argument for argument in kernel.setup.kunit_args
             if argument.startswith("--timeout=")]
    limit = int(given[-1].split("=")[1]) if given else patience
    begin = time.monotonic()
    try:
        status, said = _watch(kernel, command)
    finally:
        killed = _left(pidfile)
    if is_full(kernel.out, ""):  # what has been written of the log would be a riddle
        raise no_space(kernel.out)
    if not path.exists() or path.is_symlink():
        raise Fail(Exit.BAD_INPUT, f"kunit.py refused to boot the kernel: {_last_words(said)}",
                   "see what it says about the arguments for it; all of it is in "
                   f"{kernel.state / 'kunit.log'}")
    log = path.read_text(errors="replace")
    hung = TIMED_OUT.search(said) is not None and time.monotonic() - begin >= limit
    if not hung and (killed or TERMINATED.search(log)):
        raise Fail(Exit.MISSING, "QEMU was killed, or crashed, while the kernel ran",
                   "see in the host's log who did it (was there memory enough?), and run the "
                   "same command again")
    before = ""
    if is_reset:  # the tree's own kunit.py has read the results of both as one
        before, log = last_boot(log)
        write(path, log.encode())
        judge_by = judge_by or kernel.tree / KUNIT_PY
    if judge_by:  # the tree's own may be what is broken
        status = read_results(kernel, judge_by, path, results)
    found = json.loads(results.read_text()) if results.exists() else None
    return judge(status, found, log, hung, before.replace(last_words, ""),
                 loses_end(kernel.setup.arch)), log


def _watch(kernel: Kernel, command: List[str]) -> Tuple[int, str]:
    """Run kunit.py, showing which suite it has come to, or all of what it says."""
    said: List[str] = []
    sys.stdout.flush()
    env = {**kvm.environment(kernel.setup.arch), "PYTHONUNBUFFERED": "1"}
    with open(kernel.state / "kunit.log", "w", errors="surrogateescape") as log, \
            Progress("booting") as progress, \
            spawn(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as child:
        count, suite = 0, ""
        assert child.stdout
        for line in child.stdout:
            log.write(line)
            said.append(line)
            if kernel.setup.verbose:
                print(line, end="", flush=True)
            found = re.search(r"=+ (\w+) \(\d+ subtests?\) =+", line)
            suite = found.group(1) if found else suite
            count += "[PASSED]" in line or "[SKIPPED]" in line or "[FAILED]" in line
            progress.update(0, f"{count} results, {suite}" if suite else "")
        status = child.wait()
    return status, "".join(said)


def read_results(kernel: Kernel, tool: Path, console: Path, results: Path) -> int:
    """Have a kunit.py read a console that another program, or another kunit.py, has kept."""
    results.unlink(missing_ok=True)
    done = run([*kernel.wrapper, sys.executable, str(tool), "parse", f"--json={results}",
                str(console)])
    if not results.is_file() or results.is_symlink():
        raise Fail(Exit.BAD_INPUT, "kunit.py cannot read what the kernel printed: "
                   f"{_last_words(done.stderr)}", f"see what is wrong with {tool}")
    return done.returncode


def _last_words(said: str) -> str:
    lines = [line for line in said.splitlines() if line.strip()]
    return lines[-1] if lines else "it said nothing"


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


def end(kernel: Kernel) -> None:
    """End a boot that another thread waits for; it then fails, as if QEMU had been killed."""
    _left(kernel.out / PIDFILE)


def keep(kernel: Kernel, folder: Path) -> str:
    """Copy what the boot left into the results folder; the answer is the console."""
    for name in ("test.log", "results.json", "results.junit.xml"):
        if (kernel.out / name).exists() and not (kernel.out / name).is_symlink():
            data = (kernel.out / name).read_bytes()
            write(folder / name, valid_xml(data) if name.endswith(".xml") else data)
    log = folder / "test.log"
    text = log.read_text(errors="replace") if log.exists() else ""
    write(folder / "results.ktap", ktap(text).encode())
    return text


def valid_xml(data: bytes) -> bytes:
    """XML cannot have what a kernel may print, and kunit.py does not mind."""
    try:
        xml.fromstring(data)
        return data
    except xml.ParseError:
        return printable(data.decode(errors="replace")).encode()


def printable(text: str) -> str:
    """Text with what XML cannot have replaced."""
    text = re.sub(r"&#(x[0-9a-fA-F]+|\d+);", lambda found: found.group() if _allowed(int(
        found.group(1).replace("x", "0x"), 0)) else "?", text)
    return "".join(letter if _allowed(ord(letter)) else "?" for letter in text)


def _allowed(code: int) -> bool:
    return code in (9, 10, 13) or 0x20 <= code <= 0xd7ff or 0xe000 <= code <= 0xfffd \
        or 0x10000 <= code <= 0x10ffff


def forget(folder: Path) -> None:
    """Results of an earlier run must not stand beside the verdict of this one."""
    for name in (*RESULTS, "verdict.json"):
        (folder / name).unlink(missing_ok=True)
