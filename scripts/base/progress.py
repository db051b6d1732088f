# SPDX-License-Identifier: GPL-2.0
"""Shows that long work goes on, and about how long it still takes."""

from __future__ import annotations

import os
import sys
import threading
import time
from types import TracebackType
from typing import List, Optional, Type

# A log wants a sign of life now and then; a terminal a moving line.
LOG_EVERY = 10.0
TTY_EVERY = 0.2
COLOURS = {"red": 31, "green": 32, "yellow": 33, "bold": 1}

_shown: List[Progress] = []  # the moving line, if there is one
_lock = threading.RLock()


def on_terminal() -> bool:
    return sys.stderr.isatty() and os.environ.get("TERM") != "dumb"


def coloured(text: str, colour: str) -> str:
    """For standard output, if that is a terminal (https://no-color.org/)."""
    if not sys.stdout.isatty() or "NO_COLOR" in os.environ or os.environ.get("TERM") == "dumb":
        return text
    return f"\033[{COLOURS[colour]}m{text}\033[0m"


def _clear() -> None:
    if _shown:
        print("\r\033[K", end="", file=sys.stderr, flush=True)


def say(text: str) -> None:
    """A line for the reader; standard output is for results."""
    with _lock:
        _clear()
        print(text, file=sys.stderr, flush=True)


def result(text: str) -> None:
    """A line of results, on standard output."""
    with _lock:
        _clear()
        print(text, flush=True)


def seconds(amount: float) -> str:
    return f"{amount:.0f} s" if amount < 90 else f"{amount / 60:.1f} min"


class Progress:
    """One piece of work. Its total may be unknown, and may be an estimate."""

    def __init__(self, label: str, total: float = 0) -> None:
        self.label = label
        self.total = total
        self.done = 0.0
        self.note = ""
        self.tty = on_terminal()
        self.start = self.shown = time.monotonic()

    def line(self) -> str:
        spent = time.monotonic() - self.start
        share = self.done / self.total if self.total else 0.0
        told = f"{seconds(spent)} so far" if not 0.01 < share < 1 else \
            f"{share:.0%}, about {seconds(spent / share - spent)} left"
        return f"{self.label}: {told}{f', {self.note}' if self.note else ''}"

    def update(self, done: float, note: str = "") -> None:
        self.done, self.note = done, note
        now = time.monotonic()
        if now - self.shown < (TTY_EVERY if self.tty else LOG_EVERY):
            return
        self.shown = now
        if not self.tty:
            say(self.line())
            return
        with _lock:
            if _shown and _shown[-1] is self:
                width = os.get_terminal_size(sys.stderr.fileno()).columns or 80
                print(f"\r\033[K{self.line()[:width - 1]}", end="", file=sys.stderr, flush=True)

    def __enter__(self) -> Progress:
        if self.tty:
            _shown.append(self)
        else:
            say(self.label)
        return self

    def __exit__(self, kind: Optional[Type[BaseException]], value: Optional[BaseException],
                 trace: Optional[TracebackType]) -> None:
        if self.tty:
            with _lock:
                _clear()
                _shown.remove(self)
