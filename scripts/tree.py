#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Makes a kernel tree with the series applied, and prints its path.

The tree lies below build/tree/: a copy of the fetched source, or a mirror of
KDIR as it is now, uncommitted edits included. A KDIR that has the series
already is used itself. Files are only written when their content changes,
so that a build after it compiles what is new and nothing else.
"""

from __future__ import annotations

import contextlib
import json
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import ContextManager, Dict, List, Optional, Set

import fetch
import series
from host import BUILD, REPO, digest, git, install, lock, need_space, write
from options import Options, from_environment
from overlay import Overlay, compute, touched
from progress import Progress
from verdict import Exit, Fail, run_verb

# The Kconfig entry that the series adds: a tree that has it has the series.
MARK_FILE, MARK = "lib/Kconfig.debug", "config OFFLINE_SKIPPABLE_KUNIT_TEST\n"
ABSENT = "absent"
Signatures = Dict[str, List[int]]


@dataclass
class State:
    """What a tree of ours was made from; kept beside the tree."""

    path: Path
    stamp: str = ""  # what the overlay came from; empty while it is being written
    ours: Dict[str, List[str]] = field(default_factory=dict)  # hashes a file of ours may have

    def load(self) -> State:
        if self.path.exists():
            held = json.loads(self.path.read_text())
            self.stamp, self.ours = held["stamp"], held["ours"]
        return self

    def save(self) -> None:
        write(self.path, json.dumps({"stamp": self.stamp, "ours": self.ours}).encode())


def has_series(tree: Path) -> bool:
    mark = tree / MARK_FILE
    return mark.is_file() and MARK in mark.read_text(errors="replace")


def prepare(options: Options, repo: Path = REPO) -> Path:
    """The tree to build, up to date with KDIR and the series. The caller holds build_lock()."""
    build = repo / "build"
    if options.kdir is None:
        queue = series.queue_for(options.kernel, repo)
        base, tree = fetch.source(options.kernel), build / "tree" / f"linux-{options.kernel}"
    else:
        base = options.kdir.resolve()
        if not base.is_dir():
            raise Fail(Exit.BAD_INPUT, f"KDIR={base} is not there",
                       "pass the top folder of a Linux source tree as KDIR=")
        version, _ = series.version_of(base)
        if has_series(base):
            _refuse_unclean(base)
            return base
        queue = series.queue_for(version, repo)
        tree = build / "tree" / f"{base.name}-{digest(str(base).encode())[:8]}"

    patches = queue.patches()
    paths = touched(patches)
    state = State(tree.with_name(f"{tree.name}.json"))
    if tree.is_dir():
        state.load()
    if options.kdir is not None:
        _mirror(base, tree, {*paths, *state.ours})
    elif not state.path.exists() or not tree.is_dir():
        _mirror(base, tree, set())
    stamp = digest(*(patch.read_bytes() for patch in patches),
                   *(_content(base / path) for path in paths))
    if stamp != state.stamp:
        overlay = compute(base, patches, build / "overlay")
        _refuse_edited(tree, state, overlay, None if options.kdir else base)
        _lay(base, tree, state, overlay, stamp)
    return tree


def build_lock(use: str) -> ContextManager[None]:
    """One verb at a time works below build/."""
    return lock(BUILD / "lock", use)


def _content(path: Path) -> bytes:
    return path.read_bytes() if path.is_file() else ABSENT.encode()


def _refuse_unclean(base: Path) -> None:
    """kbuild would refuse as well, but much later."""
    left = [base / ".config", base / "include/config", *base.glob("arch/*/include/generated")]
    found = next((path for path in left if path.exists()), None)
    if found:
        raise Fail(Exit.BAD_INPUT, f"{base} was built in itself ({found} is there), so the kernel "
                   "cannot be built outside of it",
                   f"make -C '{base}' mrproper (it removes .config and all that was built)")


def _listing(base: Path) -> List[str]:
    """The files of a tree that are source: git knows; without git, all of a clean tree."""
    if (base / ".git").exists():
        names = git(base, "ls-files", "-co", "--exclude-standard", "-z").split("\0")
        # Other repositories inside the tree (this one, perhaps) end in a slash.
        return sorted({name for name in names if name and not name.endswith("/")})
    _refuse_unclean(base)
    found = []
    for folder, folders, files in os.walk(base):
        links = [name for name in folders if os.path.islink(f"{folder}/{name}")]
        folders[:] = [name for name in folders if not os.path.exists(f"{folder}/{name}/.git")]
        found += [os.path.relpath(f"{folder}/{name}", base) for name in (*files, *links)]
    return found


def _mirror(base: Path, tree: Path, ours: Set[str]) -> None:
    """Bring the tree to what base is, save for our own files.

    What is copied is as new as now, however old it was in base: make has to
    see that it changed since the last build. So the comparison is with the
    signatures that base's files had last time.
    """
    record = tree.with_name(f"{tree.name}.sources.json")
    old: Signatures = json.loads(record.read_text()) if record.exists() and tree.is_dir() else {}
    new: Signatures = {}
    for name in _listing(base):
        try:
            found = os.lstat(base / name)
        except FileNotFoundError:
            continue  # deleted, but still in git's index
        new[name] = [found.st_mtime_ns, found.st_size, found.st_mode]
    for name in old.keys() - new.keys() - ours:
        (tree / name).unlink(missing_ok=True)
        with contextlib.suppress(OSError):
            os.removedirs((tree / name).parent)
    changed = [name for name in new if new[name] != old.get(name) and name not in ours]
    if not old:
        need_space(tree.parent, 2)
    if changed:
        with Progress(f"copying {base.name}", len(changed)) as progress:
            for count, name in enumerate(changed):
                install(base / name, tree / name)
                progress.update(count)
    if new != old:
        write(record, json.dumps({name: new[name] for name in new if name not in ours}).encode())


def _hash(path: Path) -> str:
    return digest(path.read_bytes()) if path.is_file() else ABSENT


def _refuse_edited(tree: Path, state: State, overlay: Overlay, base: Optional[Path]) -> None:
    """What a user changed in a file of ours must not vanish."""
    known = dict(state.ours)
    for path in overlay.paths:
        # Not ours so far. (A mirror may lag behind its KDIR, but nobody edits a mirror.)
        if path not in known and base:
            known[path] = [_hash(base / path)]
    edited = [path for path, hashes in sorted(known.items())
              if _hash(tree / path) not in (*hashes, ABSENT, _hash(overlay.folder / path))]
    if edited:
        raise Fail(Exit.BAD_INPUT, f"{', '.join(edited)} in {tree} would be overwritten, and has "
                   "changes that the series does not have",
                   "take the changes over into this repository, or delete the file there to "
                   "drop them; then run the same command again")


def _lay(base: Path, tree: Path, state: State, overlay: Overlay, stamp: str) -> None:
    """Put the finished files into the tree. Cut short, it is simply done again."""
    after = {path: _hash(overlay.folder / path) for path in overlay.paths}
    gone = state.ours.keys() - after.keys()
    goal = {**after, **{path: _hash(base / path) for path in gone}}
    state.stamp = ""
    for path, wanted in goal.items():
        state.ours[path] = [*state.ours.get(path, [_hash(tree / path)]), wanted]
    state.save()
    for path, wanted in goal.items():
        if wanted == ABSENT:
            (tree / path).unlink(missing_ok=True)
        elif _hash(tree / path) != wanted:
            install((base if path in gone else overlay.folder) / path, tree / path)
    state.stamp, state.ours = stamp, {path: [wanted] for path, wanted in after.items()}
    state.save()


def main() -> Exit:
    options = from_environment(os.environ)
    with build_lock("make tree"):
        print(prepare(options))
    return Exit.OK


if __name__ == "__main__":
    run_verb(main)
