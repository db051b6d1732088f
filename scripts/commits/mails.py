# SPDX-License-Identifier: GPL-2.0
"""Commits made of mails, as `git am` makes them, but in git's object database alone.

No working tree, and so nothing that a run which is killed leaves in the way.
git splits mailboxes, decodes mails and applies the diffs, in which no byte
changes on the way.
"""

from __future__ import annotations

import contextlib
import email.utils
import re
from pathlib import Path
from typing import Dict, Iterator, List, Optional, Sequence, Tuple

from base.files import fresh
from base.outcome import Exit, Fail
from base.progress import say
from commits.repository import Commits
from series.git import IDENTITY, first_error

SUFFIXES = (".patch", ".mbox", ".mbx", ".eml")
COVER = re.compile(rb"^Subject:.*\[[^\]]*\b0+/\d+[^\]]*\]", re.MULTILINE | re.IGNORECASE)
WITHOUT_DATE = "1767225600 +0000"
COMMITTER = f"{IDENTITY['GIT_COMMITTER_NAME']} <{IDENTITY['GIT_COMMITTER_EMAIL']}> {WITHOUT_DATE}"


class Unapplied(Fail):
    """A mail that does not apply."""

    def __init__(self, subject: str, where: str) -> None:
        super().__init__(Exit.PATCH, f"\"{subject}\" does not apply to {where}",
                         "pass the commit that the mails were made on as --base=")
        self.subject = subject


def files(paths: Sequence[Path]) -> List[Path]:
    """The files that --mbox= means; a folder's are in the order of their names."""
    found: List[Path] = []
    for path in paths:
        if path.is_dir():
            found += sorted(file for file in path.iterdir() if file.suffix in SUFFIXES)
        elif path.is_file():
            found.append(path)
        else:
            raise Fail(Exit.BAD_INPUT, f"--mbox={path} is not there",
                       "pass a mailbox, or patches, or a folder of patches")
    if not found:
        raise Fail(Exit.BAD_INPUT, f"--mbox {' '.join(map(str, paths))} has no patches",
                   f"pass files, or a folder of files that end in {', '.join(SUFFIXES)}")
    return found


def onto(commits: Commits, start: str, mails: Sequence[Path]
         ) -> Tuple[str, List[str], Optional[Unapplied]]:
    """The base that --base= names, by default the tip, and what apply() makes on it."""
    base = commits.resolve(start or commits.head, f"--base={start}")
    commits.see_that_all_is_there([base])
    return base, *apply(commits, base, mails)


def apply(commits: Commits, base: str,
          mails: Sequence[Path]) -> Tuple[List[str], Optional[Unapplied]]:
    """The commits that mails make on top of a base, and why there are not more of them."""
    made: List[str] = []
    patches = 0
    for mail in _split(commits, mails):
        info, message, patch = _read(commits, mail)
        subject = info.get("Subject", "")
        if not patch.stat().st_size:
            if not COVER.search(mail.read_bytes()):
                say(f"left out, as it has no diff: the mail \"{subject}\"")
            continue
        patches += 1
        tip = (made or [base])[-1]
        tree, trouble = _applied(commits, tip, patch)
        if trouble:
            return made, Unapplied(subject, f"{tip[:12]}: {trouble}")
        made.append(_commit(commits, tree, tip, info, message))
    if not patches:
        raise Fail(Exit.BAD_INPUT, f"--mbox: there is no patch in "
                   f"{', '.join(str(path) for path in mails)}",
                   "pass mails as `git format-patch` or `b4 am` write them")
    return made, None


def _split(commits: Commits, paths: Sequence[Path]) -> Iterator[Path]:
    """One file a mail."""
    for path in paths:
        split = fresh(commits.work / "mails")
        with open(path, "rb") as held:
            on_the_way = held.readline().endswith(b"\r\n")
        # A mail whose head has them got its carriage returns on the way, one a line;
        # in others they belong to the files.
        keep = [] if on_the_way else ["--keep-cr"]
        count = int(commits.ours.git("mailsplit", *keep, "-b", f"-o{split}", str(path)))
        yield from (split / f"{number:04}" for number in range(1, count + 1))


def _read(commits: Commits, mail: Path) -> Tuple[Dict[str, str], str, Path]:
    """Author and so on, the text of the message, and the file with the diff."""
    message, patch = (mail.with_name(f"{mail.name}.{part}") for part in ("message", "patch"))
    given = mail.read_bytes()
    try:
        said = commits.ours.git_bytes("mailinfo", str(message), str(patch), given=given)
    except Fail:  # it does not have the character set that it says; -n: take the bytes
        said = commits.ours.git_bytes("mailinfo", "-n", str(message), str(patch), given=given)
    lines = said.decode(errors="replace").splitlines()
    info = dict(line.split(": ", 1) for line in lines if ": " in line)
    return info, message.read_bytes().decode(errors="replace"), patch


def _applied(commits: Commits, tip: str, patch: Path) -> Tuple[str, str]:
    """The tree with the diff applied, or what is in its way."""
    index = commits.ours.home / "mails.index"
    commits.ours.git("read-tree", tip, index=index)
    plain = commits.ours.attempt("apply", "--cached", str(patch), index=index)
    if plain.returncode:
        merged = commits.ours.attempt("apply", "--cached", "--3way", str(patch), index=index)
        if merged.returncode:
            return "", first_error(plain.stderr)
    return commits.ours.git("write-tree", index=index).strip(), ""


def _commit(commits: Commits, tree: str, parent: str, info: Dict[str, str], message: str) -> str:
    when = WITHOUT_DATE
    with contextlib.suppress(ValueError, TypeError, OverflowError):
        sent = email.utils.parsedate_to_datetime(info.get("Date", ""))
        when = f"{int(sent.timestamp())} {sent.strftime('%z') or '+0000'}"
    name, address = (re.sub(r"[<>\0-\x1f]", "", info.get(part, "")) or "unknown"
                     for part in ("Author", "Email"))
    text = f"tree {tree}\nparent {parent}\nauthor {name} <{address}> {when}\n" \
        f"committer {COMMITTER}\n\n{info.get('Subject', '')}\n\n{message}"
    return commits.ours.git_bytes("hash-object", "-t", "commit", "-w", "--stdin",
                                  given=text.encode(errors="replace")).decode().strip()
