# SPDX-License-Identifier: GPL-2.0
"""Builds kernels with mutants in them.

The tree and the build folder of `suite kunit` stay as they are. In a copy of
the build folder, the objects of the files that are mutated are compiled from
other sources, by the very commands that kbuild noted down; to make, they are
up to date then, and all that is left to do is to link.
"""

from __future__ import annotations

import dataclasses
import re
import shutil
import subprocess
import tempfile
import threading
import time
from concurrent.futures import CancelledError
from pathlib import Path
from typing import Dict, Mapping, Sequence, Tuple

from base.files import digest, fresh, is_full, need_space, write
from base.outcome import Exit, Fail, no_space
from base.process import run, spawn
from guest import build as kernels
from mutants.find import ENCODING, OPERATORS, Mutant, instrument
from series.overlay import Overlay
from series.worktree import Tree

POLL = 0.02  # seconds between two looks at a compiler


class DoesNotBuild(Exception):
    """What the compiler says against a source."""


def digest_of(sources: Mapping[str, str]) -> str:
    """What tells the sources of one kernel from those of another."""
    return digest(*(part.encode(ENCODING) for pair in sources.items() for part in pair))


def patched(tree: Tree, patch: Path) -> Dict[str, str]:
    """The files that a patch changes, as it has them; or why it does not apply."""
    overlay = Overlay(tree.ours)
    laid = overlay.put(tree.id, patch)
    found = {}
    for path in overlay.ours.changed(tree.id, laid):
        data = tree.ours.file(laid, path)
        if data is None or not path.endswith(".c"):
            raise Fail(Exit.BAD_INPUT, f"{patch.name} changes {path}",
                       "have it change C files alone: only these are compiled again")
        found[path] = data.decode(ENCODING)
    return found


def _guilty(mutant: Mutant, said: str) -> bool:
    """Is it on a line that the compiler names?

    Or has it no `return` any more, and the end of its function is what is named?
    """
    ends = mutant.kind == "statement" and mutant.before.startswith("return")
    return any(mutant.line <= line <= mutant.last_line or ends and line == mutant.body[1]
               for line in map(int, re.findall(
                   rf"(?:^| at ){re.escape(mutant.path)}:(\d+):\d+:(?! warning)", said,
                   re.MULTILINE)))


class Workshop:
    """Kernels from sources with mutants, one build at a time."""

    def __init__(self, kernel: kernels.Kernel, folder: Path, users: Sequence[str],
                 stop: threading.Event) -> None:
        self.plain = kernel
        self.users = users  # what to compile when a header has changed
        self.folder = folder
        self.stop = stop  # a build that is under way
        self.kernel = dataclasses.replace(kernel, out=folder / "out")
        self.base = digest(kernel.image.read_bytes())
        self.lock = threading.Lock()
        self.objects: Dict[str, str] = {}  # of files as they are

    def together(self, numbered: Sequence[Tuple[int, Mutant]],
                 texts: Dict[str, str]) -> Tuple[Path, Dict[str, str]]:
        """One kernel with all of them but those that do not compile; these, with the reason.

        `texts` are the files as they are. A mutant that cannot be a branch, as in an
        initializer, does not compile, and nothing else on its line is tried then.
        """
        unbuilt: Dict[str, str] = {}
        while True:
            alive = [(number, mutant) for number, mutant in numbered
                     if mutant.key not in unbuilt]
            sources = {}
            for path, text in texts.items():
                here = [(number, mutant) for number, mutant in alive if mutant.path == path]
                if here:
                    sources[path] = f'# 1 "{path}"\n{instrument(text, here)}'
            last = list(sources)[-1]
            sources[last] += f"#define MUTANTS {max(number for number, _ in numbered) + 1}U\n" \
                + (OPERATORS / "mutant.c").read_text()
            try:
                return self.image(sources)[0], unbuilt
            except DoesNotBuild as error:
                guilty = {mutant.key: f"no branch can be there: {str(error)[:500]}"
                          for _, mutant in alive if _guilty(mutant, str(error))}
                if not guilty:
                    raise Fail(Exit.BUILD, "the kernel with all mutants does not build:\n"
                               f"{error}", "mend the semantic patch whose mutant is named there"
                               ) from None
                unbuilt.update(guilty)

    def image(self, sources: Dict[str, str]) -> Tuple[Path, float]:
        """The kernel with these sources in place of others, and how long it took to build."""
        header = (OPERATORS / "mutant.h").read_bytes()
        name = digest(self.base.encode(), header, digest_of(sources).encode())[:16]
        image = self.folder / "images" / name
        with self.lock:
            if image.exists():
                return image, 0.0
            begin = time.monotonic()
            self._copy()
            self._build(sources)
            write(image, self.kernel.image.read_bytes())
            return image, time.monotonic() - begin

    def _copy(self) -> None:
        """A copy of the build folder, with the objects that are mutated as they were."""
        out, made_from = self.kernel.out, self.folder / "out.from"
        if not made_from.exists() or made_from.read_text() != self.base:
            need_space(self.folder, 1)
            made_from.unlink(missing_ok=True)
            fresh(self.folder / "images")  # they are of another kernel
            fresh(out).rmdir()
            done = run(["cp", "-a", "--reflink=auto", str(self.plain.out), str(out)])
            if done.returncode:
                raise Fail(Exit.MISSING, f"{self.plain.out} cannot be copied: {done.stderr}",
                           "see that the disk has space")
            # All depends on objtool, whose own build notes down where it lies.
            for note in (out / "tools").rglob(".*.cmd"):
                note.write_text(note.read_text().replace(str(self.plain.out), str(out)))
            write(made_from, self.base.encode())
        for mutated in (self.folder / "mutated").glob("*"):
            original = mutated.read_text()
            shutil.copyfile(self.plain.out / original, out / original)
            mutated.unlink()

    def _build(self, sources: Dict[str, str]) -> None:
        place = fresh(self.folder / "source")
        for path, text in sources.items():
            write(place / path, text.encode(ENCODING))
        headers = [path for path in sources if path.endswith(".h")]
        for path in self.users if headers else sources:
            built = str(Path(path).with_suffix(".o"))
            write(self.folder / "mutated" / digest(built.encode())[:16], built.encode())
            source = place / path
            if path not in sources:  # a copy looks for headers here first
                write(source, (self.kernel.tree / path).read_bytes())
            self._run(["sh", "-ec", self._command(path, source, place)])
        self._run(kernels.make_command(self.kernel, self.kernel.image.name))

    def _run(self, words: Sequence[str]) -> None:
        complaints = self.folder / "errors.log"
        with open(complaints, "w") as errors, \
                spawn(words, cwd=self.kernel.out, stdout=subprocess.DEVNULL,
                      stderr=errors) as child:
            while child.poll() is None:
                if self.stop.wait(POLL):
                    raise CancelledError
        if child.returncode:
            said = complaints.read_text(errors="replace").strip()
            if is_full(self.kernel.out, said):
                raise no_space(self.kernel.out)
            if kernels.OF_THE_HOST.search(said):
                raise Fail(Exit.MISSING, f"the machine failed while it built a kernel:\n{said}",
                           "see what it says, free some memory, and run the same command again")
            raise DoesNotBuild(said)

    def is_same(self, mutant: Mutant, text: str) -> bool:
        """Does the compiler make the same code of a file, whether it has the mutant or not?"""
        first, last = mutant.place
        lost = mutant.before.count("\n") - mutant.after.count("\n")
        if lost < 0:
            return False  # warnings have the numbers of their lines
        after = f"({mutant.after})" if mutant.kind != "statement" else f"{{ {mutant.after} }}"
        with self.lock:
            if mutant.path not in self.objects:
                self.objects[mutant.path] = self._object(mutant.path, text)
            if not self.objects[mutant.path]:
                raise Fail(Exit.MISSING, f"{mutant.path} cannot be compiled as it is any more, "
                           "which it was before", "see that the disk and the memory have room, "
                           "and run the same command again")
        return self._object(mutant.path, text[:first] + after + "\n" * lost + text[last:]) \
            == self.objects[mutant.path]

    def _object(self, path: str, text: str) -> str:
        """What the compiler makes of a text in place of a file; nothing, if that is an error."""
        with tempfile.TemporaryDirectory(prefix="offline-skippable-") as held:
            source, made = Path(held) / Path(path).name, Path(held) / "object"
            write(source, f'# 1 "{path}"\n{text}'.encode(ENCODING))
            # Without objtool, and without ccache: nobody has compiled it before.
            words = self._compiler(path, source).split(" ; ")[0].removeprefix("ccache ")
            words = re.sub(r" -Wp,-MMD,\S+", " ", re.sub(r" -o \S+\.o ", f" -o {made} ", words))
            done = run(["sh", "-ec", words], cwd=self.plain.out)
            return "" if done.returncode else digest(made.read_bytes())

    def _command(self, path: str, source: Path, place: Path) -> str:
        """How kbuild compiled the file, but with mutants, and with headers from `place`."""
        words = self._compiler(path, source)
        words = words.replace(" -nostdinc ", f" -nostdinc -I{place}/include ", 1)
        return words.replace(f" {source} ", f" -include {OPERATORS / 'mutant.h'} {source} ")

    def _compiler(self, path: str, source: Path) -> str:
        """How kbuild compiled the file, but from another source."""
        note = self.plain.out / Path(path).with_name(f".{Path(path).stem}.o.cmd")
        original = self.plain.tree / path
        found = re.match(r"savedcmd_\S+ := (.*)", note.read_text())
        if not found or f" {original} " not in found.group(1):
            raise Fail(Exit.BUILD, f"{note} does not tell how {path} was compiled",
                       "remove build/ and run the same command again")
        words = found.group(1).replace("$(pound)", "#").replace("$$", "$")
        return words.replace(f" {original} ", f" -iquote {original.parent} {source} ")
