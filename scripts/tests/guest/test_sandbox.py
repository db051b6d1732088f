# SPDX-License-Identifier: GPL-2.0
from __future__ import annotations

import os
import unittest
from pathlib import Path
from unittest import mock

from base.outcome import Exit, Fail
from base.process import run
from guest import sandbox
from guest.setup import Setup
from tests import fixture

WHY_NOT = sandbox.trouble()


class WithoutTest(fixture.Case):
    def test_it_is_said_when_there_is_none(self) -> None:
        for wanted, why in ((False, "--no-sandbox"), (True, "bwrap is not installed")):
            with mock.patch("guest.sandbox.say") as said, \
                    mock.patch("guest.sandbox.shutil.which", return_value=None):
                found = sandbox.sandbox(Setup(), self.root / "ccache", wanted)
            self.assertFalse(found.isolated)
            said.assert_called_once()
            self.assertIn(why, said.call_args.args[0])
            with mock.patch.dict(os.environ, {"AWS_KEY": "x", "LANG": "C"}, clear=True):
                self.assertEqual(found.wrapper([], []),
                                 ("env", "-u", "AWS_KEY", f"CCACHE_DIR={self.root}/ccache"))

    def test_a_sandbox_that_bwrap_cannot_make_is_none(self) -> None:
        fixture.lay(self.root, {"bin/bwrap": "#!/bin/sh\necho 'bwrap: not here' >&2\nexit 1\n"})
        (self.root / "bin/bwrap").chmod(0o755)
        with mock.patch.dict(os.environ, {"PATH": f"{self.root}/bin:{os.environ['PATH']}"}):
            self.assertEqual(sandbox.trouble(), "bwrap: not here")

    def test_a_link_out_of_the_build_folder_is_refused(self) -> None:
        fixture.lay(self.root, {"out/image": "", "secret": ""})
        (self.root / "out/link").symlink_to(self.root / "secret")
        sandbox.own(self.root / "out", self.root / "out/image")
        for name in ("link", "../secret"):
            with self.assertRaises(Fail) as caught:
                sandbox.own(self.root / "out", self.root / "out" / name)
            self.assertEqual(caught.exception.code, Exit.BUILD)


@unittest.skipIf(WHY_NOT, f"no sandbox here: {WHY_NOT}")
class SandboxTest(fixture.Case):
    def setUp(self) -> None:
        super().setUp()
        self.home, self.out = self.root / "home", self.root / "out"
        fixture.lay(self.root, {"home/secret": "secret\n", "home/tree/Makefile": "make\n",
                                "out/notes/note": "note\n", "elsewhere": ""})
        self.replace(mock.patch.dict(os.environ, {
            "HOME": str(self.home), "AWS_SECRET_ACCESS_KEY": "secret", "CI_JOB_TOKEN": "secret",
            "CCACHE_REMOTE_STORAGE": "redis://secret", "LANG": "C.UTF-8"}))
        self.sandbox = sandbox.Sandbox(Setup(), self.root / "ccache", True)

    def said(self, script: str) -> str:
        wrapper = self.sandbox.wrapper([self.home / "tree", self.out / "notes"], [self.out])
        done = run([*wrapper, "sh", "-c", script])
        return done.stdout + done.stderr

    def test_what_is_needed_is_there(self) -> None:
        said = self.said(f"cat {self.home}/tree/Makefile; echo made > {self.out}/image; "
                         "echo x > /tmp/x; cat /tmp/x; echo $CCACHE_DIR; touch $CCACHE_DIR/object")
        self.assertEqual(said.split(), ["make", "x", str(self.root / "ccache")])
        self.assertEqual((self.out / "image").read_text(), "made\n")
        self.assertTrue((self.root / "ccache/object").exists())

    def test_the_tree_and_our_notes_cannot_be_written_to(self) -> None:
        for path in (self.home / "tree/Makefile", self.home / "tree/new", self.out / "notes/note",
                     Path("/etc/hosts")):
            self.assertRegex(self.said(f"echo x >> {path}"), "Read-only|Permission denied")
        self.assertIn("busy", self.said(f"mv {self.out}/notes {self.out}/other"))

    def test_the_home_folder_is_empty(self) -> None:
        self.assertEqual(self.said(f"ls -A {self.home}"), "tree\n")
        self.assertIn("No such file", self.said(f"cat {self.home}/secret"))
        self.assertIn("No such file", self.said(f"cat {self.root}/elsewhere"))

    def test_there_is_no_network(self) -> None:
        lines = [line for line in self.said("cat /proc/net/dev").splitlines() if ":" in line]
        self.assertEqual([line.split(":")[0].strip() for line in lines], ["lo"])

    def test_no_secret_is_in_any_environment(self) -> None:
        self.assertNotIn("secret", self.said("env; cat /proc/*/environ | tr '\\0' '\\n'"))
        self.assertIn("LANG=C.UTF-8", self.said("env"))

    def test_processes_of_others_are_not_there(self) -> None:
        self.assertEqual(self.said(f"test -e /proc/{os.getpid()}/environ || echo none"), "none\n")
