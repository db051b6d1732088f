# SPDX-License-Identifier: GPL-2.0
"""Child processes: what they inherit, and that they never outlive their purpose."""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
from typing import Any, Dict, Iterator, List, Sequence, Set

from base.files import BUILD, REPO
from base.outcome import Exit, Fail

# What would change a kernel's build, or lead git elsewhere, behind our back. The
# make or the git hook that may have started us sets some of them.
HIDDEN = re.compile(
    r"(KBUILD_|KCONFIG_|GIT_|MAKE|LLVM|HOST(CC|CXX|LD|AR|CFLAGS|CXXFLAGS|LDFLAGS|LDLIBS)$"
    r"|USER(C|LD)FLAGS$|K(C|A|CPP|RUST)FLAGS$|(C|CPP|CXX|A|LD)FLAGS|INSTALL_)"
    r"|(KDIR|KERNEL|ARCH|SUBARCH|SRCARCH|CROSS_COMPILE|O|M|V|W|C|CC|LD|AR|NM|CF|CHECK"
    r"|MFLAGS|GNUMAKEFLAGS|PYTHONPATH|CDPATH|ENV|BASH_ENV|GREP_OPTIONS)$")

CPUS = len(os.sched_getaffinity(0))

locks_held: List[int] = []
_children: Set[subprocess.Popen[Any]] = set()


def child_env() -> Dict[str, str]:
    env = {name: value for name, value in os.environ.items() if not HIDDEN.match(name)}
    env["LC_ALL"] = "C.UTF-8"
    # kunit.py must not leave byte code in a tree that is not ours.
    env["PYTHONPYCACHEPREFIX"] = str(BUILD / "pycache")
    # One clone's objects serve the next one: keep its path out of the hash.
    env["CCACHE_BASEDIR"] = str(REPO)
    env["CCACHE_NOHASHDIR"] = "1"
    return env


@contextlib.contextmanager
def spawn(command: Sequence[str], **more: Any) -> Iterator[subprocess.Popen[Any]]:
    """A child that never outlives the block, and keeps our locks while it lives."""
    settings: Dict[str, Any] = {"env": child_env(), "stdin": subprocess.DEVNULL, **more}
    if settings.pop("text", True):
        # What is not UTF-8 comes through unharmed; newlines do not matter in text.
        settings.update(encoding="utf-8", errors="surrogateescape")
    settings["pass_fds"] = (*locks_held, *settings.get("pass_fds", ()))
    try:
        child = subprocess.Popen(command, **settings)
    except FileNotFoundError:
        raise Fail(Exit.MISSING, f"{command[0]} is not installed",
                   f"install it (on Debian: apt-get install {command[0]})") from None
    _children.add(child)
    try:
        yield child
    finally:
        _children.discard(child)
        if child.poll() is None:
            child.terminate()
        child.wait()
        for pipe in (child.stdin, child.stdout, child.stderr):
            if pipe:
                with contextlib.suppress(BrokenPipeError):
                    pipe.close()


def end_children() -> None:
    """Have the children of all threads end, so that these do: the work is given up."""
    for child in list(_children):
        child.terminate()


def run(command: Sequence[str], **more: Any) -> subprocess.CompletedProcess[str]:
    """Run to the end and give back what it said; the caller judges the exit code."""
    settings = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **more}
    given = settings.pop("input", None)
    if given is not None:
        settings["stdin"] = subprocess.PIPE
    with spawn(command, **settings) as child:
        out, err = child.communicate(given)
    return subprocess.CompletedProcess(command, child.returncode, out or "", err or "")


def run_bytes(command: Sequence[str], **more: Any) -> subprocess.CompletedProcess[bytes]:
    """The same for contents of files, of which no byte may change."""
    settings = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **more, "text": False}
    given = settings.pop("input", None)
    if given is not None:
        settings["stdin"] = subprocess.PIPE
    with spawn(command, **settings) as child:
        out, err = child.communicate(given)
    return subprocess.CompletedProcess(command, child.returncode, out or b"", err or b"")
