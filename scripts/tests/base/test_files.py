# SPDX-License-Identifier: GPL-2.0
from __future__ import annotations

import errno
import os
import subprocess
import sys
import threading
from pathlib import Path
from unittest import mock

from base import files, outcome, process
from base.files import REPO
from tests import fixture

SCRIPTS = REPO / "scripts"


def start(code: str) -> subprocess.Popen[str]:
    return subprocess.Popen([sys.executable, "-c", code], cwd=SCRIPTS, text=True,
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE)


class FilesTest(fixture.Case):
    def test_the_cache_is_where_the_user_keeps_caches(self) -> None:
        for given, expected in (({"XDG_CACHE_HOME": "/c"}, Path("/c/offline-skippable-kunit")),
                                ({"HOME": "/h"}, Path("/h/.cache/offline-skippable-kunit")),
                                ({"XDG_CACHE_HOME": "relative", "HOME": "/h"},
                                 Path("/h/.cache/offline-skippable-kunit"))):
            with mock.patch.dict(os.environ, given, clear=True):
                self.assertEqual(files.cache(), expected)

    def test_who_has_no_home_has_a_cache_all_the_same(self) -> None:
        with mock.patch.dict(os.environ, clear=True), \
                mock.patch("pwd.getpwuid", side_effect=KeyError):
            self.assertEqual(files.cache(), files.BUILD / "cache")

    def test_two_who_write_the_same_file_leave_one_whole(self) -> None:
        path = self.root / "file"
        contents = [bytes([number]) * 100_000 for number in range(8)]
        writers = [threading.Thread(target=files.write, args=(path, data)) for data in contents]
        for writer in writers:
            writer.start()
        for writer in writers:
            writer.join()
        self.assertIn(path.read_bytes(), contents)
        self.assertEqual([name for name in os.listdir(self.root) if name.startswith(".file")], [])

    def test_what_is_made_aside_appears_whole_or_not_at_all(self) -> None:
        home = self.root / "made"
        with self.assertRaises(KeyboardInterrupt), files.made_aside(home) as aside:
            (aside / "half").touch()
            raise KeyboardInterrupt
        self.assertFalse(home.exists())
        with files.made_aside(home) as aside:
            (aside / "whole").touch()
        self.assertEqual(os.listdir(home), ["whole"])


class ProcessTest(fixture.Case):
    def test_children_see_nothing_that_changes_a_build_or_git(self) -> None:
        given = {"MAKEFLAGS": " -- O=x", "KDIR": "x", "KCONFIG_CONFIG": "x", "KCFLAGS": "-O0",
                 "KBUILD_OUTPUT": "x", "GIT_DIR": "x", "LLVM": "1", "CC": "x", "O": "x",
                 "CFLAGS": "x", "GIT_CONFIG_COUNT": "1", "MAKE_TERMOUT": "x"}
        kept = {"HOME": "/h", "PATH": "/bin", "CCACHE_DIR": "/c", "http_proxy": "x", "TERM": "x"}
        with mock.patch.dict(os.environ, {**given, **kept}, clear=True):
            env = process.child_env()
        self.assertFalse(given.keys() & env.keys())
        self.assertEqual({name: env[name] for name in kept}, kept)

    def test_text_that_is_not_utf_8_comes_through(self) -> None:
        done = process.run(["printf", r"\344"])
        self.assertEqual(os.fsencode(done.stdout), b"\xe4")
        self.assertEqual(process.run_bytes(["printf", r"a\r\n"]).stdout, b"a\r\n")

    def test_a_missing_program_is_named(self) -> None:
        with self.assertRaises(outcome.Fail) as caught:
            process.run(["no-such-program"])
        self.assertEqual(caught.exception.code, outcome.Exit.MISSING)


class LockTest(fixture.Case):
    def code(self, use: str, body: str = "pass") -> str:
        return ("import pathlib\nfrom base.locks import lock\nfrom base.process import spawn\n"
                f"with lock(pathlib.Path({str(self.root / 'lock')!r}), {use!r}):\n {body}")

    def test_a_second_run_waits_and_says_for_whom(self) -> None:
        holder = subprocess.Popen([sys.executable, "-c", self.code(
            "first", "print('up', flush=True); input()")], cwd=SCRIPTS, text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert holder.stdout
        holder.stdout.readline()
        second = start(self.code("second"))
        assert second.stderr
        self.assertIn("waiting for first (process", second.stderr.readline())
        holder.communicate("\n")
        self.assertEqual(second.wait(10), 0)
        second.communicate()

    def test_a_child_keeps_the_lock_when_its_parent_is_killed(self) -> None:
        parent = start(self.code("x", "\n with spawn(['sh', '-c', 'echo up; sleep 1']) as c: "
                                      "c.wait()"))
        assert parent.stdout
        parent.stdout.readline()
        parent.kill()
        parent.wait()
        second = start(self.code("y"))
        self.assertIn("waiting for x", second.communicate(timeout=10)[1])
        parent.communicate()


class OutcomeTest(fixture.Case):
    def ending(self, body: str, tail: str = "") -> subprocess.CompletedProcess[str]:
        code = ("import errno\nfrom base.outcome import *\ndef main():\n "
                f"{body}\nrun_verb(main)")
        done = subprocess.run(["bash", "-c", f'"$0" -c "$1" {tail}', sys.executable, code],
                              cwd=SCRIPTS, text=True, stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, timeout=20, check=False)
        return done

    def test_a_failure_names_cause_and_remedy_without_a_trace(self) -> None:
        done = self.ending("raise Fail(Exit.PATCH, 'cause', 'remedy')")
        self.assertEqual((done.returncode, done.stderr), (3, "error: cause\n  fix: remedy\n"))

    def test_a_defect_of_ours_is_no_failed_case(self) -> None:
        done = self.ending("raise ValueError('oops')")
        self.assertEqual(done.returncode, 70)
        self.assertIn("ValueError: oops", done.stderr)
        self.assertIn("defect of the program itself", done.stderr)

    def test_a_full_disk_is_told_apart(self) -> None:
        done = self.ending("raise OSError(errno.ENOSPC, 'No space', '/x/y')")
        self.assertEqual(done.returncode, 6)
        self.assertIn("no space left on the disk that holds /x/y", done.stderr)

    def test_an_interrupt_is_one_line(self) -> None:
        done = self.ending("raise KeyboardInterrupt")
        self.assertEqual((done.returncode, done.stderr.count("\n")), (130, 1))

    def test_a_reader_that_has_gone_is_no_error(self) -> None:
        done = self.ending("print('x\\n' * 100000)", "| head -1; exit ${PIPESTATUS[0]}")
        self.assertEqual((done.stderr, done.stdout), ("", "x\n"))
        self.assertEqual(done.returncode, 130)

    def test_termination_is_an_interrupt(self) -> None:
        child = start("import time\nfrom base.outcome import *\ndef main():\n print('up', "
                      "flush=True)\n time.sleep(9)\nrun_verb(main)")
        assert child.stdout
        child.stdout.readline()
        child.terminate()
        self.assertEqual(child.wait(5), 130)
        child.communicate()

    def test_files_of_somebody_else_are_named_with_the_way_out(self) -> None:
        (self.root / "theirs").touch()
        with mock.patch("os.geteuid", return_value=os.geteuid() + 1000):
            fail = outcome.from_os_error(PermissionError(
                errno.EACCES, "Permission denied", str(self.root / "theirs/new")))
        self.assertIn("sudo chown -R", fail.remedy)
        self.assertIn("theirs", fail.remedy)
