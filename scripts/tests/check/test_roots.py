# SPDX-License-Identifier: GPL-2.0
from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Tuple
from unittest import mock

from check import roots
from check.roots import System, running
from tests import fixture


class RunningTest(fixture.Case):
    def ends(self, *command: str, terminal: bool = False, limit: float = 60) -> Tuple[int, str]:
        work = running(command, self.root / "console", terminal, limit)
        while True:
            try:
                next(work)
            except StopIteration as end:
                code, said = end.value
                self.assertEqual((self.root / "console").read_bytes().decode(), said)
                return code, said

    def test_code_and_words_come_back(self) -> None:
        self.assertEqual(self.ends("sh", "-c", "echo out; echo err >&2; exit 3"),
                         (3, "out\nerr\n"))

    def test_there_is_a_terminal_only_if_asked_for(self) -> None:
        look = 'for fd in 0 1 2; do test -t $fd && echo yes; done; stty size 2>/dev/null; true'
        self.assertEqual(self.ends("sh", "-c", look), (0, ""))
        self.assertEqual(self.ends("sh", "-c", look, terminal=True),
                         (0, "yes\r\nyes\r\nyes\r\n25 80\r\n"))

    def test_what_takes_too_long_is_killed(self) -> None:
        self.assertEqual(self.ends("sleep", "60", limit=0.2)[0], -9)

    def test_what_is_abandoned_is_killed(self) -> None:
        work = running(["sh", "-c", "echo $$; exec sleep 60"], self.root / "console", False, 60)
        next(work)  # its number, as it says nothing else
        while not (self.root / "console").stat().st_size:
            next(work)
        work.close()
        pid = int((self.root / "console").read_text() or 0)
        self.assertFalse(Path(f"/proc/{pid}").exists())


class SystemTest(fixture.Case):
    def test_commands_know_nothing_of_this_machine(self) -> None:
        with mock.patch.dict(os.environ, {"SECRET": "x", "http_proxy": "http://p:1"}):
            words = System(Path("/r"), "user").command(["make", "kunit"], "/home/user/x")
        self.assertIn("HOME=/home/user", words)
        self.assertIn("http_proxy=http://p:1", words)
        self.assertNotIn("SECRET", " ".join(words))
        self.assertEqual(words[-2:], ["make", "kunit"])

    def test_packages_come_from_where_those_of_this_machine_do(self) -> None:
        fixture.lay(self.root, {"var/cache/apt/archives/a.deb": "", "etc/apt/x": ""})
        roots._settle(self.root, "trixie", "http://m.example/d", ["http://s.example/s"])
        self.assertEqual((self.root / "etc/apt/sources.list").read_text(),
                         "deb http://m.example/d trixie main\n"
                         "deb http://m.example/d trixie-updates main\n"
                         "deb http://s.example/s trixie-security main\n")
        self.assertFalse((self.root / "var/cache/apt/archives/a.deb").exists())

    def test_of_apts_settings_only_those_that_reach_a_mirror_are_taken_over(self) -> None:
        fixture.lay(self.root, {"etc/resolv.conf": "", "etc/apt/apt.conf.d/01": ""})
        said = 'Acquire "";\nAcquire::http::Proxy "http://p:1";\nAcquire::Languages "none";\n'
        with mock.patch("check.roots.run",
                        return_value=subprocess.CompletedProcess([], 0, said, "")), \
                mock.patch.dict(os.environ, {"https_proxy": "http://q:1"}, clear=True):
            roots._as_on_this_machine(self.root)
        self.assertEqual((self.root / "etc/apt/apt.conf.d/99host").read_text(),
                         'Acquire::http::Proxy "http://p:1";\n'
                         'Acquire::https::Proxy "http://q:1";\n')
