# SPDX-License-Identifier: GPL-2.0
"""How a verb ends: its exit code, and the one way to say what went wrong."""

from __future__ import annotations

import enum
import errno
import signal
import sys
from typing import Callable, NoReturn


class Exit(enum.IntEnum):
    """The exit codes, with the meaning that `make help` prints."""

    meaning: str

    def __new__(cls, value: int, meaning: str) -> Exit:
        member = int.__new__(cls, value)
        member._value_ = value
        member.meaning = meaning
        return member

    OK = 0, "all is well"
    CASE_FAILED = 1, "a test case failed, or none ran"
    BAD_INPUT = 2, "wrong usage, or a tree that cannot be used"
    PATCH = 3, "a patch does not apply"
    BUILD = 4, "the kernel cannot be configured or built"
    CRASH = 5, "the kernel crashed"
    MISSING = 6, "no network, no such tool, no space"
    HANG = 7, "the kernel hung"
    NO_FEATURE = 8, "a commit that does not have the feature, so cannot be tested"
    INTERRUPTED = 130, "interrupted"


class Fail(Exception):
    """An end other than success: what was wrong, and what to do about it."""

    def __init__(self, code: Exit, what: str, remedy: str) -> None:
        super().__init__(what)
        self.code = code
        self.what = what
        self.remedy = remedy

    def __str__(self) -> str:
        return f"error: {self.what}\n  fix: {self.remedy}"


def no_space(where: object) -> Fail:
    return Fail(Exit.MISSING, f"no space left on the disk that holds {where}",
                "free some space (`make clean` empties build/) and run the same command again")


def from_os_error(error: OSError) -> Fail:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return no_space(error.filename2 or error.filename or "build/, the cache or /tmp")
    return Fail(Exit.MISSING, str(error), "see that the file is there and may be read and written")


def _interrupt(_signal: int, _frame: object) -> NoReturn:
    raise KeyboardInterrupt


def run_verb(main: Callable[[], Exit], tell: Callable[[Exit], int] = int) -> NoReturn:
    """Run a verb's main() and turn however it ends into an exit code."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _interrupt)
    try:
        code = main()
        sys.stdout.flush()
    except Fail as fail:
        print(fail, file=sys.stderr)
        code = fail.code
    except OSError as error:
        print(from_os_error(error), file=sys.stderr)
        code = Exit.MISSING
    except KeyboardInterrupt:
        print("interrupted; the same command goes on from here", file=sys.stderr)
        code = Exit.INTERRUPTED
    sys.exit(tell(code))
