# SPDX-License-Identifier: GPL-2.0
"""The user's commits, each with the suite laid over it, in a git repository of ours.

Ours borrows the objects of the user's, and is the only one that is written
to. A commit's tree with all that it lacks of the series is made inside of
git's object database, without a working tree; then a working tree of ours
is brought to it. There git writes only the files that differ from the last
commit's, so that the build after it compiles what is new and nothing else.
"""

from __future__ import annotations

import dataclasses
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Dict, List, Optional, Sequence, Set, Tuple

import fetch
import series
from host import REPO, child_env, digest, fresh, git, is_full, need_space, run, write
from overlay import first_error, touched
from progress import Progress, say
from tree import MARK, MARK_FILE
from verdict import Exit, Fail, no_space

# Where the feature is, and how a commit is seen to have it.
FEATURE_FILE, FEATURE = "include/linux/page-flags.h", "PG_offline_skippable"
# What we commit is the same whoever commits it, and when.
IDENTITY = {f"GIT_{who}_{what}": value for who in ("AUTHOR", "COMMITTER")
            for what, value in (("NAME", "offline-skippable"), ("EMAIL", "ci@localhost"),
                                ("DATE", "2026-01-01T00:00:00Z"))}
# checkpatch.pl leaves this in a source.
NOT_SOURCE = ":(exclude,top).checkpatch-camelcase.*"


@dataclasses.dataclass(frozen=True)
class Commit:
    id: str
    subject: str
    author: str

    @property
    def short(self) -> str:
        return self.id[:12]


def imported(kernel: str, repo: Path = REPO) -> Path:
    """The fetched source of a kernel, as a git repository with one commit."""
    home = _work(repo) / f"linux-{kernel}.git"
    if not home.is_dir():
        source = fetch.source(kernel)
        need_space(home.parent, 2)
        aside = fresh(home.with_name(f".{home.name}.new"))
        with Progress(f"putting the source of linux {kernel} into git"):
            our_git(aside, "init", "-q", "--bare")
            # Every file is a "big" one: straight into a pack, quickly.
            our_git(aside, "-c", "core.bigFileThreshold=1", "-c", "core.compression=1",
                    f"--work-tree={source}", "add", "-A", "-f", "--", ".", NOT_SOURCE)
        commit = our_git(aside, "commit-tree", our_git(aside, "write-tree").strip(),
                         "-m", f"linux {series.version_of(source)[1]}").strip()
        our_git(aside, "update-ref", "HEAD", commit)
        (aside / "index").unlink()
        os.replace(aside, home)
    return home


def _work(repo: Path) -> Path:
    """Where all that is kept between runs lies, but for the working tree and the build."""
    return repo / "build" / "ci"


def _try(home: Path, *arguments: str, index: Optional[Path] = None,
         work: Optional[Path] = None, given: str = os.devnull) -> subprocess.CompletedProcess[str]:
    """A git command on a repository of ours, free of the user's settings and hooks."""
    env = {**child_env(), **IDENTITY, "GIT_CONFIG_GLOBAL": "/dev/null",
           "GIT_CONFIG_NOSYSTEM": "1"}
    if index:
        env["GIT_INDEX_FILE"] = str(index)
    place = [f"--work-tree={work}"] if work else []
    with open(given) as stdin:
        done = run(["git", f"--git-dir={home}", *place, *arguments], cwd=work or home, env=env,
                   stdin=stdin)
    if done.returncode and is_full(home, done.stderr):
        raise no_space(home)
    return done


def our_git(home: Path, *arguments: str, index: Optional[Path] = None,
            work: Optional[Path] = None) -> str:
    """The same; that it fails is no commit's fault."""
    done = _try(home, *arguments, index=index, work=work)
    if done.returncode:
        raise Fail(Exit.MISSING, f"git {arguments[0]} in {home}: {done.stderr.strip()}",
                   f"if nothing else helps: rm -rf '{home.parent}', and run the same command again")
    return done.stdout


class Unapplied(Fail):
    """A mail that `git am` does not take."""

    def __init__(self, subject: str, where: str) -> None:
        super().__init__(Exit.PATCH, f"\"{subject}\" does not apply to {where}",
                         "pass the commit that the mails were made on as BASE=")
        self.subject = subject


@dataclasses.dataclass
class Laid:
    """The queue of one kernel version."""

    version: str
    patches: Dict[Path, List[str]]  # and the paths that each touches
    new: Set[str]  # the new files among them
    remembered: bool = False


class Commits:
    """The commits of one repository."""

    def __init__(self, kdir: Path, repo: Path = REPO) -> None:
        self.kdir = kdir
        self.repo = repo
        self.carried = False  # has the tip the feature by itself?
        self._queues: Dict[str, Laid] = {}
        self._trees: Dict[str, str] = {}  # of commits, with the suite
        if not kdir.is_dir():
            raise Fail(Exit.BAD_INPUT, f"KDIR={kdir} is not there",
                       "pass a git repository of Linux as KDIR=")
        if run(["git", "-C", str(kdir), "rev-parse", "--git-dir"]).returncode or \
                git(kdir, "rev-parse", "--show-prefix").strip():
            raise Fail(Exit.BAD_INPUT, f"{kdir} is not a git repository, so has no commits",
                       "pass a git repository of Linux as KDIR= (`make kunit KDIR=` takes any "
                       "tree)")
        self.work, self.tree = _work(repo), repo / "build" / "tree" / "ci"
        self.home = self.work / f"{digest(str(kdir.resolve()).encode())[:8]}.git"
        self._open()

    def _in_kdir(self, name: str) -> Path:
        return (self.kdir / git(self.kdir, "rev-parse", "--git-path", name).strip()).resolve()

    def _open(self) -> None:
        if not (self.home / "HEAD").exists():
            need_space(self.work, 0.2)
            aside = fresh(self.home.with_name(f".{self.home.name}.new"))
            our_git(aside, "init", "-q", "--bare")
            our_git(aside, "config", "gc.auto", "0")
            os.replace(aside, self.home)
        write(self.home / "objects/info/alternates", f"{self._in_kdir('objects')}\n".encode())
        shallow = self._in_kdir("shallow")
        if shallow.exists():
            write(self.home / "shallow", shallow.read_bytes())
        else:
            (self.home / "shallow").unlink(missing_ok=True)

    def ours(self, *arguments: str, index: Optional[Path] = None) -> str:
        return our_git(self.home, *arguments, index=index)

    @property
    def is_shallow(self) -> bool:
        return (self.home / "shallow").exists()

    def _deepen(self, remedy: str) -> str:
        """What to do about a commit that is not there."""
        return f"it is a shallow clone; get the rest: git -C '{self.kdir}' fetch --unshallow" \
            if self.is_shallow else remedy

    # What the user's names mean. Only these commands run in KDIR; they read.

    def resolve(self, name: str, what: str) -> str:
        done = run(["git", "-C", str(self.kdir), "rev-parse", "--quiet", "--verify",
                    "--end-of-options", f"{name}^{{commit}}"])
        if done.returncode:
            raise Fail(Exit.BAD_INPUT, f"{what}: {self.kdir} has no commit {name}",
                       self._deepen("name a commit, a branch or a tag of it"))
        return done.stdout.strip()

    def related(self, old: str, new: str) -> str:
        """Where the histories of two commits part."""
        done = _try(self.home, "merge-base", old, new)
        if done.returncode:
            raise Fail(Exit.BAD_INPUT, f"{old[:12]} and {new[:12]} have no history in common",
                       self._deepen("name two commits of which one comes from the other"))
        return done.stdout.strip()

    def range(self, text: str) -> Tuple[str, List[str]]:
        """The commit that a range starts from, and those in it, oldest first."""
        if "..." in text:
            raise Fail(Exit.BAD_INPUT, f"RANGE={text} is about two branches",
                       "give it as in RANGE=base..tip")
        if ".." in text:
            old, new = (self.resolve(name or "HEAD", f"RANGE={text}") for name in
                        text.split("..", 1))
        else:
            new = self.resolve(text, f"RANGE={text}")
            old = self.resolve(f"{text}^", f"RANGE={text}, and the commit before it")
        base = self.related(old, new)
        found = self.ours("rev-list", "--reverse", "--topo-order", f"{old}..{new}").split()
        if not found:
            raise Fail(Exit.BAD_INPUT, f"RANGE={text} is empty: "
                       + ("both are the same commit" if old == new else
                          f"{new[:12]} comes before {old[:12]}"), "name the older commit first")
        return base, found

    def say_what_is_ignored(self) -> None:
        """What is not committed is not tested: somebody may be surprised."""
        done = run(["git", "--no-optional-locks", "-C", str(self.kdir), "status", "--porcelain",
                    "--untracked-files=no"])  # fails in a bare repository, which is clean
        count = len(done.stdout.splitlines())
        if count:
            say(f"{self.kdir} has uncommitted changes (of {count} file{'s'[:count - 1]}), which "
                "are left alone: only commits are tested")

    # Commits, and their files.

    def describe(self, commit: str) -> Commit:
        author, subject = self.ours("log", "-1", "--format=%an <%ae>%n%s",
                                    commit).split("\n")[:2]
        return Commit(commit, subject, author)

    def parents(self, commit: str) -> List[str]:
        return self.ours("rev-parse", f"{commit}^@").split()

    def file(self, commit: str, path: str) -> str:
        """The text of a file; empty, if there is none."""
        done = _try(self.home, "cat-file", "blob", f"{commit}:{path}")
        return done.stdout

    def has_feature(self, commit: str) -> bool:
        return FEATURE in self.file(commit, FEATURE_FILE)

    def follow(self, tip: str) -> None:
        """Decide by the tip of a range whether its commits must have the feature themselves."""
        self.carried = self.has_feature(tip)
        say(f"{tip[:12]} has the feature: commits without it cannot be tested" if self.carried
            else f"{tip[:12]} does not have the feature: it is laid over every commit")

    # The suite over a commit.

    def lay(self, commit: str) -> str:
        """The tree of a commit with all that it lacks of the series."""
        if commit not in self._trees:
            self._trees[commit] = self._lay(commit)
        return self._trees[commit]

    def _lay(self, commit: str) -> str:
        if MARK in self.file(commit, MARK_FILE):
            return self.ours("rev-parse", f"{commit}^{{tree}}").strip()
        feature = self.has_feature(commit)
        if self.carried and not feature:
            raise Fail(Exit.NO_FEATURE, f"{commit[:12]} does not have the feature, which the tip "
                       "of the range has", "start the range with a commit that has it")
        version = series.version_in(self.file(commit, "Makefile"))
        if not version:
            raise Fail(Exit.BAD_INPUT, f"{commit[:12]} in {self.kdir} is not Linux",
                       "pass a git repository of Linux as KDIR=")
        if version[0] not in series.versions(self.repo):
            raise Fail(Exit.NO_FEATURE, f"{commit[:12]} is linux {version[1]}, for which there is "
                       "no series", f"there is one for {', '.join(series.versions(self.repo))}")
        laid = self._queue(version[0])
        index = self.work / "overlay.index"
        self.ours("read-tree", commit, index=index)
        for patch, paths in laid.patches.items():
            if not (feature and FEATURE_FILE in paths):
                self._put(commit, laid, patch, index)
        return self.ours("write-tree", index=index).strip()

    def _queue(self, version: str) -> Laid:
        if version not in self._queues:
            queue = series.queue_for(version, self.repo)
            self._queues[version] = Laid(version, {patch: touched([patch]) for patch
                                                   in queue.patches()}, set(queue.new_files()))
        return self._queues[version]

    def _put(self, commit: str, laid: Laid, patch: Path, index: Path) -> None:
        """Apply a patch, unless the commit has it; new files, unless it has its own."""
        paths = laid.patches[patch]
        own = laid.new & set(self.ours("ls-tree", "-r", "--name-only", commit, "--",
                                       *paths).splitlines())

        def apply(*how: str) -> subprocess.CompletedProcess[str]:
            return _try(self.home, "apply", "--cached", *(f"--exclude={path}" for path in own),
                        *how, str(patch), index=index)

        if own.issuperset(paths) or apply("--reverse", "--check").returncode == 0:
            return
        plain = apply()
        if plain.returncode == 0:
            return
        without = self._remember(laid)
        if apply("--3way").returncode:
            raise Fail(Exit.PATCH, f"{patch.name} does not apply to {commit[:12]}: "
                       f"{first_error(plain.stderr)}{without}",
                       "see what the commit has changed there")

    def _remember(self, laid: Laid) -> str:
        """Have the files that the patches were made from, which a merge goes by."""
        if laid.remembered:
            return ""
        try:
            source = fetch.source(laid.version)
        except Fail as fail:
            return f" (and cannot be merged: {fail.what})"
        index = self.work / "source.index"
        index.unlink(missing_ok=True)
        paths = sorted({path for paths in laid.patches.values() for path in paths})
        our_git(self.home, "add", "-f", "--", *(path for path in paths if (source / path).exists()),
                index=index, work=source)
        for patch in laid.patches:
            self.ours("apply", "--cached", str(patch), index=index)
        laid.remembered = True
        return ""

    def check_out(self, tree: str) -> None:
        """Bring our working tree to a tree; a file that stays the same is not touched."""
        index, unfinished = self.work / "tree.index", self.work / "checking-out"
        index.with_name(f"{index.name}.lock").unlink(missing_ok=True)  # of a git that was killed
        clean = unfinished.exists() or not index.exists()
        if not self.tree.is_dir():
            need_space(self.tree.parent, 2)
            index.unlink(missing_ok=True)
            self.tree.mkdir(parents=True)
            say(f"checking out a kernel tree below {self.tree}")
        unfinished.touch()
        our_git(self.home, "read-tree", "--reset", "-u", tree, index=index, work=self.tree)
        if clean:
            our_git(self.home, "clean", "-ffdxq", index=index, work=self.tree)
        unfinished.unlink()

    def first_with_feature(self, old: str, new: str) -> str:
        """The commit after which commits can be tested, if the first of these cannot."""
        return self.ours("log", "--reverse", "--format=%H", f"-S{FEATURE}", f"{old}..{new}", "--",
                         FEATURE_FILE).split("\n", maxsplit=1)[0]

    def bisect(self, *arguments: str) -> str:
        """git's own bisection. Its HEAD is ours, its working tree is not needed."""
        done = _try(self.home, "bisect", *arguments)
        if done.returncode not in (0, 2):  # 2: all that is left was skipped
            raise Fail(Exit.BAD_INPUT, f"git bisect: {(done.stdout + done.stderr).strip()}",
                       "pass GOOD= and BAD= of one branch")
        return done.stdout

    # Commits that are not in KDIR.

    def am(self, base: str, mails: Sequence[Path]) -> Tuple[List[str], Optional[Unapplied]]:
        """The commits that `git am` makes of mails, and why it did not go on."""
        place = self.work / "mbox"
        if place.exists():
            shutil.rmtree(place)
        self.ours("worktree", "prune")
        self.ours("worktree", "add", "-q", "--no-checkout", "--detach", str(place), base)
        its = place / ".git"
        # The files that the mails touch are all that has to be there.
        paths = self._paths(mails)
        our_git(its, "sparse-checkout", "set", "--no-cone", "/.nothing",
                *(f"/{path}" for path in paths), work=place)
        our_git(its, "reset", "-q", "--hard", work=place)
        done = _try(its, "am", "-3", *(str(mail) for mail in mails), work=place)
        made = our_git(its, "rev-list", "--reverse", f"{base}..HEAD", work=place).split()
        shutil.rmtree(place)
        if done.returncode == 0:
            return made, None
        stopped = re.search(r"^Patch failed at \d+ (.*)", done.stdout + done.stderr, re.MULTILINE)
        if not stopped:
            raise Fail(Exit.BAD_INPUT, f"MBOX: git am says: {done.stderr.strip()}",
                       "pass mails as `git format-patch` or `b4 am` write them")
        conflict = re.search(r"^CONFLICT .*", done.stdout, re.MULTILINE)
        return made, Unapplied(stopped.group(1), f"{(made or [base])[-1][:12]}: " + (
            conflict.group() if conflict else first_error(done.stderr)))

    def _paths(self, mails: Sequence[Path]) -> List[str]:
        """What mails touch, however they are encoded."""
        split = fresh(self.work / "mails")
        count = int(self.ours("mailsplit", "-b", f"-o{split}", *(str(mail) for mail in mails)))
        patches = []
        for number in range(1, count + 1):
            patch = split / f"{number}.patch"
            _try(self.home, "mailinfo", str(split / "message"), str(patch),
                 given=str(split / f"{number:04}"))
            if patch.exists() and patch.stat().st_size:
                patches.append(patch)
        return touched(patches)

    def reverted(self, commit: str, tip: str) -> Optional[str]:
        """A commit on top of the tip that undoes another one, if that is possible."""
        if len(self.parents(commit)) != 1:
            return None
        patch, index = self.work / "revert.patch", self.work / "overlay.index"
        patch.write_text(self.ours("diff-tree", "-p", "--full-index", "--binary",
                                   "--no-commit-id", commit))
        self.ours("read-tree", tip, index=index)
        if _try(self.home, "apply", "--cached", "--3way", "--reverse", str(patch),
                index=index).returncode:
            return None
        return self.ours("commit-tree", self.ours("write-tree", index=index).strip(), "-p", tip,
                         "-m", f"Revert {commit}").strip()
