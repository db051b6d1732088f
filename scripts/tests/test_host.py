# SPDX-License-Identifier: GPL-2.0
from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
from pathlib import Path

import fixture  # first: it sets the path

import host
import verdict
from progress import Progress, seconds

SCRIPTS = Path(host.__file__).parent


def start(code: str) -> subprocess.Popen[str]:
    return subprocess.Popen([sys.executable, "-c", code], cwd=SCRIPTS, text=True,
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE)


class HostTest(fixture.Case):
    def test_children_see_neither_our_variables_nor_makes(self) -> None:
        os.environ["MAKEFLAGS"] = " -- O=x"
        os.environ["KDIR"] = "x"
        try:
            env = host.child_env()
        finally:
            del os.environ["MAKEFLAGS"], os.environ["KDIR"]
        self.assertFalse({"MAKEFLAGS", "KDIR"} & env.keys())

    def test_a_second_run_waits_and_says_for_whom(self) -> None:
        path = self.root / "lock"
        code = f"import host, pathlib\nwith host.lock(pathlib.Path({str(path)!r}), 'second'): pass"
        with host.lock(path, "first"):
            second = start(code)
            assert second.stderr
            self.assertIn("waiting for first (process", second.stderr.readline())
        self.assertEqual(second.wait(10), 0)
        second.communicate()

    def test_a_child_keeps_the_lock_when_its_parent_is_killed(self) -> None:
        path = self.root / "lock"
        parent = start("import host, pathlib\n"
                       f"with host.lock(pathlib.Path({str(path)!r}), 'x'):\n"
                       " with host.spawn(['sh', '-c', 'echo up; sleep 1']) as c: c.wait()\n")
        assert parent.stdout
        parent.stdout.readline()
        parent.kill()
        parent.wait()
        second = start(f"import host, pathlib\n"
                       f"with host.lock(pathlib.Path({str(path)!r}), 'y'): pass")
        self.assertIn("waiting for x", second.communicate(timeout=10)[1])
        parent.communicate()

    def test_a_missing_program_is_named(self) -> None:
        with self.assertRaises(verdict.Fail) as caught:
            host.run(["no-such-program"])
        self.assertEqual(caught.exception.code, verdict.Exit.MISSING)

    def test_install_replaces_and_keeps_mode_and_links(self) -> None:
        source = self.root / "script"
        source.write_text("new")
        source.chmod(0o755)
        (self.root / "target").write_text("old")
        host.install(source, self.root / "target")
        self.assertEqual((self.root / "target").stat().st_mode & 0o777, 0o755)
        (self.root / "link").symlink_to("nowhere")
        host.install(self.root / "link", self.root / "a/copy")
        self.assertEqual(os.readlink(self.root / "a/copy"), "nowhere")


class VerdictTest(fixture.Case):
    def ending(self, body: str) -> subprocess.CompletedProcess[str]:
        code = f"import errno, verdict\ndef main():\n {body}\nverdict.run_verb(main)"
        child = start(code)
        out, err = child.communicate(timeout=10)
        return subprocess.CompletedProcess(code, child.returncode, out, err)

    def test_a_failure_names_cause_and_remedy_without_a_trace(self) -> None:
        done = self.ending("raise verdict.Fail(verdict.Exit.PATCH, 'cause', 'remedy')")
        self.assertEqual((done.returncode, done.stderr), (3, "error: cause\n  fix: remedy\n"))

    def test_a_full_disk_is_told_apart(self) -> None:
        done = self.ending("raise OSError(errno.ENOSPC, 'No space', '/x/y')")
        self.assertEqual(done.returncode, 6)
        self.assertIn("no space left on the disk that holds /x/y", done.stderr)

    def test_an_interrupt_is_one_line(self) -> None:
        done = self.ending("raise KeyboardInterrupt")
        self.assertEqual((done.returncode, done.stderr.count("\n")), (130, 1))

    def test_termination_is_an_interrupt(self) -> None:
        child = start("import time, verdict\ndef main():\n print('up', flush=True)\n"
                      " time.sleep(9)\nverdict.run_verb(main)")
        assert child.stdout
        child.stdout.readline()
        child.send_signal(signal.SIGTERM)
        self.assertEqual(child.wait(5), 130)
        child.communicate()

    def test_other_trouble_with_files_is_no_space_problem(self) -> None:
        fail = verdict.from_os_error(PermissionError(errno.EACCES, "Permission denied", "/x"))
        self.assertIn("/x", fail.what)


class ProgressTest(fixture.Case):
    def test_the_estimate_follows_from_the_share_done(self) -> None:
        progress = Progress("work", 100)
        progress.start -= 30
        progress.done = 25
        self.assertEqual(progress.line(), "work: 25%, about 90 s left".replace("90 s", seconds(90)))

    def test_without_a_total_there_is_no_estimate(self) -> None:
        progress = Progress("work")
        progress.done = 25
        self.assertEqual(progress.line(), "work: 0 s so far")
