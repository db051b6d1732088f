# SPDX-License-Identifier: GPL-2.0
"""Keeps what runs code of a commit away from all that it does not need.

A commit's Makefiles, its kunit.py and what that imports run with the rights
of whoever tests it. In bubblewrap they see the file system read-only, home
folders, sockets and temporary files not at all, no network, and no variable
of the environment but the few that a build takes.
"""

from __future__ import annotations

import os
import pwd
import re
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Iterable, Iterator, List, Sequence, Tuple

from base.files import BUILD
from base.outcome import Exit, Fail
from base.process import child_env, run
from base.progress import say
from guest import kvm
from guest.setup import MACHINES, Setup

# What may be seen of the environment, even where there is no sandbox: it has secrets, mostly.
ALLOWED = re.compile(r"(PATH|LANG|LC_ALL|TERM|NO_COLOR|PYTHON[A-Z]*|HOME|TMPDIR|LD_LIBRARY_PATH"
                     r"|CCACHE_(BASEDIR|NOHASHDIR|MAXSIZE))$")
# Folders that are empty in there. (In /run are the sockets of the machine's services.)
HIDDEN = ("/home", "/root", "/run", "/tmp", "/var/tmp")
# bwrap has pid 1 die with us, and all that it has started with that.
ISOLATED = ("--die-with-parent", "--new-session", "--unshare-net", "--unshare-pid",
            "--unshare-ipc", "--cap-drop", "ALL")


def trouble() -> str:
    """Why no sandbox works here; empty, if one does."""
    if not shutil.which("bwrap"):
        return "bwrap is not installed (on Debian: apt-get install bubblewrap)"
    done = run(["bwrap", "--ro-bind", "/", "/", "--dev", "/dev", "--proc", "/proc", *ISOLATED,
                "true"])
    said = done.stderr.strip().splitlines()
    return "" if done.returncode == 0 else said[-1] if said else "bwrap does not say why"


def _home() -> Iterable[str]:
    """The user's own folders, wherever they are."""
    yield os.path.expanduser("~")
    try:
        yield pwd.getpwuid(os.getuid()).pw_dir
    except KeyError:  # a container's user may have no entry
        pass


def _hidden() -> List[Path]:
    folders = {Path(os.path.realpath(folder)) for folder in (*HIDDEN, *_home())
               if os.path.isabs(folder)}
    return sorted(folder for folder in folders if folder.is_dir() and folder != Path("/"))


def _tools(setup: Setup) -> Iterator[Path]:
    """The folders of programs that may lie in what is hidden, with what they need."""
    yield from (Path(sys.prefix), Path(sys.base_prefix))
    machine = MACHINES.get(setup.arch)
    for name in (setup.compiler, "make", "ccache",
                 *([f"qemu-system-{machine.qemu}"] if machine else [])):
        found = shutil.which(name)
        if found:
            for folder in (Path(found).parent, Path(os.path.realpath(found)).parent):
                # A compiler has the rest of it beside bin/; all of ~/.local is too much.
                own = folder.name == "bin" and folder.parent.name != ".local"
                yield folder.parent if own else folder


@dataclass(frozen=True)
class Sandbox:
    """How code of commits is run: words that go in front of its commands."""

    setup: Setup
    ccache: Path  # for these builds alone: what they put there is not to be trusted
    isolated: bool  # in bubblewrap, that is

    def _environment(self) -> List[str]:
        """Set before bwrap starts, as its own processes can be looked at from inside."""
        found = ["env"]
        for name in child_env():
            found += [] if ALLOWED.match(name) else ["-u", name]
        if self.isolated:
            found += ["HOME=/tmp", "TMPDIR=/tmp"]
        return [*found, f"CCACHE_DIR={self.ccache}"]

    def wrapper(self, read: Sequence[Path], write: Sequence[Path]) -> Tuple[str, ...]:
        """Words for commands that need these folders, some of which they write to.

        The folders are there already. One that is in a folder that is written to
        may be read-only all the same.
        """
        self.ccache.mkdir(parents=True, exist_ok=True)
        if not self.isolated:
            return tuple(self._environment())
        words = [*self._environment(), "bwrap", *ISOLATED, "--ro-bind", "/", "/", "--dev", "/dev",
                 "--proc", "/proc"]
        hidden = _hidden()
        for folder in hidden:
            words += ["--tmpfs", str(folder)]
        for path in dict.fromkeys(_tools(self.setup)):
            if any(path != folder and path.is_relative_to(folder) for folder in hidden):
                words += ["--ro-bind", str(path), str(path)]
        binds = [(path, "--bind") for path in (*write, self.ccache)]
        binds += [(path, "--ro-bind") for path in read]
        if kvm.accelerator(self.setup.arch) == kvm.KVM:
            words += ["--dev-bind-try", "/dev/kvm", "/dev/kvm"]
        # The shim, if there is one by now.
        words += ["--ro-bind-try", str(BUILD / "bin"), str(BUILD / "bin")]
        for path, how in sorted(binds):  # what is inside of another comes after it
            words += [how, str(path), str(path)]
        return (*words, "--chdir", "/")


def sandbox(setup: Setup, ccache: Path, wanted: bool) -> Sandbox:
    """A sandbox if it is wanted, and works here; what it runs goes on without, and says so."""
    why = trouble() if wanted else "--no-sandbox was given"
    if why:
        say(f"commits are built and booted without a sandbox, with all of your rights: {why}")
    return Sandbox(setup, ccache, not why)


def own(folder: Path, path: Path) -> Path:
    """See that a file a commit has made is in its folder, and no way out of it."""
    if not path.resolve().is_relative_to(folder.resolve()):
        raise Fail(Exit.BUILD, f"{path} leads out of the folder that the build may write to",
                   "see what the commit does to make it")
    return path
