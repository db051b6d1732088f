# SPDX-License-Identifier: GPL-2.0
"""Fetches a kernel's source: Debian's linux-source package, by Debian's own tools.

apt works on a private state below the cache, with the machine's settings and
mirror but none of its package lists: no root needed, nothing of the machine's
changed. The source ends up as the one commit of a bare git repository in the
cache, which is never touched again.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import subprocess
import tarfile
from pathlib import Path
from typing import IO, List, Tuple

from base.files import cache, is_full, made_aside, need_space
from base.locks import lock
from base.outcome import Exit, Fail, no_space
from base.process import run, spawn
from base.progress import Progress, say
from series.git import IDENTITY, Repository

KEYRINGS = ("/usr/share/keyrings/debian-archive-keyring.gpg",
            "/usr/share/keyrings/debian-archive-keyring.pgp")
# From the smallest package list to the largest; the first that has it wins.
SUITES = ("trixie-backports", "trixie-security", "trixie", "bookworm-backports",
          "bookworm-security", "bookworm", "forky", "sid")
OFFLINE = re.compile(r"could not resolve|temporary failure|could not connect|unable to connect"
                     r"|network is unreachable|timed out|cannot initiate", re.IGNORECASE)
OWN_TREE = "or pass --kdir= with a kernel tree of yours"
COMMIT = "refs/heads/main"


def _home(kernel: str) -> Path:
    return cache() / f"linux-{kernel}.git"


def source(kernel: str) -> Repository:
    """The pristine source of a kernel, as commit COMMIT; fetched on first use."""
    home = _home(kernel)
    if not home.is_dir():
        with lock(cache() / "fetch.lock", f"fetching linux {kernel}"):
            if not home.is_dir():
                _fetch(kernel, home)
    return Repository(home)


def pristine(kernel: str) -> str:
    """The id of that commit, by which repositories that borrow its objects know it."""
    return source(kernel).git("rev-parse", COMMIT).strip()


def _fetch(kernel: str, home: Path) -> None:
    for tool in ("apt-get", "dpkg-deb", "xz"):
        if not shutil.which(tool):
            raise Fail(Exit.MISSING, f"cannot fetch linux {kernel}: there is no {tool} here",
                       f"get a linux {kernel} tree and pass it as --kdir=")
    need_space(cache(), 1)
    state = cache() / "apt"
    package = _download(kernel, state)
    with made_aside(home) as aside:
        _import(package, Repository(aside))
    shutil.rmtree(state)


def keyring() -> str:
    for path in KEYRINGS:
        if os.path.exists(path):
            return path
    raise Fail(Exit.MISSING, f"{KEYRINGS[0]} is missing",
               f"apt-get install debian-archive-keyring, {OWN_TREE}")


def mirrors() -> Tuple[List[str], List[str]]:
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
    """An apt command line on our private state, which takes nothing that is not signed."""
    settings = {
        "Dir::State": state / "state", "Dir::State::status": state / "status",
        "Dir::Cache": state / "cache", "Dir::Etc::SourceList": state / "sources.list",
        "Dir::Etc::SourceParts": "/dev/null", "APT::Update::Error-Mode": "any",
        # apt's own user could not reach into a home folder.
        "APT::Sandbox::User": "root" if os.geteuid() == 0 else "",
        "Acquire::Languages": "none",
        "APT::Get::AllowUnauthenticated": "false",
        "Acquire::AllowInsecureRepositories": "false",
        "Acquire::AllowWeakRepositories": "false",
        "Acquire::AllowDowngradeToInsecureRepositories": "false",
        "Acquire::Check-Valid-Until": "true",
    }
    return [arguments[0], *(f"-o{name}={value}" for name, value in settings.items()),
            "-q", *arguments[1:]]


def _download(kernel: str, state: Path) -> Path:
    """Find the first suite that carries the package and download it."""
    name = f"linux-source-{kernel}"
    for folder in ("state/lists/partial", "cache/archives/partial"):
        (state / folder).mkdir(parents=True, exist_ok=True)
    (state / "status").touch()
    main, security = mirrors()
    complaint = ""
    for suite in SUITES:
        for site in security if suite.endswith("-security") else main:
            (state / "sources.list").write_text(
                f"deb [signed-by={keyring()}] {site} {suite} main\n")
            say(f"looking for {name} in {suite}")
            update = run(_apt(state, "apt-get", "update"))
            if update.returncode:
                complaint = _reason(update.stderr, kernel, state)
                continue
            # Where no package has the name, apt takes it for a pattern, which others may match:
            # linux-source-6.1 does that of 6.12.
            shown = run(_apt(state, "apt-cache", "show", name)).stdout
            if f"Package: {name}" in shown.splitlines():
                return _get(name, kernel, state)
    raise Fail(Exit.MISSING, f"no Debian suite carries {name}{complaint}",
               f"try another --kernel=, {OWN_TREE}")


def _reason(complaint: str, kernel: str, state: Path) -> str:
    """What apt complains of; having no network or disk is no reason to try further suites."""
    if is_full(state, complaint):
        raise no_space(state)
    line = next((line for line in complaint.splitlines() if line.startswith("E: ")), complaint)
    if OFFLINE.search(complaint):
        raise Fail(Exit.MISSING, f"cannot reach the Debian mirror: {line}",
                   f"connect to the network and run the same command again, "
                   f"or pass --kdir= with a linux {kernel} tree")
    return f" ({line})"


def _get(name: str, kernel: str, state: Path) -> Path:
    """Download the package; apt goes on with what an earlier run left of the same version."""
    planned = run(_apt(state, "apt-get", "download", "--print-uris", name)).stdout
    found = re.search(r"^'\S+' (\S+\.deb) ", planned, re.MULTILINE)
    archives = state / "download"
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
    package = archives / found.group(1) if found else archives / "none"
    if child.returncode or not package.is_file():
        reason = _reason(log.read_text(), kernel, state)
        raise Fail(Exit.MISSING, f"downloading {name} failed{reason}",
                   f"run the same command again, {OWN_TREE}")
    return package


def _import(package: Path, ours: Repository) -> None:
    """From the package to git, without a copy on the disk in between."""
    tarball = f"./usr/src/{package.name.split('_')[0]}.tar.xz"
    complaints = ours.home / "complaints"
    with open(complaints, "w") as errors, \
            spawn(["dpkg-deb", "--fsys-tarfile", str(package)], stdout=subprocess.PIPE,
                  stderr=errors, text=False) as deb, \
            spawn(["tar", "-xO", tarball], stdin=deb.stdout, stdout=subprocess.PIPE,
                  stderr=errors, text=False) as outer, \
            spawn(["xz", "-dc"], stdin=outer.stdout, stdout=subprocess.PIPE, stderr=errors,
                  text=False) as xz, \
            spawn(["git", f"--git-dir={ours.home}", "-c", "core.compression=1",
                   "-c", "pack.compression=1", "fast-import", "--quiet", "--depth=0", "--done"],
                  stdin=subprocess.PIPE, stderr=errors, text=False) as importer, \
            Progress(f"putting {package.name} into git", 1.8e9) as progress:
        assert deb.stdout and outer.stdout and xz.stdout and importer.stdin
        deb.stdout.close()
        outer.stdout.close()
        try:
            feed(xz.stdout, importer.stdin, progress)
        except (BrokenPipeError, tarfile.TarError) as error:
            errors.write(f"{error}\n")  # mostly, the one that gave up has said why
        finally:
            xz.stdout.close()
            with contextlib.suppress(BrokenPipeError):
                importer.stdin.close()
        failed = [child for child in (importer, xz, outer, deb) if child.wait()]
    said = complaints.read_text().strip()
    if failed or said:
        if is_full(ours.home, said):
            raise no_space(ours.home)
        raise Fail(Exit.MISSING, f"{package.name} cannot be unpacked: {said}",
                   "see that tar, xz and git are installed, and run the same command again")
    complaints.unlink()


def feed(archive: IO[bytes], importer: IO[bytes], progress: Progress) -> None:
    """A tar archive with one folder at its top, as git-fast-import(1) takes a commit."""
    who = f"{IDENTITY['GIT_AUTHOR_NAME']} <{IDENTITY['GIT_AUTHOR_EMAIL']}> 1767225600 +0000"
    importer.write(f"commit {COMMIT}\ncommitter {who}\ndata 5\nlinux\n".encode())
    done = 0
    with tarfile.open(fileobj=archive, mode="r|", bufsize=1 << 20) as members:
        for member in members:
            if member.issym():
                mode, contents = b"120000", os.fsencode(member.linkname)
            elif member.isfile():
                data = members.extractfile(member)
                assert data
                mode = b"100755" if member.mode & 0o100 else b"100644"
                contents = data.read()
            else:
                continue
            name = os.fsencode(os.path.normpath(member.name)).split(b"/", 1)[1]
            name = name.replace(b"\\", b"\\\\").replace(b'"', b'\\"').replace(b"\n", b"\\n")
            importer.write(b'M %s inline "%s"\ndata %d\n%s\n' % (mode, name, len(contents),
                                                                 contents))
            progress.update(done := done + len(contents))
    importer.write(b"done\n")
