# SPDX-License-Identifier: GPL-2.0
"""Tests commits: lay the series over one, build, boot, judge; and remember the outcome.

What came of a tree is remembered by the tree's content, and by how it was
built, booted and judged: a rerun, a rebased branch and a bisection that was
interrupted test nothing twice.
"""

from __future__ import annotations

import itertools
import json
import os
import shutil
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Callable, Dict, Generator, Optional, Sequence, Tuple

from base.files import digest, digest_of_files, fresh, is_full, write
from base.jobs import Pipeline
from base.outcome import BAD, Exit, Fail, no_space
from base.process import child_env, end_children, run
from commits.repository import DECODERS, KUNIT, Commits
from commits.trial import OF_THE_COMMIT, Trial, load, save
from guest import boot as guests
from guest import build as kernels
from guest import kvm
from guest.sandbox import Sandbox, own, sandbox
from guest.setup import MACHINES, Setup
from guest.verdict import Verdict, around_crash, case_states

# Line tables: they cost little, and a crash can be read.
DEBUG_FLAGS = "KCFLAGS=-g1"


@dataclass(frozen=True)
class Booted:
    """What one boot has left."""

    verdict: Verdict
    cases: Dict[str, str]


@dataclass(frozen=True)
class Built:
    """A commit that is ready to be booted, unless its outcome is there already."""

    trial: Optional[Trial] = None
    kernel: Optional[kernels.Kernel] = None
    folder: Optional[Path] = None  # for the outcome
    seconds: float = 0.0


class Tester:
    """Tests commits one after the other, in one working tree and build folder.

    `judge` is a commit whose kunit.py reads the results of all of them.
    """

    def __init__(self, setup: Setup, commits: Commits, judge: str, isolate: bool) -> None:
        self.setup = setup
        self.commits = commits
        self.sandbox = self._sandbox(isolate)
        self.judge = commits.kunit(judge)
        self.context = self._context()
        self._here: Dict[Path, Optional[Trial]] = {}  # of this run; None: under way

    def _sandbox(self, isolate: bool) -> Sandbox:
        return sandbox(self.setup, self.commits.work / "ccache", isolate)

    def _context(self) -> str:
        """All that an outcome depends on but the tree."""
        setup, here = self.setup, Path(guests.__file__).parent
        machine = MACHINES.get(setup.arch)
        paths = [shutil.which(name) for name in (
            setup.compiler, *([f"qemu-system-{machine.qemu}"] if machine else []))]
        return digest(repr([
            replace(setup, jobs=0, verbose=False), DEBUG_FLAGS, kvm.accelerator(setup.arch),
            self.sandbox.isolated, self.judge.name, guests.KERNEL_ARGUMENTS,
            digest_of_files([*here.glob("*.py"), kvm.SHIM]),
            *((path, os.stat(path).st_mtime) for path in paths if path)]).encode())

    # Whether the arguments, and all that is around the commits, can work at all: then
    # kunit.py's refusal of a commit is that commit's doing.

    @property
    def _sound(self) -> Path:
        return self.commits.work / "sound" / self.context[:16]

    @property
    def _usual(self) -> Path:
        """How long a good boot takes: part of the context is how it is booted."""
        return self.commits.work / "boot-seconds" / self.context[:16]

    def test(self, commit: str, passes: int = 1, fails: int = 1) -> Trial:
        """The outcome for a commit: the first that it has so many times."""
        return self.finish(self.begin(commit, passes, fails), passes, fails)

    def trials(self, commits: Sequence[str],
               announce: Callable[[str], None]) -> Generator[Tuple[str, Trial], None, None]:
        """The outcomes of commits, in order: one is built while the one before it boots."""
        def begin(commit: str) -> Built:
            announce(commit)
            return self.begin(commit)

        pipeline = Pipeline(begin, self.finish, end_children)
        yield from pipeline.run(commits)

    def begin(self, commit: str, passes: int = 1, fails: int = 1) -> Built:
        """All that comes before the boot."""
        begin = time.monotonic()
        try:
            tree = self.commits.lay(commit)
        except Fail as fail:
            return Built(self._own_fault(fail))
        folder = self.commits.work / "verdicts" / digest(tree.encode(), self.context.encode())[:16]
        if folder in self._here:
            return Built(self._here.get(folder), folder=folder)
        known = load(folder)
        if known and known.boots >= (passes if known.code is Exit.OK else
                                     fails if known.code in BAD else 1):
            return Built(known)
        self._here[folder] = None
        try:
            kernel = self._build(tree, fresh(folder))
        except Fail as fail:
            # Not saved: it may be the host's doing, for all that is known.
            trial = replace(self._own_fault(fail), folder=folder,
                            seconds=time.monotonic() - begin)
            self._here[folder] = trial
            return Built(trial)
        except BaseException:
            del self._here[folder]
            raise
        return Built(None, kernel, folder, time.monotonic() - begin)

    def finish(self, built: Built, passes: int = 1, fails: int = 1) -> Trial:
        """The boots."""
        if built.trial:
            return built.trial
        folder, kernel = built.folder, built.kernel
        assert folder
        if not kernel:  # the same tree was under way
            trial = self._here.get(folder) or load(folder)
            assert trial
            return trial
        begin = time.monotonic()
        boots = {True: 0, False: 0}
        try:
            while boots[True] < passes and boots[False] < fails:
                booted = self._boot(kernel, folder)
                boots[booted.verdict.code is Exit.OK] += 1
        except Fail as fail:
            self._here[folder] = trial = replace(self._own_fault(fail), folder=folder,
                                                 seconds=built.seconds)
            return trial
        finally:
            self._leave(kernel)
        verdict = booted.verdict
        trial = save(Trial(verdict.code, verdict.reason, verdict.counts, booted.cases,
                           boots[verdict.code is Exit.OK],
                           built.seconds + time.monotonic() - begin, verdict.retried, folder))
        write(self._sound, b"")
        # It may be asked for again, with more boots: that is up to what is kept.
        del self._here[folder]
        return trial

    def _own_fault(self, fail: Fail) -> Trial:
        """The outcome of a commit that cannot be tested, if that is its own fault."""
        if fail.code is Exit.BAD_INPUT and self._sound.exists():
            return Trial(Exit.BUILD, fail.what)
        if fail.code not in OF_THE_COMMIT:
            raise fail
        return Trial(fail.code, fail.what)

    def boots(self, commit: str) -> Generator[Trial, None, None]:
        """Build a commit, and boot it again and again, whatever is remembered."""
        folder = fresh(self.commits.work / "again" / commit)
        kernel = self._build(self.commits.lay(commit), folder)
        try:
            for number in itertools.count(1):
                booted = self._boot(kernel, folder / str(number))
                yield Trial(booted.verdict.code, booted.verdict.reason, booted.verdict.counts,
                            booted.cases, retried=booted.verdict.retried,
                            folder=folder / str(number))
        finally:
            self._leave(kernel)

    def _build(self, tree: str, folder: Path) -> kernels.Kernel:
        """The kernel of a tree, in a folder of its own that it can be booted from."""
        path, tool = self.commits.check_out(tree), self.commits.kunit(tree)
        described = kernels.describe(tool, self.setup, self.sandbox.wrapper([tool], []))
        kernel = replace(described, tree=path, more_variables=(DEBUG_FLAGS,),
                         out=described.out.with_name(
                             described.out.name.replace(tool.name, path.name)))
        # Our own notes are not for the build to write to.
        kernel.state.mkdir(parents=True, exist_ok=True)
        kernel = replace(kernel, wrapper=self.sandbox.wrapper([path, kernel.state], [kernel.out]))
        try:
            kernel.kunitconfigs()
        except Fail as fail:
            raise Fail(Exit.NO_FEATURE, fail.what, fail.remedy) from None
        try:
            kernels.build(kernel)
        except Fail as fail:
            errors = kernel.state / "errors.log"
            if fail.code is Exit.BUILD and errors.exists():
                write(folder / "build-errors.log", errors.read_bytes())
            raise
        return self._moved(kernel, tool, self.commits.work / "boot" / folder.name)

    def _moved(self, kernel: kernels.Kernel, tool: Path, out: Path) -> kernels.Kernel:
        """The same kernel where it can be booted while the next one is built."""
        moved = replace(kernel, tree=tool, out=out)
        fresh(out)
        own(out, moved.image).parent.mkdir(parents=True, exist_ok=True)
        moved.state.mkdir()
        for name in dict.fromkeys((str(kernel.guest["kernel_path"]), "vmlinux", ".config")):
            done = run(["cp", "--reflink=auto", str(own(kernel.out, kernel.out / name)),
                        str(out / name)])
            if done.returncode:
                raise no_space(out) if is_full(out, done.stderr) else Fail(
                    Exit.MISSING, done.stderr.strip(), "run the same command again")
        return replace(moved, wrapper=self.sandbox.wrapper([tool, self.judge, moved.state], [out]))

    def _leave(self, kernel: kernels.Kernel) -> None:
        shutil.rmtree(kernel.out, ignore_errors=True)

    def _boot(self, kernel: kernels.Kernel, folder: Path) -> Booted:
        """Boot once; how long a good boot takes says when another one hangs."""
        patience = guests.patience_with(self.setup)
        if self._usual.exists():
            patience = min(patience, round(10 + 4 * float(self._usual.read_text())))
        begin = time.monotonic()
        tool = self.judge / KUNIT / "kunit.py"
        verdict = guests.boot(kernel, patience=patience, judge_by=tool)
        if verdict.code is Exit.OK and not verdict.retried:
            write(self._usual, f"{time.monotonic() - begin}".encode())
        guests.keep(kernel, folder)
        if verdict.code is Exit.CRASH:
            self._write_trace(kernel, folder)
        results = folder / "results.json"
        found = dict(case_states(json.loads(results.read_text()))) if results.exists() else {}
        return Booted(verdict, found)

    def _write_trace(self, kernel: kernels.Kernel, folder: Path) -> None:
        """What the console says of a crash, its addresses as source lines."""
        lines = around_crash((folder / "test.log").read_text(errors="replace"))
        tool = self.judge / DECODERS[0]
        if not lines or not tool.exists():
            return
        raw = "\n".join(lines) + "\n"
        # The tool takes the prefix of binutils from there.
        env = {**child_env(), "CROSS_COMPILE": kernel.setup.cross_compile,
               "LLVM": kernel.setup.llvm}
        decoded = run([*kernel.wrapper, "bash", str(tool), str(kernel.out / "vmlinux")],
                      input=raw, env=env)
        write(folder / "trace.txt", decoded.stdout.encode(errors="surrogateescape"))
