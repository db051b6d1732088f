# SPDX-License-Identifier: GPL-2.0
"""All that must hold before a change of this project lands, the cheapest first.

Nothing is skipped: a tool that is needed is installed, or it fails before any
work begins. The last line counts the script tests, the KUnit cases and the checks.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import fnmatch
import functools
import io
import time
import unittest
from pathlib import Path
from typing import Callable, Dict, List, Tuple

from base.files import BUILD, REPO, fresh, write
from base.locks import build_lock
from base.outcome import Exit, Fail
from base.process import run
from base.progress import coloured, result, say
from base.project import ARCH, FAIL_KNOWN_BUGS, KERNEL, MM_SUITES, QEMU_VIRTIO
from check import cases, docs
from guest import arguments, boot, job, resizer, sandbox
from guest import build as kernels
from guest.requirements import CHECKERS, COCCINELLE, SPHINX, for_kernels, programs, require
from guest.scenarios import SCENARIOS
from guest.setup import Setup
from guest.verdict import BEGIN, Verdict, suites
from history import campaign as history
from matrix import campaign as matrix
from mutants import campaign
from series import am
from series import queue as queues
from series.git import git
from series.mailing import LETTER, Sender, Series, commit_all, write_mails
from series.overlay import Overlay
from series.source import COMMIT, pristine, source
from series.worktree import Source, Tree, prepare, repository_for

# Files whose format has no room for an SPDX line.
NO_SPDX = (".patch", ".msg", "/series", "COPYING", "LICENSE")
SANDBOX = programs(("bwrap", "bubblewrap"))  # here it is needed
SHELL_SCRIPTS = ("scripts/guest/qemu-shim", "scripts/bisect-step", ".ci/run")

ZONELISTS = "zonelists, mobility grouping"  # which says build_all_zonelists()
WITH_KPROBES = "virtio_mem_races"  # a suite that is not in the usual kernel
NOBODY = Sender("check <check@localhost> 1767225600 +0000")


def _files(listed: str) -> Dict[str, str]:
    """Path, and mode and contents, from what git-ls-tree says."""
    return {path: what for entry in listed.split("\0") if entry
            for what, path in [entry.split("\t", 1)]}


@dataclasses.dataclass
class Check:
    """The checks in turn, and what came of them so far."""

    source: Source = Source(KERNEL)
    setup: Setup = Setup()
    passed: int = 0
    failed: int = 0
    skipped: int = 0
    known: int = 0  # ... because of known bugs of the kernel, beside those
    trouble: List[str] = dataclasses.field(default_factory=list)

    @property
    def queue(self) -> queues.Queue:
        return queues.queue_for(self.source.kernel)

    def step(self, name: str, work: Callable[[], List[str]]) -> bool:
        """Run one check, which gives back its complaints."""
        say(f"-- {name}")
        begin = time.monotonic()
        skipped = self.skipped
        try:
            complaints = work()
        except Fail as fail:
            if fail.code is Exit.MISSING:  # it says nothing about this project
                raise
            complaints = [str(fail)]
        if self.skipped > skipped:
            complaints.append(f"{self.skipped - skipped} skipped, where nothing should be")
        for complaint in complaints:
            result(complaint)
        self.failed += bool(complaints)
        self.passed += not complaints
        if complaints:
            self.trouble.append(name)
        word = coloured("FAIL", "red") if complaints else coloured("ok  ", "green")
        result(f"{word} {time.monotonic() - begin:6.1f} s  {name}")
        return not complaints

    # What needs no kernel.

    def script_tests(self) -> List[str]:
        said = io.StringIO()
        tests = unittest.defaultTestLoader.discover(str(REPO / "scripts/tests"),
                                                     top_level_dir=str(REPO / "scripts"))
        with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
            found = unittest.TextTestRunner(said, verbosity=0, buffer=True).run(tests)
        bad = len(found.failures) + len(found.errors)
        self.failed += bad
        self.skipped += len(found.skipped)
        self.passed += found.testsRun - bad - len(found.skipped)
        return [] if found.wasSuccessful() and found.testsRun else [said.getvalue()]

    def types(self) -> List[str]:
        done = run(["mypy", "--strict", "--cache-dir", str(BUILD / "mypy"), "main.py",
                    *sorted(path.parent.name for path in (REPO / "scripts").glob("*/__init__.py"))],
                   cwd=REPO / "scripts")
        return [done.stdout + done.stderr] if done.returncode else []

    def shell(self) -> List[str]:
        done = run(["shellcheck", *SHELL_SCRIPTS], cwd=REPO)
        return [done.stdout + done.stderr] if done.returncode else []

    def yaml(self) -> List[str]:
        """What users copy into their repositories; the tools that know more need a network."""
        done = run(["yamllint", "--strict", "-f", "parsable",
                    *(str(path) for path in sorted((REPO / "ci").glob("*.yml")))], cwd=REPO)
        return [done.stdout + done.stderr] if done.returncode else []

    def spdx(self) -> List[str]:
        names = git(REPO, "ls-files", "-z", "-co", "--exclude-standard").split("\0")
        return [f"{name}: no SPDX-License-Identifier in its first lines" for name in names
                if name and not name.endswith(NO_SPDX) and (REPO / name).is_file()
                and "SPDX-License-Identifier:" not in
                "".join((REPO / name).read_text(errors="replace").splitlines()[:3])]

    def properties(self) -> List[str]:
        """Each case says what it is about, and Documentation/ has it as it is."""
        return cases.out_of_date(REPO)

    def series_complete(self) -> List[str]:
        """Each patch is in its series, and each in the series is there."""
        complaints = []
        for version in queues.versions():
            queue = queues.queue_for(version)
            fixes = queue.folder / "fixes"
            used = {mail.resolve() for mail in [*queue.patches(), *(
                queue.fixes() if fixes.is_dir() else ())]}
            complaints += [f"{patch} is not in {patch.parent / 'series'}"
                           for folder in (queue.folder, fixes)
                           for patch in folder.glob("*.patch") if patch.resolve() not in used]
        return complaints

    def fixes_shown(self) -> List[str]:
        """Each fix mends what a case shows, and each known bug that a case shows has a fix."""
        fixes, named = {fix.stem for fix in self.queue.fixes()}, cases.known_bugs(REPO)
        return [*(f"no case shows what {name} mends" for name in sorted(fixes - named)),
                *(f"there is no fix {name}, which a case names" for name in sorted(named - fixes))]

    # What needs its source.

    @functools.cached_property
    def series(self) -> Series:
        """What is mailed, and after it the fixes for bugs of the kernel."""
        return commit_all(dataclasses.replace(self.source, fixes=True), NOBODY)

    @functools.cached_property
    def mails(self) -> List[Path]:
        """All of that as it is mailed, but for the sender; the cover letter comes first."""
        return write_mails(self.series, LETTER.read_text(), BUILD / "check" / "mails")

    def series_exact(self) -> List[str]:
        return [*self.series.notes, *self.series.offsets]

    def tree(self) -> Tree:
        return prepare(self.source)

    def checkpatch(self) -> List[str]:
        tree = self.tree().path
        done = run(["perl", str(tree / "scripts/checkpatch.pl"), f"--root={tree}", "--strict",
                    "--terse", "--show-types", "--no-summary", "--quiet",
                    # MAINTAINERS comes last; page flags' accessors have such names; there is
                    # no history here to know commits by; for the suites to build with
                    # several kernels, one header has to know which it is; and a suite
                    # replaces VM_BUG_ON_PGFLAGS().
                    "--ignore", "FILE_PATH_CHANGES,CAMELCASE,UNKNOWN_COMMIT_ID,"
                    "LINUX_VERSION_CODE,CONSTANT_COMPARISON,AVOID_BUG",
                    *(str(mail) for mail in self.mails[1:])], cwd=fresh(BUILD / "check/cwd"))
        return (done.stdout + done.stderr).splitlines()

    def apply(self) -> List[str]:
        """`suite apply` onto a git tree that has the files it needs."""
        scratch = self._scratch()
        am.apply(scratch, ARCH)
        wrong = self._unlike(scratch)
        if wrong:
            return wrong
        try:
            am.apply(scratch, ARCH)
        except Fail as fail:
            return [] if "already" in fail.what else [str(fail)]
        return ["it applied a second time"]

    def mailed(self) -> List[str]:
        """`git am` of what `suite series` writes, onto the same."""
        scratch = self._scratch()
        count = len(self.queue.patches())
        git(scratch, "am", "--quiet", "--no-3way",
            *(str(mail) for mail in self.mails[1:count + 1]))
        return self._unlike(scratch)

    def _unlike(self, scratch: Path) -> List[str]:
        """In what a tree that was made by `git am` is not, byte for byte, that of `suite tree`."""
        overlay = Overlay(repository_for(None, self.source.kernel))
        base = pristine(self.source.kernel)
        wanted = overlay.lay(base, "")
        here = _files(git(scratch, "ls-tree", "-r", "-z", "HEAD"))
        there = _files(overlay.ours.git("ls-tree", "-r", "-z", wanted))
        count, patches = int(git(scratch, "rev-list", "--count", "HEAD")) - 1, self.queue.patches()
        return [f"git am makes another {path} than suite tree has"
                for path in sorted({*here, *overlay.ours.changed(base, wanted)})
                if here.get(path) != there.get(path)] + (
                    [] if count == len(patches) else [f"{count} commits for {len(patches)} patches"])

    def _pristine(self, folder: Path) -> Path:
        """The kernel's own files that the series changes, and by which a kernel is known."""
        kernel = source(self.source.kernel)
        for path in ("Makefile", "Kbuild", *queues.touched(self.queue.patches())):
            data = kernel.file(COMMIT, path)
            if data is not None:
                write(folder / path, data)
        return folder

    def _scratch(self) -> Path:
        """A git tree of these."""
        scratch = self._pristine(fresh(BUILD / "check" / "linux"))
        git(scratch, "init", "-q")
        for name, value in (("user.name", "check"), ("user.email", "check@localhost")):
            git(scratch, "config", name, value)
        git(scratch, "add", "-A", "-f")
        git(scratch, "commit", "-q", "-m", f"linux {self.source.kernel}")
        return scratch

    def kernel_doc(self) -> List[str]:
        return docs.kernel_doc(self.tree().path, self._pristine(fresh(BUILD / "check" / "linux")),
                               [*queues.touched(self.queue.patches()), *self.queue.new_files()])

    def sphinx(self) -> List[str]:
        return docs.sphinx(self.tree().path, BUILD / "docs", self.queue.new_files(),
                           queues.touched(self.queue.patches()))

    # What needs a kernel that is built.

    def kernel(self) -> kernels.Kernel:
        return kernels.describe(self.tree().path, self.setup)

    def kunit(self) -> List[str]:
        """Cases that show known bugs of the kernel are skipped, and no others."""
        folder = job.results_folder(self.setup.config, self.setup.arch, self.source)
        complaints = self.suites_run(self.source, self.setup, folder, WITH_KPROBES)
        known = [case for suite in suites(_console(folder)) for case in suite.cases
                 if case.known_bug]
        self.known += len(known)
        self.skipped -= len(known)
        return complaints

    def fixes(self) -> List[str]:
        """With the known bugs mended, all cases pass, also those that take kprobes."""
        setup, mended = self.mended
        return self.suites_run(mended, setup, job.results_folder(
            f"{setup.config}-fixes", setup.arch, mended))

    @property
    def mended(self) -> Tuple[Setup, Source]:
        """The kernel that has all: no known bugs, and kprobes."""
        return dataclasses.replace(
            self.setup, kconfig_add=("CONFIG_KPROBES=y",),
            kunit_args=(*self.setup.kunit_args, f"--kernel_args={FAIL_KNOWN_BUGS}")), \
            dataclasses.replace(self.source, fixes=True)

    def suites_run(self, kernel: Source, setup: Setup, folder: Path, *without: str) -> List[str]:
        verdicts: List[Verdict] = []

        def work() -> Verdict:
            verdicts.append(job.run(kernel, setup, folder))
            return verdicts[-1]
        job.recorded(folder, work)
        ran = {(suite.name, case.name.split()[0]) for suite in suites(_console(folder))
               for case in suite.cases}
        listed = [suite for suite in cases.in_repository(REPO) if not any(
            fnmatch.fnmatch(suite.name, pattern) for pattern in (QEMU_VIRTIO, *without))]
        return [*self.judged(verdicts[-1]), *cases.not_run(listed, ran)]

    def qemu_virtio_mem(self) -> List[str]:
        """Two of the scenarios that each machine has: that takes a boot for each."""
        folder = job.results_folder("qemu-virtio-mem", self.setup.arch, self.source)
        chosen = [scenario for scenario in SCENARIOS if scenario.name in ("file", "boot")]
        return self.judged(resizer.qemu_virtio_mem(self.source, self.setup, folder, chosen))

    def judged(self, verdict: Verdict) -> List[str]:
        self.passed += verdict.counts.get("passed", 0)
        self.failed += verdict.counts.get("failed", 0) + verdict.counts.get("crashed", 0)
        self.skipped += verdict.counts.get("skipped", 0)
        return [] if verdict.code is Exit.OK else [verdict.line()]

    def warnings(self) -> List[str]:
        """The new files compile without a word at W=1."""
        setup, mended = self.mended
        kernel = kernels.describe(prepare(mended).path, setup)
        objects = [str(Path(path).with_suffix(".o")) for path in self.queue.new_files()
                   if path.endswith(".c")]
        done = run(kernels.make_command(kernel, "W=1", *objects))
        return done.stderr.splitlines()

    def booted(self, *arguments_of_kunit: str) -> List[str]:
        verdict = boot.boot(self.kernel(), *arguments_of_kunit)
        return [] if verdict.code is Exit.OK else [verdict.line()]

    def without_hotplug(self, reason: str, *arguments_of_kunit: str) -> List[str]:
        """Boot where memory that does not exist would do harm: borrowed memory serves, or none."""
        verdict = boot.boot(self.kernel(), *arguments_of_kunit)
        console = (self.kernel().out / "test.log").read_text(errors="replace")
        found = [case for suite in suites(console) for case in suite.cases
                 if any(fnmatch.fnmatch(suite.name, pattern) for pattern in MM_SUITES)]
        skipped = [case for case in found if case.reason.startswith(reason)]
        # Each zone that gets its first memory has the kernel say so.
        return [*([] if verdict.code is Exit.OK else [verdict.line()]),
                *([] if skipped else [f"no case is skipped because {reason}"]),
                *([f"memory is hotplugged although {reason}"]
                  if ZONELISTS in console[console.find(BEGIN):] else []),
                *(f"{case.suite}.{case.name} is skipped because {case.reason}" for case in found
                  if case.reason and case not in skipped and not case.known_bug)]


def _console(folder: Path) -> str:
    return (folder / "test.log").read_text(errors="replace")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    arguments.add_install(parser)


def main(args: argparse.Namespace) -> Exit:
    check = Check()
    with build_lock("suite check"):
        require([*for_kernels(check.setup), *CHECKERS, *COCCINELLE, *SANDBOX, *SPHINX],
                not args.no_install)
        why = sandbox.trouble()
        if why:
            raise Fail(Exit.MISSING, f"bubblewrap does not work here, so its tests cannot run: "
                       f"{why}", "run as root, or where users may have namespaces")
        check.step("script tests", check.script_tests)
        check.step("types of the scripts", check.types)
        check.step("shell scripts", check.shell)
        check.step("workflow files", check.yaml)
        check.step("licence tags", check.spdx)
        check.step("properties of the cases", check.properties)
        check.step("series is complete", check.series_complete)
        check.step("fixes of known bugs have cases", check.fixes_shown)
        if check.step("series applies without fuzz or offset", check.series_exact):
            check.step("checkpatch --strict", check.checkpatch)
            check.step("suite apply", check.apply)
            check.step("suite series", check.mailed)
            check.step("kernel-doc", check.kernel_doc)
            check.step(f"Documentation/{docs.FOLDER}", check.sphinx)
            if check.step("suite kunit", check.kunit):
                check.step("suite kunit --fixes", check.fixes)
                check.step("new files at W=1", check.warnings)
                check.step("guest with 512 MiB", lambda: check.booted("--qemu_args=-m 512"))
                check.step("machine that may be real", lambda: check.without_hotplug(
                    "maybe a real machine, and no phantom_memory.any_machine",
                    "--qemu_args=-cpu qemu64,-hypervisor",
                    "--kernel_args=phantom_memory.any_machine=0"))
                check.step("contents of free pages", lambda: check.without_hotplug(
                    "init_on_free writes to free pages", "--kernel_args=init_on_free=1"))
                check.step("each suite alone", lambda: check.booted("--run_isolated=suite"))
                check.step("suite qemu-virtio-mem", check.qemu_virtio_mem)
                check.step("a sample of mutants",
                           lambda: campaign.check(check.source, check.setup))
                check.step("a sample of past bugs",
                           lambda: history.check(check.source, check.setup))
                check.step("a sample of the matrix", matrix.check)
    if check.trouble:
        result(f"failed: {'; '.join(check.trouble)}")
    if check.known:
        result(f"{check.known} cases show known bugs of the kernel: without them they pass")
    result(f"{check.passed} passed, {check.failed} failed"
           + (f", {check.skipped} skipped" if check.skipped else ""))
    return Exit.CASE_FAILED if check.failed else Exit.OK
