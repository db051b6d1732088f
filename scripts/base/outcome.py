# SPDX-License-Identifier: GPL-2.0
"""How a verb ends: its exit code, and the one way to say what went wrong."""

from __future__ import annotations

import contextlib
import enum
import errno
import io
import os
import pwd
import shlex
import signal
import sys
import traceback
from typing import Callable, NoReturn


class Exit(enum.IntEnum):
    """The exit codes. `word` is for people, `meaning` for the help; JSON has the name."""

    word: str
    meaning: str

    def __new__(cls, value: int, word: str, meaning: str) -> Exit:
        member = int.__new__(cls, value)
        member._value_ = value
        member.word = word
        member.meaning = meaning
        return member

    OK = 0, "pass", "every case passed or was skipped with a reason, and some passed"
    CASE_FAILED = 1, "fail", "a case failed, the kernel warned, or no case ran"
    BAD_INPUT = 2, "bad input", "an option, a name or a tree is not what is needed"
    PATCH = 3, "does not apply", "a patch does not apply; it is named, and so is the file"
    BUILD = 4, "does not build", "the kernel cannot be configured or built"
    CRASH = 5, "crash", "the kernel crashed"
    MISSING = 6, "infrastructure", "network, compiler, QEMU, disk or memory: something is missing"
    HANG = 7, "hang", "the kernel never got to its end"
    NO_FEATURE = 8, "no feature", "the feature is not there, or only a part of it: nothing to be tested"
    INTERNAL = 70, "defect", "a defect of this program itself"
    INTERRUPTED = 130, "interrupted", "by Ctrl-C or a signal"

    @property
    def name_in_json(self) -> str:
        return self.name.lower()


# What came of a commit that ran, but not well.
BAD = (Exit.CASE_FAILED, Exit.CRASH, Exit.HANG)


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
                "free some space (`./suite clean` empties build/) and run the same command again")


def from_os_error(error: OSError) -> Fail:
    where = error.filename2 or error.filename
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return no_space(where or "build/, the cache or /tmp")
    remedy = "see that the file is there and may be read and written"
    if error.errno in (errno.EACCES, errno.EPERM) and where:
        remedy = _whose(os.fsdecode(where)) or remedy
    return Fail(Exit.MISSING, str(error), remedy)


def _whose(path: str) -> str:
    """A run with sudo leaves files that later runs without it cannot change."""
    while not os.path.exists(path) and os.path.dirname(path) != path:
        path = os.path.dirname(path)
    owner, here = os.stat(path).st_uid, os.geteuid()
    if owner == here or here == 0:
        return ""
    name = str(owner)
    with contextlib.suppress(KeyError):
        name = pwd.getpwuid(owner).pw_name
    return f"{path} belongs to {name}, perhaps since a run with sudo; make it yours: " \
        f"sudo chown -R {here} {shlex.quote(path)}"


def _interrupt(_signal: int, _frame: object) -> NoReturn:
    raise KeyboardInterrupt


def run_verb(main: Callable[[], Exit], tell: Callable[[Exit], int] = int) -> NoReturn:
    """Run a verb's main() and turn however it ends into what `tell` makes of its exit code."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _interrupt)
    for stream in (sys.stdout, sys.stderr):  # what others print need not be UTF-8
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    try:
        code = main()
        sys.stdout.flush()
    except Fail as fail:
        print(fail, file=sys.stderr)
        code = fail.code
    except BrokenPipeError:
        # Whoever read the output has gone, as `| head` does: nobody is left to be told.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = Exit.INTERRUPTED
    except OSError as error:
        print(from_os_error(error), file=sys.stderr)
        code = Exit.MISSING
    except KeyboardInterrupt:
        print("interrupted; the same command goes on from here", file=sys.stderr)
        code = Exit.INTERRUPTED
    except Exception:  # pylint: disable=broad-except
        traceback.print_exc()
        print("error: this is a defect of the program itself\n"
              "  fix: report it with what is above; it says nothing about the kernel",
              file=sys.stderr)
        code = Exit.INTERNAL
    sys.exit(tell(code))
