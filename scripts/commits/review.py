# SPDX-License-Identifier: GPL-2.0
"""What b4 asks about: a patch or a cover letter, and the series that it belongs to.

b4 0.15 gives a check command one mail on standard input, and the path of a
JSON file as B4_TRACKING_FILE ("Environment variables" in its
docs/maintainer/review.rst). One patch of a series does not apply by itself,
but b4 keeps the series as commits: the tracking commit is the tip of the
branch b4/review/CHANGE-ID, and the patches are those from the base to it.
"""

from __future__ import annotations

import contextlib
import email
import email.header
import json
import os
import re
from pathlib import Path
from typing import Optional, Tuple

PREFIX = re.compile(r"^(\s*\[[^\]]*\])*\s*")  # [PATCH v2 1/3]
ID = re.compile(r"[0-9a-f]{40,64}")
CHANGE_ID = re.compile(r"\w[\w.-]*")


def subject_of(mail: bytes) -> str:
    """The subject of a commit that `git am` makes of a mail."""
    raw = email.message_from_bytes(mail).get("Subject", "")
    text = str(email.header.make_header(email.header.decode_header(str(raw))))
    return PREFIX.sub("", " ".join(text.split()), count=1)


def is_patch(mail: bytes) -> bool:
    return re.search(rb"^diff --git |^--- .*\n\+\+\+ ", mail, re.MULTILINE) is not None


def tracked() -> Optional[Tuple[str, str]]:
    """Base and last commit of the series that b4 has on a branch, if there is one.

    The names in the file are those of b4's src/b4/review/_review.py; of them, its documentation
    has base-commit, change-id and first-patch-commit as what `b4 review show-info` tells.
    """
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError, AttributeError):
        held = json.loads(Path(os.environ["B4_TRACKING_FILE"]).read_text())
        series = held["series"]
        first, change = str(series["first-patch-commit"]), str(series["change-id"])
        if ID.fullmatch(first) and CHANGE_ID.fullmatch(change):
            return f"{first}^", f"b4/review/{change}^"
    return None
