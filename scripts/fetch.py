# SPDX-License-Identifier: GPL-2.0
"""Fetches a kernel's source: Debian's linux-source package, by Debian's own tools.

apt works on a private state below the cache, with the machine's settings and
mirror but none of its package lists: no root needed, nothing of the machine's
changed. An unpacked source is never touched again.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import List, Tuple

from host import cache, fresh, is_full, lock, need_space, run, spawn
from progress import Progress, say
from verdict import Exit, Fail, no_space

KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"
# From the smallest package list to the largest; the first that has it wins.
SUITES = ("trixie-backports", "trixie-security", "trixie", "bookworm-backports",
          "bookworm-security", "bookworm", "forky", "sid")
OFFLINE = re.compile(r"could not resolve|temporary failure|could not connect|unable to connect"
                     r"|network is unreachable|timed out|cannot initiate", re.IGNORECASE)
OWN_TREE = "or pass KDIR= with a kernel tree of yours"


def source(kernel: str) -> Path:
    """The pristine source of a kernel, fetched on first use."""
    home = cache() / "src" / kernel
    tree = home / f"linux-source-{kernel}"
    if tree.is_dir():
        return tree
    with lock(cache() / "fetch.lock", f"fetching linux {kernel}"):
        if not tree.is_dir():
            _fetch(kernel, home)
    return tree


def _fetch(kernel: str, home: Path) -> None:
    for tool in ("apt-get", "dpkg-deb"):
        if not shutil.which(tool):
            raise Fail(Exit.MISSING, f"cannot fetch linux {kernel}: there is no {tool} here",
                       f"get a linux {kernel} tree and pass it as KDIR=")
    if not os.path.exists(KEYRING):
        raise Fail(Exit.MISSING, f"{KEYRING} is missing",
                   f"apt-get install debian-archive-keyring, {OWN_TREE}")
    need_space(cache(), 2.5)
    state = cache() / "apt"
    package = _download(kernel, state)
    _unpack(package, fresh(home.with_name(f".{kernel}.new")), home)
    shutil.rmtree(state)


def _mirrors() -> Tuple[List[str], List[str]]:
    """The sites this machine's apt uses: of the archive, of its security part."""
    done = run(["apt-get", "update", "--print-uris"])
    found = re.findall(r"^'(\S+?)/dists/([\w-]+)/InRelease'", done.stdout, re.MULTILINE)
    main = [site for site, suite in found if not suite.endswith("-security")]
    security = [site for site, suite in found if suite.endswith("-security")]
    if not main:
        raise Fail(Exit.MISSING, "this machine's apt has no Debian mirror",
                   f"add one to /etc/apt/sources.list, {OWN_TREE}")
    return list(dict.fromkeys(main)), list(dict.fromkeys(security))


def _apt(state: Path, *arguments: str) -> List[str]:
    """An apt command line on our private state."""
    settings = {
        "Dir::State": state / "state", "Dir::State::status": state / "status",
        "Dir::Cache": state / "cache", "Dir::Etc::SourceList": state / "sources.list",
        "Dir::Etc::SourceParts": "/dev/null", "APT::Update::Error-Mode": "any",
        # apt's own user could not reach into a home folder.
        "APT::Sandbox::User": "root" if os.geteuid() == 0 else "",
        "Acquire::Languages": "none",
    }
    return [arguments[0], *(f"-o{name}={value}" for name, value in settings.items()),
            "-q", *arguments[1:]]


def _download(kernel: str, state: Path) -> Path:
    """Find the first suite that carries the package and download it."""
    name = f"linux-source-{kernel}"
    for folder in ("state/lists/partial", "cache/archives/partial"):
        (state / folder).mkdir(parents=True, exist_ok=True)
    (state / "status").touch()
    main, security = _mirrors()
    complaint = ""
    for suite in SUITES:
        for site in security if suite.endswith("-security") else main:
            (state / "sources.list").write_text(
                f"deb [signed-by={KEYRING}] {site} {suite} main\n")
            say(f"looking for {name} in {suite}")
            update = run(_apt(state, "apt-get", "update"))
            if update.returncode:
                complaint = _reason(update.stderr, kernel, state)
            elif "Filename:" in run(_apt(state, "apt-cache", "show", name)).stdout:
                return _get(name, kernel, state)
    raise Fail(Exit.MISSING, f"no Debian suite carries {name}{complaint}",
               f"try another KERNEL=, {OWN_TREE}")


def _reason(complaint: str, kernel: str, state: Path) -> str:
    """What apt complains of; having no network or disk is no reason to try further suites."""
    if is_full(state, complaint):
        raise no_space(state)
    line = next((line for line in complaint.splitlines() if line.startswith("E: ")), complaint)
    if OFFLINE.search(complaint):
        raise Fail(Exit.MISSING, f"cannot reach the Debian mirror: {line}",
                   f"connect to the network and run the same command again, "
                   f"or pass KDIR= with a linux {kernel} tree")
    return f" ({line})"


def _get(name: str, kernel: str, state: Path) -> Path:
    archives = state / "download"  # apt goes on with what an earlier run left there
    archives.mkdir(exist_ok=True)
    report, child_end = os.pipe()
    with open(report) as lines, Progress(f"downloading {name}", 100) as progress:
        command = _apt(state, "apt-get", f"-oAPT::Status-Fd={child_end}", "download", name)
        log = state / "download.log"
        with open(log, "w") as errors, spawn(command, cwd=archives, pass_fds=(child_end,),
                                             stdout=errors, stderr=errors) as child:
            os.close(child_end)
            for line in lines:
                share = re.match(r"dlstatus:\d+:([\d.]+):", line)
                if share:
                    progress.update(float(share.group(1)))
            child.wait()
    packages = list(archives.glob("*.deb"))
    if child.returncode or not packages:
        reason = _reason(log.read_text(), kernel, state)
        raise Fail(Exit.MISSING, f"downloading {name} failed{reason}",
                   f"run the same command again, {OWN_TREE}")
    return packages[0]


def _unpack(package: Path, aside: Path, home: Path) -> None:
    """Package to tree without a third copy on the disk."""
    tarball = f"./usr/src/{package.name.split('_')[0]}.tar.xz"
    complaints = aside / "complaints"
    with open(complaints, "w") as errors, \
            spawn(["dpkg-deb", "--fsys-tarfile", str(package)], stdout=subprocess.PIPE,
                  stderr=errors, text=False, errors=None) as deb, \
            spawn(["tar", "-xO", tarball], stdin=deb.stdout, stdout=subprocess.PIPE,
                  stderr=errors, text=False, errors=None) as outer, \
            spawn(["tar", "-xJ", "-C", str(aside)], stdin=subprocess.PIPE, stderr=errors,
                  text=False, errors=None) as inner, \
            Progress(f"unpacking {package.name}", package.stat().st_size) as progress:
        assert deb.stdout and outer.stdout and inner.stdin
        deb.stdout.close()
        try:
            moved = 0
            while True:
                piece = outer.stdout.read(1 << 20)
                if not piece:
                    break
                inner.stdin.write(piece)
                progress.update(moved := moved + len(piece))
            inner.stdin.close()
        except BrokenPipeError:
            pass  # tar gave up and has said why
        failed = [child for child in (inner, outer, deb) if child.wait()]
    if failed:
        said = complaints.read_text().strip()
        if is_full(aside, said):
            raise no_space(aside)
        raise Fail(Exit.MISSING, f"{package.name} cannot be unpacked: {said}",
                   "see that tar and xz are installed, and run the same command again")
    complaints.unlink()
    (aside / "package").write_text(package.name + "\n")
    os.replace(aside, home)
