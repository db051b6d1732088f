# SPDX-License-Identifier: GPL-2.0
from __future__ import annotations

import io
import os
import subprocess
import tarfile
from unittest import mock

from base.outcome import Exit, Fail
from base.progress import Progress
from series import source
from series.git import Repository
from tests import fixture

FETCH = source._fetch  # the real one; in other tests it refuses
PATH = os.environ["PATH"]
URIS = ("'http://m.example/debian/dists/stable/InRelease' x 0\n"
        "'http://m.example/debian/dists/stable/main/binary-amd64/Packages.xz' x 0\n"
        "'http://s.example/debian-security/dists/stable-security/InRelease' x 0\n")


class SourceTest(fixture.Case):
    def setUp(self) -> None:
        super().setUp()
        self.replace(mock.patch.dict(os.environ, {"PATH": f"{self.root}/bin:{PATH}"}),
                     mock.patch("series.source.KEYRINGS", (str(self.root),)),
                     mock.patch("series.source.need_space"),
                     mock.patch("series.source._fetch", FETCH))

    def apt(self, says: str, code: int) -> None:
        """An apt-get whose update ends like that."""
        script = ('#!/bin/sh\ncase "$*" in\n*--print-uris*) cat <<END\n' + URIS +
                  f"END\n;;\n*) echo '{says}' >&2; exit {code};;\nesac\n")
        for name in ("apt-get", "apt-cache", "dpkg-deb", "xz"):
            fixture.lay(self.root, {f"bin/{name}": script})
            (self.root / "bin" / name).chmod(0o755)

    def failure(self) -> Fail:
        with self.assertRaises(Fail) as caught:
            source.source("7.3")
        self.assertEqual(caught.exception.code, Exit.MISSING)
        self.assertIn("--kdir=", caught.exception.remedy)
        return caught.exception

    def test_the_machines_own_mirrors_are_used(self) -> None:
        self.apt("", 0)
        self.assertEqual(source.mirrors(), (["http://m.example/debian"],
                                            ["http://s.example/debian-security"]))

    def test_no_network_is_said_at_once(self) -> None:
        self.apt("E: Could not resolve host", 100)
        self.assertIn("cannot reach the Debian mirror", self.failure().what)

    def test_a_kernel_debian_does_not_have(self) -> None:
        self.apt("", 0)
        self.assertIn("no Debian suite carries linux-source-7.3", self.failure().what)

    def test_a_kernel_whose_name_begins_like_that_is_not_taken_for_it(self) -> None:
        self.apt("", 0)
        fixture.lay(self.root, {"bin/apt-cache": "#!/bin/sh\necho Package: linux-source-7.34\n"
                                                 "echo Filename: x\n"})
        self.assertIn("no Debian suite carries linux-source-7.3", self.failure().what)

    def test_a_cached_source_needs_no_apt(self) -> None:
        self.apt("E: must not be called", 100)
        cached = self.root / "cache/offline-skippable-kunit/linux-7.3.git"
        cached.mkdir(parents=True)
        self.assertEqual(source.source("7.3").home, cached)

    def test_nothing_that_is_not_signed_is_taken_whatever_the_machine_says(self) -> None:
        words = source._apt(self.root, "apt-get", "update")
        for name in ("APT::Get::AllowUnauthenticated", "Acquire::AllowInsecureRepositories",
                     "Acquire::AllowWeakRepositories",
                     "Acquire::AllowDowngradeToInsecureRepositories"):
            self.assertIn(f"-o{name}=false", words)

    def test_a_package_of_another_version_is_not_taken(self) -> None:
        state = self.root / "state"
        fixture.lay(state, {"download/linux-source-7.3_7.3.1_all.deb": "old"})
        fixture.lay(self.root, {"bin/apt-get": (
            "#!/bin/sh\ncase \"$*\" in *--print-uris*)\n"
            "echo \"'http://m.example/x' linux-source-7.3_7.3.4_all.deb 5 SHA256:0\";;\n"
            "*) echo new > linux-source-7.3_7.3.4_all.deb;; esac\n")})
        (self.root / "bin/apt-get").chmod(0o755)
        self.assertEqual(source._get("linux-source-7.3", "7.3", state).read_text(), "new\n")

    def test_an_archive_becomes_a_commit(self) -> None:
        fixture.lay(self.root, {"linux-source/a b": "text\n", "linux-source/run.sh": "#!/bin/sh\n"})
        (self.root / "linux-source/run.sh").chmod(0o755)
        (self.root / "linux-source/link").symlink_to("a b")
        archive, stream = io.BytesIO(), io.BytesIO()
        with tarfile.open(fileobj=archive, mode="w") as made:
            made.add(self.root / "linux-source", "linux-source")
        archive.seek(0)
        source.feed(archive, stream, Progress("test"))
        ours = Repository(self.root / "ours.git")
        subprocess.run(["git", f"--git-dir={ours.home}", "fast-import", "--quiet", "--done"],
                       input=stream.getvalue(), check=True)
        self.assertEqual(ours.file(source.COMMIT, "a b"), b"text\n")
        self.assertRegex(ours.git("ls-tree", source.COMMIT, "run.sh", "link"),
                         r"120000 .*link\n100755 .*run\.sh")
