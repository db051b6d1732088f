# SPDX-License-Identifier: GPL-2.0
from __future__ import annotations

import os
from pathlib import Path
from unittest import mock

import fixture  # first: it sets the path

import fetch
from verdict import Exit, Fail

URIS = ("'http://m.example/debian/dists/stable/InRelease' x 0\n"
        "'http://m.example/debian/dists/stable/main/binary-amd64/Packages.xz' x 0\n"
        "'http://s.example/debian-security/dists/stable-security/InRelease' x 0\n")


class FetchTest(fixture.Case):
    def setUp(self) -> None:
        super().setUp()
        changes = {"XDG_CACHE_HOME": str(self.root / "cache"),
                   "PATH": f"{self.root}/bin:{os.environ['PATH']}"}
        patch = mock.patch.dict(os.environ, changes)
        patch.start()
        self.addCleanup(patch.stop)
        patch_keyring = mock.patch("fetch.KEYRING", str(self.root))
        patch_keyring.start()
        self.addCleanup(patch_keyring.stop)
        mock.patch("fetch.need_space").start()
        self.addCleanup(mock.patch.stopall)

    def apt(self, says: str, code: int) -> None:
        """An apt-get whose update ends like that."""
        script = ('#!/bin/sh\ncase "$*" in\n*--print-uris*) cat <<END\n' + URIS +
                  f"END\n;;\n*) echo '{says}' >&2; exit {code};;\nesac\n")
        for name in ("apt-get", "apt-cache", "dpkg-deb"):
            fixture.lay(self.root, {f"bin/{name}": script})
            (self.root / "bin" / name).chmod(0o755)

    def failure(self) -> Fail:
        with self.assertRaises(Fail) as caught:
            fetch.source("7.3")
        self.assertEqual(caught.exception.code, Exit.MISSING)
        self.assertIn("KDIR=", caught.exception.remedy)
        return caught.exception

    def test_the_machines_own_mirrors_are_used(self) -> None:
        self.apt("", 0)
        self.assertEqual(fetch._mirrors(), (["http://m.example/debian"],
                                            ["http://s.example/debian-security"]))

    def test_no_network_is_said_at_once(self) -> None:
        self.apt("E: Could not resolve host", 100)
        self.assertIn("cannot reach the Debian mirror", self.failure().what)

    def test_a_kernel_debian_does_not_have(self) -> None:
        self.apt("", 0)
        self.assertIn("no Debian suite carries linux-source-7.3", self.failure().what)

    def test_a_cached_source_needs_no_apt(self) -> None:
        self.apt("E: must not be called", 100)
        cached = Path(os.environ["XDG_CACHE_HOME"], "offline-skippable-kunit/src/7.3",
                      "linux-source-7.3")
        cached.mkdir(parents=True)
        self.assertEqual(fetch.source("7.3"), cached)
