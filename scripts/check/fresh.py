# SPDX-License-Identifier: GPL-2.0
"""Run the README's two commands on bare Debian systems, as a newcomer would, and judge.

The systems are made by debootstrap, with git, make and python3 and no more; each
row works in a copy of one, on a clone of this repository as committed, as root
or a user, with a terminal or without. The first row of each release to pass begins
with nothing; what it fetched and compiled is given to the others. A row that passed
is not run again until there is another commit; build/results/fresh/ has the report,
fresh.json, and the console of each command.
"""

from __future__ import annotations

import argparse
import fnmatch
import json
import os
import re
import time
from dataclasses import dataclass, field
from typing import Any, Callable, Dict, Generator, List, Optional, Sequence, Tuple

from base.files import BUILD, REPO, fresh, write
from base.jobs import Store, campaign
from base.locks import build_lock
from base.outcome import Exit, Fail
from base.progress import coloured, result, say, seconds
from base.project import ARCH, CONFIG, NAME
from check.roots import HOME, PLAIN, RELEASES, Shared, System, running, system
from guest import arguments
from guest.requirements import DEBOOTSTRAP, GIT, require
from guest.verdict import KNOWN_BUG
from series.git import git

RESULTS = BUILD / "results" / "fresh"
LIMIT = 2 * 3600.0  # seconds; no command takes so long
AT_ONCE = 20.0
COLOUR = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")
COUNTS = re.compile(r"^(PASS: )?(\d+) passed, (\d+) failed(?:, (\d+) skipped)?(, \d+ \w+)*",
                    re.MULTILINE)
KNOWN = re.compile(rf"^ +skipped .*{KNOWN_BUG.pattern}", re.MULTILINE)
ROOT, SUDO, NEITHER = "root", "sudo", "plain"


@dataclass(frozen=True)
class Ended:
    """How a command ended, and what it left."""

    code: int
    said: str
    seconds: float
    verdict: Optional[str] = None  # the word in verdict.json

    @property
    def text(self) -> str:
        """Without colours; and what a terminal writes over is a line, too."""
        return COLOUR.sub("", self.said).replace("\r", "\n")


Judge = Callable[[Ended], str]  # a complaint; empty, if all is well


def passes(ended: Ended) -> str:
    """All passed, and nothing was skipped."""
    return _counts(ended, 0)


def _counts(ended: Ended, skipped: int) -> str:
    """All passed, and so many were skipped."""
    found = list(COUNTS.finditer(ended.text))
    if ended.code:
        return f"exit code {ended.code}"
    if not found:
        return "it does not say how many passed"
    _, _, failed, also, other = found[-1].groups()
    if failed != "0" or other or int(also or 0) != skipped:
        return found[-1].group()
    return ""


def passes_as_kunit(ended: Ended) -> str:
    """All passed, but for what shows a known bug of the kernel, which is skipped."""
    told = re.search("^PASS: ", ended.text, re.MULTILINE) and ended.verdict == "ok"
    return _counts(ended, len(KNOWN.findall(ended.text))) or (
        "" if told else "the verdict is not PASS")


def names_what_is_missing(ended: Ended) -> str:
    """It cannot work: says what is missing, and the one command that installs it."""
    if not ended.code:
        return "exit code 0, though nothing can be installed"
    if ended.verdict != "missing":
        return f"the verdict is {ended.verdict}"
    if "error: missing here: " not in ended.text:
        return "it does not name what is missing"
    count = len(re.findall(r"^  fix: .*apt-get install ", ended.text, re.MULTILINE))
    return "" if count == 1 else f"{count} commands to install it, not one"


def refuses_the_place(ended: Ended) -> str:
    """kbuild cannot work in a path with a space; that is no reason to install anything."""
    if not ended.code:
        return "exit code 0, though kbuild cannot work there"
    if "kbuild cannot work below" not in ended.text:
        return "it does not say that kbuild cannot work there"
    return "" if ended.seconds < AT_ONCE else f"it took {seconds(ended.seconds)} to say so"


@dataclass(frozen=True)
class Row:
    release: str
    user: str  # ROOT, SUDO or NEITHER
    terminal: bool
    kind: str  # what is special about it
    commands: Tuple[Tuple[Tuple[str, ...], Judge], ...]
    folder: str = NAME  # of the clone, below the user's home

    @property
    def key(self) -> str:
        parts = (self.release, self.user, "terminal" if self.terminal else "", self.kind)
        return "-".join(part for part in parts if part)


def rows() -> List[Row]:
    """The quick ones of each release first."""
    found = []
    kunit = ("make", "kunit")
    for release in RELEASES:
        found += [
            Row(release, NEITHER, False, "", ((kunit, names_what_is_missing),)),
            Row(release, ROOT, False, "no-install",
                (((*kunit, "INSTALL=no"), names_what_is_missing),)),
            Row(release, ROOT, False, "space", ((kunit, refuses_the_place),), f"a {NAME}")]
        found += [Row(release, user, terminal, "full", ((kunit, passes_as_kunit),
                                                       (("make", "check"), passes)))
                  for user in (ROOT, SUDO) for terminal in (False, True)]
    return found


def chosen(pattern: str, all_rows: Sequence[Row]) -> List[Row]:
    found = [row for row in all_rows if fnmatch.fnmatch(row.key, pattern)]
    if not found:
        raise Fail(Exit.BAD_INPUT, f"no row is named {pattern}",
                   f"name some of: {', '.join(row.key for row in all_rows)}")
    return found


@dataclass
class Rows:
    """Runs rows in turn: each may use the whole machine."""

    commit: str
    cold: bool
    systems: Callable[[str, str, str, bool], System] = system
    limit: float = LIMIT
    made: List[System] = field(default_factory=list)

    def run(self, jobs: Sequence[Row]
            ) -> Generator[Optional[Tuple[Row, Optional[Dict[str, Any]]]], None, None]:
        for row in jobs:
            user = ROOT if row.user == ROOT else PLAIN
            made = self.systems(row.release, row.key, user, row.user == SUDO)
            try:  # a result is kept before its system is removed, which takes a while
                yield row, (yield from self._row(row, made))
            finally:
                made.remove()

    def _row(self, row: Row, made: System) -> Generator[None, None, Dict[str, Any]]:
        shared = Shared(self.commit, row.release)
        cold = self.cold or row.kind != "full" or not shared.there()
        folder = f"{made.home}/{row.folder}"
        self._clone(made, folder)
        if not cold:
            shared.give(made)
        consoles = fresh(RESULTS / row.key)
        told: List[Dict[str, Any]] = []
        for words, judge in row.commands:
            say(f"{row.key}: {' '.join(words)}")
            console = consoles / f"{len(told) + 1}.log"
            begin = time.monotonic()
            code, said = yield from running(made.command(words, folder, row.terminal),
                                            console, row.terminal, self.limit)
            took = time.monotonic() - begin
            complaint = f"stopped after {seconds(took)}" if took >= self.limit else \
                judge(Ended(code, said, took, _verdict(made, folder)))
            told.append({"command": " ".join(words), "seconds": round(took, 1), "code": code,
                         "complaint": complaint, "console": str(console)})
            if complaint:
                break
        passed = not any(command["complaint"] for command in told)
        if passed and row.kind == "full" and not shared.there():
            shared.take(made)
        return {"passed": passed, "cold": cold, "commands": told}

    def _clone(self, made: System, folder: str) -> None:
        """What `git clone` would have brought of this commit."""
        place = made.inside(folder)
        git(REPO, "clone", "--quiet", "--no-checkout", "--no-hardlinks", str(REPO), str(place))
        git(place, "checkout", "--quiet", "-B", "main", self.commit)
        made.own(folder)


def _verdict(made: System, folder: str) -> Optional[str]:
    path = made.inside(folder) / "build" / "results" / f"{CONFIG}-{ARCH}" / "verdict.json"
    try:
        return str(json.loads(path.read_text())["verdict"])
    except (FileNotFoundError, ValueError):
        return None


def line(row: Row, found: Dict[str, Any], known: bool) -> str:
    """One line a row; and where to look, if it did not go well."""
    word = coloured("ok  ", "green") if found["passed"] else coloured("FAIL", "red")
    took = ", ".join(f"{command['command']} {seconds(command['seconds'])}"
                     for command in found["commands"])
    notes = ", ".join(note for note, there in (("cold", row.kind == "full" and found["cold"]),
                                               ("known", known)) if there)
    text = f"{word} {row.key:<32} {took}{f' ({notes})' if notes else ''}"
    for command in found["commands"]:
        if command["complaint"]:
            text += f"\n     {command['complaint']}; see {os.path.relpath(command['console'])}"
    return text


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("pattern", nargs="?", default="*", metavar="PATTERN",
                        help="rows to run, such as 'trixie-*' or '*-full'")
    parser.add_argument("--cold", action="store_true", help="have each row begin with nothing")
    arguments.add_install(parser)


def main(args: argparse.Namespace) -> Exit:
    if os.geteuid() != 0:
        raise Fail(Exit.BAD_INPUT, "root file systems are made, and entered, as root",
                   "sudo ./suite fresh")
    wanted = chosen(args.pattern, rows())
    with build_lock("suite fresh"):
        require([*GIT, *DEBOOTSTRAP], not args.no_install)
        return run(wanted, args.cold)


def run(wanted: Sequence[Row], cold: bool) -> Exit:
    commit = git(REPO, "rev-parse", "HEAD").strip()
    changes = git(REPO, "status", "--porcelain").splitlines()
    if changes:
        say(f"tested is {commit[:12]}; uncommitted changes are left out: "
            f"{', '.join(change[3:] for change in changes[:5])}{' ...' if changes[5:] else ''}")
    Shared.drop_others(commit)
    store = Store(HOME / "results", f"{commit} {cold}")
    for row in wanted:  # one that failed may have had bad luck with the network
        if not (store.load(row.key) or {"passed": True})["passed"]:
            store.forget(row.key)
    results: Dict[str, Dict[str, Any]] = {}

    def tell(row: Row, found: Dict[str, Any], known: bool) -> None:
        results[row.key] = found
        write(RESULTS / "fresh.json", json.dumps({
            "commit": commit, "left_out": changes, "rows": [
                {"row": key, **results[key]} for key in sorted(results)]}, indent=2).encode()
            + b"\n")
        result(line(row, found, known))

    campaign("rows", wanted, store, Rows(commit, cold), tell)
    failed = sum(not found["passed"] for found in results.values())
    result(f"{len(results) - failed} passed, {failed} failed; see {os.path.relpath(RESULTS)}/")
    return Exit.CASE_FAILED if failed else Exit.OK
