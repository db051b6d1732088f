# SPDX-License-Identifier: GPL-2.0
"""Reads the queue of past bugs: patches, each of which puts one of them back.

A patch is a mail without a sender. Its header has `Bug:` the name, which is
the file's as well; `Year:` and `Fix:` when and by which commit Linux got rid
of it, its id or its subject; `File:` where it was. `Config:` is the
configuration that it takes to notice the bug, if not the usual one, `Kconfig:`
are options on top of it, and `Missed:` is a reason why no case can. The body
tells what goes wrong for users.
"""

from __future__ import annotations

import email
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import List, Sequence, Tuple

from base.files import REPO
from base.outcome import Exit, Fail
from base.project import CONFIG, CONFIGS

FOLDER = REPO / "history"
NEEDED, OPTIONAL = ("Bug", "Year", "File", "Fix"), ("Config", "Kconfig", "Missed")


@dataclass(frozen=True)
class Bug:
    """A bug of the past, and the patch that puts it back."""

    patch: Path
    name: str
    year: int
    path: str
    fix: str
    harm: str  # what goes wrong for users
    config: str = CONFIG
    options: Tuple[str, ...] = ()  # on top of that
    excuse: str = ""  # for no case noticing it


def read(patch: Path) -> Bug:
    """One of them; a header that is not as it should be is refused."""
    def refuse(what: str) -> Fail:
        return Fail(Exit.BAD_INPUT, f"{patch}: {what}", "mend the header of the patch")

    mail = email.message_from_string(patch.read_text())
    headers = {name: " ".join(str(value).split()) for name, value in mail.items()}
    for name in NEEDED:
        if not headers.get(name):
            raise refuse(f"its header has no {name}:")
    for name, value in headers.items():
        if name not in (*NEEDED, *OPTIONAL) or not value:
            raise refuse(f"its header has {name}: {value}, which means nothing")
    harm = " ".join(str(mail.get_payload()).split("\n---\n")[0].split())
    config = headers.get("Config", CONFIG)
    if headers["Bug"] != patch.stem:
        raise refuse(f"it is not named as the bug, {headers['Bug']}.patch")
    if not headers["Year"].isdigit():
        raise refuse(f"{headers['Year']} is no year")
    if config not in CONFIGS:
        raise refuse(f"there is no configuration {config}, but {', '.join(CONFIGS)}")
    if not harm:
        raise refuse("it does not tell what goes wrong for users")
    return Bug(patch, headers["Bug"], int(headers["Year"]), headers["File"], headers["Fix"], harm,
               config, tuple(headers.get("Kconfig", "").split()), headers.get("Missed", ""))


def bugs(folder: Path = FOLDER) -> List[Bug]:
    """All of them, by name."""
    return [read(patch) for patch in sorted(folder.glob("*.patch"))]


def matching(known: Sequence[Bug], patterns: Sequence[str]) -> List[Bug]:
    """Those that are asked for."""
    for pattern in patterns:
        if not any(fnmatchcase(bug.name, pattern) for bug in known):
            raise Fail(Exit.BAD_INPUT, f"no bug matches {pattern}",
                       f"the patches in {FOLDER.name}/ are named as the bugs are; a part of a "
                       "name needs a `*` around it")
    return [bug for bug in known
            if any(fnmatchcase(bug.name, pattern) for pattern in patterns)]
