#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""All that must hold before a change of this project lands, the cheapest first.

The last line counts the script tests, the KUnit cases and the checks.
"""

from __future__ import annotations

import contextlib
import dataclasses
import io
import os
import shutil
import sys
import time
import unittest
from pathlib import Path
from typing import Callable, List

import apply
import fetch
import kernel as kernels
import kunit
import mutants
import qemu_virtio_mem
import series
from host import BUILD, REPO, fresh, git, install, run
from options import Options, from_environment
from overlay import compute, touched
from progress import say
from tree import build_lock, prepare
from verdict import Exit, Fail, run_verb

# Files whose format has no room for an SPDX line.
NO_SPDX = (".patch", ".msg", "/series", "COPYING", "LICENSE")
SHELL_SCRIPTS = (("sh", "scripts/qemu-shim"), ("sh", "scripts/bisect-step"), ("bash", ".ci/run"))


@dataclasses.dataclass
class Check:
    """The checks in turn, and what came of them so far."""

    options: Options
    passed: int = 0
    failed: int = 0
    skipped: int = 0
    trouble: List[str] = dataclasses.field(default_factory=list)

    @property
    def queue(self) -> series.Queue:
        return series.queue_for(self.options.kernel)

    def step(self, name: str, work: Callable[[], List[str]]) -> bool:
        """Run one check, which gives back its complaints."""
        say(f"-- {name}")
        begin = time.monotonic()
        try:
            complaints = work()
        except Fail as fail:
            complaints = [str(fail)]
        for complaint in complaints:
            print(complaint)
        self.failed += bool(complaints)
        self.passed += not complaints
        if complaints:
            self.trouble.append(name)
        print(f"{'FAIL' if complaints else 'ok  '} {time.monotonic() - begin:6.1f} s  {name}",
              flush=True)
        return not complaints

    def script_tests(self) -> List[str]:
        said = io.StringIO()
        tests = unittest.defaultTestLoader.discover(str(REPO / "scripts/tests"))
        with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
            result = unittest.TextTestRunner(said).run(tests)
        bad = len(result.failures) + len(result.errors)
        self.failed += bad
        self.skipped += len(result.skipped)
        self.passed += result.testsRun - bad - len(result.skipped)
        return [] if result.wasSuccessful() and result.testsRun else [said.getvalue()]

    def types(self) -> List[str]:
        done = run(["mypy", "--strict", "--cache-dir", str(BUILD / "mypy"),
                    *(str(path) for path in sorted((REPO / "scripts").rglob("*.py")))],
                   cwd=REPO / "scripts")
        return [done.stdout] if done.returncode else []

    def shell(self) -> List[str]:
        return [done.stderr for done in (run([shell, "-n", str(REPO / script)])
                                         for shell, script in SHELL_SCRIPTS) if done.returncode]

    def yaml(self) -> List[str]:
        """What users copy into their repositories; the tools that know more need a network."""
        done = run(["yamllint", "--strict", "-f", "parsable",
                    *(str(path) for path in sorted((REPO / "ci").glob("*.yml")))], cwd=REPO)
        return [done.stdout] if done.returncode else []

    def spdx(self) -> List[str]:
        names = git(REPO, "ls-files", "-co", "--exclude-standard").splitlines()
        return [f"{name}: no SPDX-License-Identifier in its first lines" for name in names
                if not name.endswith(NO_SPDX) and (REPO / name).is_file()
                and "SPDX-License-Identifier:" not in
                "".join((REPO / name).read_text(errors="replace").splitlines()[:3])]

    def series_complete(self) -> List[str]:
        """Each patch is in its series, and each in the series is there."""
        complaints = []
        for version in series.versions():
            queue = series.queue_for(version)
            used = {mail.resolve() for mail in queue.patches()}
            complaints += [f"{patch} is not in {queue.folder / 'series'}"
                           for patch in queue.folder.glob("*.patch")
                           if patch.resolve() not in used]
        return complaints

    def series_exact(self) -> List[str]:
        return compute(fetch.source(self.options.kernel), self.queue.patches(),
                       BUILD / "overlay").notes

    def checkpatch(self) -> List[str]:
        source = fetch.source(self.options.kernel)
        done = run(["perl", str(source / "scripts/checkpatch.pl"), f"--root={source}", "--strict",
                    "--terse", "--show-types", "--no-summary", "--quiet",
                    # MAINTAINERS is for whoever merges the series; page flags' accessors
                    # have such names.
                    "--ignore", "FILE_PATH_CHANGES,CAMELCASE",
                    *(str(mail) for mail in self.queue.patches())], cwd=source)
        return (done.stdout + done.stderr).splitlines()

    def apply(self) -> List[str]:
        """`make apply` onto a git tree that has the files it needs."""
        source = fetch.source(self.options.kernel)
        scratch = fresh(BUILD / "check" / "linux")
        for path in ("Makefile", "Kbuild", *touched(self.queue.patches())):
            if (source / path).exists():
                install(source / path, scratch / path)
        git(scratch, "init", "-q")
        for name, value in (("user.name", "check"), ("user.email", "check@localhost"),
                            ("commit.gpgsign", "false")):
            git(scratch, "config", name, value)
        git(scratch, "add", "-A", "-f")
        git(scratch, "commit", "-q", "-m", f"linux {self.options.kernel}")
        apply.apply(scratch, self.options.arch)
        count = int(git(scratch, "rev-list", "--count", "HEAD")) - 1
        if count != len(self.queue.patches()):
            return [f"{count} commits for {len(self.queue.patches())} patches"]
        try:
            apply.apply(scratch, self.options.arch)
        except Fail as fail:
            return [] if "already" in fail.what else [str(fail)]
        return ["it applied a second time"]

    def kernel(self) -> kernels.Kernel:
        return kernels.describe(prepare(self.options), self.options)

    def cases(self) -> List[str]:
        folder = BUILD / "results" / f"{self.options.config}-{self.options.arch}"
        return self.judged(kunit.kunit(self.options, folder))

    def qemu_virtio_mem(self) -> List[str]:
        folder = BUILD / "results" / f"qemu-virtio-mem-{self.options.arch}"
        return self.judged(qemu_virtio_mem.qemu_virtio_mem(self.options, folder))

    def judged(self, verdict: kunit.Verdict) -> List[str]:
        self.passed += verdict.counts.get("passed", 0)
        self.failed += verdict.counts.get("failed", 0) + verdict.counts.get("crashed", 0)
        self.skipped += verdict.counts.get("skipped", 0)
        return [] if verdict.code is Exit.OK else [verdict.line()]

    def warnings(self) -> List[str]:
        """The new files compile without a word at W=1."""
        kernel = self.kernel()
        objects = [str(Path(path).with_suffix(".o")) for path in self.queue.new_files()
                   if path.endswith(".c")]
        done = run(kernels.make_command(kernel, "W=1", *objects))
        return done.stderr.splitlines()

    def small_guest(self) -> List[str]:
        verdict = kunit.boot(self.kernel(), "--qemu_args=-m 512", quiet=True)
        return [] if verdict.code is Exit.OK else [verdict.line()]

    def isolated(self) -> List[str]:
        verdict = kunit.boot(self.kernel(), "--run_isolated=suite", quiet=True)
        return [] if verdict.code is Exit.OK else [verdict.line()]


def main() -> Exit:
    options = dataclasses.replace(from_environment(os.environ), kdir=None, kunit_args=[])
    check = Check(options)
    with build_lock("make check"):
        check.step("script tests", check.script_tests)
        for tool, name, work in (("mypy", "types of the scripts", check.types),
                                 ("yamllint", "workflow files", check.yaml)):
            if shutil.which(tool):
                check.step(name, work)
            else:
                print(f"skip          {name}: {tool} is not installed")
                check.skipped += 1
        check.step("shell syntax", check.shell)
        check.step("licence tags", check.spdx)
        check.step("series is complete", check.series_complete)
        if check.step("series applies without fuzz or offset", check.series_exact):
            check.step("checkpatch --strict", check.checkpatch)
            check.step("make apply", check.apply)
            if check.step("make kunit", check.cases):
                check.step("new files at W=1", check.warnings)
                check.step("guest with 512 MiB", check.small_guest)
                check.step("each suite alone", check.isolated)
                check.step("make qemu-virtio-mem", check.qemu_virtio_mem)
                check.step("a sample of mutants", lambda: mutants.check(options))
    if check.trouble:
        print(f"failed: {'; '.join(check.trouble)}")
    print(f"{check.passed} passed, {check.failed} failed"
          + (f", {check.skipped} skipped" if check.skipped else ""))
    return Exit.CASE_FAILED if check.failed else Exit.OK


if __name__ == "__main__":
    run_verb(main)
