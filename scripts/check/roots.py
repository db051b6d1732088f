# SPDX-License-Identifier: GPL-2.0
"""Bare Debian systems, a folder each, and commands in them as on a machine of their own.

A command runs in namespaces of its own for mounts and processes: it sees no file
and no process of this machine's, and shares its network. There is no container
engine, no /dev/kvm, and no service. It takes root.
"""

from __future__ import annotations

import errno
import os
import pty
import re
import select
import shutil
import subprocess
import termios
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Dict, Generator, Iterator, List, Sequence, Tuple

from base.files import BUILD, made_aside, need_space, write
from base.outcome import Exit, Fail, no_space
from base.process import run, spawn
from base.progress import Progress
from series.source import keyring, mirrors

HOME = BUILD / "fresh"
RELEASES = ("bookworm", "trixie")
# What the README asks for, and what it takes to get this repository from somewhere.
PACKAGES = ("git", "make", "python3", "ca-certificates")
PLAIN = "user"  # the name of whoever is not root
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
PROXIES = ("http_proxy", "https_proxy", "ftp_proxy", "no_proxy")
# Of apt's settings here, those that say how to reach a mirror and what to think of it.
REACH = re.compile(r"^Acquire::(?:https?::|ftp::|Check-|Retries)", re.MULTILINE)
ALIVE = 0.5  # seconds between two signs of life
# The shell stays, as the first process of its namespace, and takes care of orphans.
# (With chroot() alone, nobody in there could have a namespace of his own.)
INSIDE = """root=$1 user=$2
shift 2
mount --bind "$root" "$root"
mount -t proc proc "$root/proc"
mount -t sysfs -o ro sys "$root/sys"
mount -t tmpfs -o mode=755 dev "$root/dev"
mkdir "$root/dev/pts" "$root/dev/shm"
mount --bind /dev/pts "$root/dev/pts"
mount -t tmpfs -o mode=1777 shm "$root/dev/shm"
node() { mknod -m 666 "$root/dev/$1" c "$2" "$3"; }
node null 1 3; node zero 1 5; node full 1 7; node random 1 8; node urandom 1 9
node tty 5 0; node ptmx 5 2
ln -s /proc/self/fd "$root/dev/fd"
cd "$root"
mkdir -p .outside
pivot_root . .outside
umount -l .outside
rmdir .outside
chroot --userspec="$user" / env -i "$@" || exit $?
exit 0"""


def bare(release: str) -> Path:
    """The bare system of a release, made on first use; it is only ever copied."""
    home = HOME / release
    if not home.is_dir():
        need_space(HOME, 1)
        main, security = mirrors()
        with made_aside(home) as aside:
            _debootstrap(release, aside, main[0])
            _settle(aside, release, main[0], security)
    return home


def _debootstrap(release: str, root: Path, mirror: str) -> None:
    last = ""
    command = ["debootstrap", "--variant=minbase", f"--include={','.join(PACKAGES)}",
               f"--keyring={keyring()}", release, str(root), mirror]
    with Progress(f"making a bare {release}") as progress, \
            spawn(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as child:
        assert child.stdout
        for line in child.stdout:
            last = line.strip() or last
            progress.update(0, last)
        child.wait()
    if child.returncode:
        raise Fail(Exit.MISSING, f"debootstrap cannot make a {release}: {last}",
                   "see that this machine's apt reaches a mirror that has the release")


def _settle(root: Path, release: str, main: str, security: Sequence[str]) -> None:
    """What an installer would have left, no more: where packages come from."""
    for package in (root / "var/cache/apt/archives").glob("*.deb"):
        package.unlink()
    lines = [f"deb {main} {release} main", f"deb {main} {release}-updates main",
             *(f"deb {site} {release}-security main" for site in security[:1])]
    write(root / "etc/apt/sources.list", "".join(f"{line}\n" for line in lines).encode())


def _as_on_this_machine(root: Path) -> None:
    """The network is this machine's, and so are names and proxies."""
    for name in ("etc/resolv.conf", "etc/hosts"):
        (root / name).unlink(missing_ok=True)
        if Path("/", name).exists():
            shutil.copyfile(Path("/", name), root / name)
    dump = run(["apt-config", "dump", "Acquire"]).stdout.splitlines()
    settings = [line for line in dump if REACH.match(line)]
    settings += [f'Acquire::{name.partition("_")[0]}::Proxy "{value}";'
                 for name, value in proxies().items() if name in PROXIES[:2]]
    write(root / "etc/apt/apt.conf.d/99host", "".join(f"{line}\n" for line in settings).encode())


def proxies() -> Dict[str, str]:
    return {name: os.environ[name] for proxy in PROXIES for name in (proxy, proxy.upper())
            if os.environ.get(name)}


@dataclass(frozen=True)
class System:
    """A system that may be worked in, and its user; removed with remove()."""

    root: Path
    user: str

    @property
    def home(self) -> str:
        return "/root" if self.user == "root" else f"/home/{self.user}"

    def inside(self, path: str) -> Path:
        """Where a path of the system lies here."""
        return self.root / path.lstrip("/")

    def command(self, words: Sequence[str], folder: str, terminal: bool = False) -> List[str]:
        settings = {"HOME": self.home, "USER": self.user, "LOGNAME": self.user, "PATH": PATH,
                    "LANG": "C.UTF-8", "TERM": "xterm" if terminal else "dumb", **proxies()}
        return [*(["setsid", "--ctty"] if terminal else []), "setpriv", "--pdeathsig", "KILL",
                "unshare", "--mount", "--pid", "--fork", "--kill-child", "sh", "-ec", INSIDE, "sh",
                str(self.root), self.user, f"--chdir={folder}",
                *(f"{name}={value}" for name, value in settings.items()), *words]

    def must(self, *words: str) -> None:
        """Set the system up, as root."""
        done = run(System(self.root, "root").command(words, "/"))
        if done.returncode:
            raise Fail(Exit.MISSING, f"`{' '.join(words)}` in {self.root}: "
                       f"{(done.stderr or done.stdout).strip()}", "see what it says")

    def own(self, path: str) -> None:
        self.must("chown", "-R", f"{self.user}:{self.user}", path)

    def remove(self) -> None:
        """All of it, which are hundreds of thousands of files, and nothing mounted there."""
        run(["rm", "-rf", "--one-file-system", str(self.root)])


def system(release: str, name: str, user: str, sudo: bool) -> System:
    """A copy of a release's bare system, with this user in it."""
    made = System(HOME / "rows" / name, user)
    source = bare(release)
    need_space(HOME, 6)
    made.remove()
    made.root.parent.mkdir(parents=True, exist_ok=True)
    done = run(["cp", "-a", "--reflink=auto", str(source), str(made.root)])
    if done.returncode:
        raise no_space(HOME)
    _as_on_this_machine(made.root)
    if user != "root":
        made.must("useradd", "--create-home", "--shell=/bin/bash", user)
    if sudo:
        made.must("apt-get", "-q", "update")
        made.must("env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "-qy", "install",
                  "--no-install-recommends", "sudo")
        shutil.rmtree(made.inside("/var/lib/apt/lists"))
        write(made.inside("/etc/sudoers.d/user"), f"{user} ALL=(ALL) NOPASSWD: ALL\n".encode(),
              0o440)
    return made


def running(command: Sequence[str], console: Path, terminal: bool, limit: float
            ) -> Generator[None, None, Tuple[int, str]]:
    """Run a command, keeping what it says; yield now and then, and return exit code and text.

    One that takes longer than `limit` is killed.
    """
    ours, theirs = pty.openpty() if terminal else os.pipe()
    if terminal:
        termios.tcsetwinsize(theirs, (25, 80))
    said = b""
    try:
        with open(console, "wb", buffering=0) as kept, \
                spawn(command, text=False, stdout=theirs, stderr=theirs,
                      **({"stdin": theirs} if terminal else {})) as child:
            os.close(theirs)
            try:
                end = time.monotonic() + limit
                for piece in _pieces(ours, end):
                    said += piece
                    kept.write(piece)
                    yield
                if time.monotonic() >= end:
                    child.kill()
                code = child.wait()
            except BaseException:
                child.kill()  # it heeds nothing less
                raise
    finally:
        os.close(ours)
    return code, said.decode(errors="replace")


def _pieces(handle: int, end: float) -> Iterator[bytes]:
    """What comes in; empty pieces, if nothing does for a while."""
    while time.monotonic() < end:
        if not select.select([handle], [], [], ALIVE)[0]:
            yield b""
            continue
        try:
            piece = os.read(handle, 65536)
        except OSError as error:
            if error.errno == errno.EIO:  # how a terminal says that nobody is left
                return
            raise
        if not piece:
            return
        yield piece


class Shared:
    """What was fetched and compiled in one system, for the next ones of the same kind."""

    FETCHED, COMPILED = ".cache/offline-skippable-kunit", ".cache/ccache"
    ARCHIVES = "/var/cache/apt/archives"

    def __init__(self, commit: str, release: str) -> None:
        self.folder = HOME / "shared" / commit / release

    @staticmethod
    def drop_others(commit: str) -> None:
        """Each commit begins with nothing."""
        for folder in (HOME / "shared").glob("*"):
            if folder.name != commit:
                shutil.rmtree(folder)

    def there(self) -> bool:
        return self.folder.is_dir()

    def take(self, made: System) -> None:
        home = made.inside(made.home)
        with made_aside(self.folder) as aside:
            for name, paths in (
                    ("fetched", sorted((home / self.FETCHED).glob("linux-*.git"))),
                    ("compiled", sorted((home / self.COMPILED).glob("*"))),
                    ("archives", sorted(made.inside(self.ARCHIVES).glob("*.deb")))):
                _copy(paths, aside / name)

    def give(self, made: System) -> None:
        home = made.inside(made.home)
        for name, place in (("fetched", home / self.FETCHED), ("compiled", home / self.COMPILED),
                            ("archives", made.inside(self.ARCHIVES))):
            _copy(sorted((self.folder / name).glob("*")), place)
        made.own(made.home)


def _copy(paths: Sequence[Path], to: Path) -> None:
    to.mkdir(parents=True, exist_ok=True)
    if paths and run(["cp", "-a", "--reflink=auto", *map(str, paths), str(to)]).returncode:
        raise no_space(HOME)
