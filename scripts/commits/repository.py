# SPDX-License-Identifier: GPL-2.0
"""The user's commits, each with the series laid over it, in a git repository of ours.

Ours borrows the objects of the user's, and is the only one that is written
to. A working tree of ours is brought from commit to commit; git writes only
the files that differ, so that a build compiles what is new and nothing else.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Dict, List, Optional, Set, Tuple

from base.files import REPO, digest, made_aside, write
from base.outcome import Exit, Fail
from base.process import run
from base.progress import say
from base.project import MARK_FILE
from series import feature
from series import source as sources
from series.git import git_path, is_repository
from series.overlay import Overlay
from series.worktree import Checkout, repository_for

KUNIT = "tools/testing/kunit"
# Files that say what of the series a commit needs.
INPUTS = ("Makefile", "Kbuild", MARK_FILE, *(path for path, _, _ in feature.PARTS))
# What reads traces; they belong together as well.
DECODERS = ("scripts/decode_stacktrace.sh", "scripts/decodecode")


@dataclass(frozen=True)
class Commit:
    id: str
    subject: str
    author: str

    @property
    def short(self) -> str:
        return self.id[:12]


@dataclass(frozen=True)
class Last:
    """The commit that the series was laid over last, and the paths by which that goes."""

    commit: str
    inputs: Set[str]


class Commits:
    """The commits of a repository of the user's, or the one of a fetched kernel."""

    def __init__(self, kdir: Optional[Path], kernel: str = "", repo: Path = REPO) -> None:
        if kdir and not kdir.is_dir():
            raise Fail(Exit.BAD_INPUT, f"--kdir={kdir} is not there",
                       "pass a git repository of Linux as --kdir=")
        if kdir and not is_repository(kdir):
            raise Fail(Exit.BAD_INPUT, f"{kdir} is not the top of a git repository, so has no "
                       "commits", "pass a git repository of Linux as --kdir= (`./suite kunit "
                       "--kdir=` takes any tree)")
        self.kdir = kdir or sources.source(kernel).home
        self.head = "HEAD" if kdir else sources.COMMIT
        self.repo = repo
        self.carried = False  # has the tip the feature by itself?
        self._trees: Dict[str, str] = {}  # of commits, with the series
        self._last: Optional[Last] = None
        self.ours = repository_for(kdir.resolve() if kdir else None, kernel, repo)
        self.overlay = Overlay(self.ours, repo)
        self.work = repo / "build" / "ci"
        self.checkout = Checkout(self.ours, repo / "build/tree" / f"{self.ours.home.stem}-ci")
        self.ours.borrow(git_path(self.kdir, "objects"))
        self._unlock()
        self._follow_shallow()

    def _unlock(self) -> None:
        """A git that was killed has left its locks; whoever gets here holds that of the build."""
        for left in (*self.ours.home.glob("*.lock"), *(self.ours.home / "refs").rglob("*.lock")):
            left.unlink()

    def _follow_shallow(self) -> None:
        """Know which commits of the user's repository have no parents there."""
        shallow, ours = git_path(self.kdir, "shallow"), self.ours.home / "shallow"
        if shallow.exists():
            write(ours, shallow.read_bytes())
        else:
            ours.unlink(missing_ok=True)

    @property
    def is_shallow(self) -> bool:
        return (self.ours.home / "shallow").exists()

    def _deepen(self, remedy: str) -> str:
        """What to do about a commit that is not there."""
        return f"it is a shallow clone; get the rest: git -C '{self.kdir}' fetch --unshallow" \
            if self.is_shallow else remedy

    # What the user's names mean. Only these commands run in KDIR; they read.

    def _ask(self, *arguments: str) -> Tuple[int, str]:
        done = run(["git", "--no-optional-locks", "-C", str(self.kdir), *arguments])
        return done.returncode, done.stdout.strip()

    def resolve(self, name: str, what: str) -> str:
        status, found = self._ask("rev-parse", "--quiet", "--verify", "--end-of-options",
                                  f"{name}^{{commit}}")
        if status:
            raise Fail(Exit.BAD_INPUT, f"{what}: {self.kdir} has no commit {name}",
                       self._deepen("name a commit, a branch or a tag of it"))
        return found

    def related(self, old: str, new: str) -> str:
        """Where the histories of two commits part."""
        done = self.ours.attempt("merge-base", old, new)
        if done.returncode:
            raise Fail(Exit.BAD_INPUT, f"{old[:12]} and {new[:12]} have no history in common",
                       self._deepen("name two commits of which one comes from the other"))
        return done.stdout.strip()

    def between(self, old: str, new: str) -> List[str]:
        """The commits that come after one, up to another; the oldest first."""
        return self.ours.git("rev-list", "--reverse", "--topo-order", f"{old}..{new}").split()

    def range(self, text: str) -> Tuple[str, List[str]]:
        """The commit that a range starts from, and those in it, oldest first."""
        what = f"--range={text}"
        if "..." in text:
            raise Fail(Exit.BAD_INPUT, f"{what} is about two branches",
                       "give it as in --range=base..tip")
        if ".." in text:
            old, new = (self.resolve(name or "HEAD", what) for name in text.split("..", 1))
        else:
            new = self.resolve(text, what)
            old = self.resolve(f"{text}^", f"{what}, and the commit before it")
        base = self.related(old, new)
        found = self.between(old, new)
        if not found:
            raise Fail(Exit.BAD_INPUT, f"{what} is empty: "
                       + ("both are the same commit" if old == new else
                          f"{new[:12]} comes before {old[:12]}"), "name the older commit first")
        return base, found

    def say_what_is_ignored(self) -> None:
        """What is not committed is not tested: somebody may be surprised."""
        # Fails in a bare repository, which is clean.
        _, changes = self._ask("status", "--porcelain", "--untracked-files=no")
        count = len(changes.splitlines())
        if count:
            say(f"{self.kdir} has uncommitted changes (of {count} file{'s'[:count - 1]}), which "
                "are left alone: only commits are tested")

    def see_that_all_is_there(self, commits: List[str]) -> None:
        """A partial clone has not all files of its commits, and ours cannot fetch any."""
        if self._ask("config", "--get-regexp", r"^remote\..*\.promisor$")[0]:
            return
        listed = self.ours.git("rev-list", "--objects", "--no-walk", "--missing=print", "--stdin",
                               given="".join(f"{commit}\n" for commit in commits))
        count = sum(line.startswith("?") for line in listed.splitlines())
        if count:
            raise Fail(Exit.BAD_INPUT, f"{self.kdir} is a partial clone, and lacks {count} files "
                       "of the commits", f"get them: git -C '{self.kdir}' fetch --refetch "
                       "--no-filter; or use a full clone")

    # Commits, and their files.

    def describe(self, commit: str) -> Commit:
        author, subject = self.ours.git("log", "-1", "--format=%an <%ae>%n%s",
                                        commit).split("\n")[:2]
        return Commit(commit, subject, author)

    def parents(self, commit: str) -> List[str]:
        return self.ours.git("rev-parse", f"{commit}^@").split()

    def follow(self, tip: str) -> None:
        """Decide by the tip of a range whether its commits must have the feature themselves."""
        self.carried = self.overlay.has_feature(tip)
        say(f"{tip[:12]} has the feature: commits without it cannot be tested" if self.carried
            else f"{tip[:12]} does not have the feature: it is laid over every commit")

    def first_with_feature(self, good: str, bad: str) -> str:
        return next((commit for commit in self.between(good, bad)
                     if not feature.lacking(self.ours, commit)), bad)

    # The series over a commit.

    def lay(self, commit: str) -> str:
        """The tree of a commit with all that it lacks of the series."""
        if commit not in self._trees:
            self._trees[commit] = self._lay(commit)
        return self._trees[commit]

    def _lay(self, commit: str) -> str:
        name = commit[:12]
        version, _ = self.overlay.version(commit, f"{name} in {self.kdir}")
        if not self.overlay.has_series(commit):
            if self.carried and not self.overlay.has_feature(commit):
                raise Fail(Exit.NO_FEATURE, f"{name} does not have the feature, which the tip of "
                           "the range has", "start the range with a commit that has it")
        return self._laid_after(commit) or self._laid_anew(commit, version, name)

    def _laid_anew(self, commit: str, version: str, name: str) -> str:
        laid = self.overlay.lay(commit, name)
        self._last = None
        if not self.overlay.has_series(commit):
            queue = self.overlay.queue(version)
            self.ours.git("read-tree", laid, index=self._index)
            self._last = Last(commit, {*INPUTS, *queue.new}.union(*queue.paths.values()))
        return laid

    def _laid_after(self, commit: str) -> str:
        """The same as for the last commit, but for what is different between the two.

        Mostly, that is nothing the series has to do with; and a series of commits is
        laid over in a fraction of the time.
        """
        if not self._last:
            return ""
        listed = self.ours.git("diff-tree", "-r", "-z", "--raw", "--no-renames", "--no-abbrev",
                               self._last.commit, commit).split("\0")[:-1]
        changes = list(zip(listed[1::2], (raw.split() for raw in listed[::2])))
        if any(path in self._last.inputs or any(known.startswith(f"{path}/")
                                                for known in self._last.inputs)
               for path, _ in changes):
            return ""
        self.ours.git("update-index", "-z", "--index-info", index=self._index, given="".join(
            f"{mode} {blob} 0\t{path}\0" for path, (_, mode, _, blob, _) in changes))
        self._last = Last(commit, self._last.inputs)
        return self.ours.git("write-tree", index=self._index).strip()

    @property
    def _index(self) -> Path:
        return self.ours.home / "laid.index"

    def check_out(self, tree: str) -> Path:
        """Bring our working tree to a tree; a file that stays the same is not touched."""
        self.checkout.to(tree, force=True)
        return self.checkout.path

    def kunit(self, tree: str) -> Path:
        """kunit.py of a tree, in a place where it stays when the working tree moves on.

        kunit.py wants to lie where it lies in a kernel; it takes nothing else of it to
        boot one, or to read what one has printed.
        """
        listed = self.ours.git("ls-tree", "-r", "--full-tree", tree, "--", KUNIT, *DECODERS)
        if KUNIT not in listed:
            raise Fail(Exit.BAD_INPUT, f"{tree[:12]} has no {KUNIT}", "take a kernel that has it")
        home = self.work / "kunit" / digest(listed.encode())[:16]
        if not home.is_dir():
            index = self.ours.home / "kunit.index"
            with made_aside(home) as aside:
                self.ours.git("read-tree", "--empty", index=index)
                self.ours.git("update-index", "--index-info", index=index, given=listed)
                self.ours.git("checkout-index", "--all", f"--prefix={aside}/", index=index,
                              work=aside)
        return home

    def bisect(self, *arguments: str) -> str:
        """A step of git's own bisection. Its HEAD is ours, its working tree is not needed."""
        done = self.ours.attempt("bisect", *arguments)
        if done.returncode not in (0, 2):  # 2: all that is left was skipped
            raise Fail(Exit.BAD_INPUT, f"git bisect: {(done.stdout + done.stderr).strip()}",
                       "pass --good= and --bad= of one branch")
        return done.stdout

    def reverted(self, commit: str, tip: str) -> Optional[str]:
        """A commit on top of the tip that undoes another one, if that is possible."""
        if len(self.parents(commit)) != 1:
            return None
        patch, index = self.work / "revert.patch", self.ours.home / "revert.index"
        write(patch, self.ours.git_bytes("diff-tree", "-p", "--full-index", "--binary",
                                         "--no-commit-id", commit))
        self.ours.git("read-tree", tip, index=index)
        if self.ours.attempt("apply", "--cached", "--3way", "--reverse", str(patch),
                             index=index).returncode:
            return None
        return self.ours.git("commit-tree", self.ours.git("write-tree", index=index).strip(),
                             "-p", tip, "-m", f"Revert {commit}").strip()
