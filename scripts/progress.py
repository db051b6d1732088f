# SPDX-License-Identifier: GPL-2.0
"""Shows that long work goes on, and about how long it still takes."""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import Optional, Type

# A log wants a sign of life now and then; a terminal a moving line.
LOG_EVERY = 10.0
TTY_EVERY = 0.2


def say(text: str) -> None:
    """A line for the reader; standard output is for results."""
    print(text, file=sys.stderr, flush=True)


def seconds(amount: float) -> str:
    return f"{amount:.0f} s" if amount < 90 else f"{amount / 60:.1f} min"


class Progress:
    """One piece of work. Its total may be unknown, and may be an estimate."""

    def __init__(self, label: str, total: float = 0) -> None:
        self.label = label
        self.total = total
        self.done = 0.0
        self.tty = sys.stderr.isatty()
        self.start = self.shown = time.monotonic()

    def line(self) -> str:
        spent = time.monotonic() - self.start
        share = self.done / self.total if self.total else 0.0
        if not 0.01 < share < 1:
            return f"{self.label}: {seconds(spent)} so far"
        return f"{self.label}: {share:.0%}, about {seconds(spent / share - spent)} left"

    def update(self, done: float) -> None:
        self.done = done
        now = time.monotonic()
        if now - self.shown < (TTY_EVERY if self.tty else LOG_EVERY):
            return
        self.shown = now
        if self.tty:
            print(f"\r\033[K{self.line()}", end="", file=sys.stderr, flush=True)
        else:
            say(self.line())

    def __enter__(self) -> Progress:
        if not self.tty:
            say(self.label)
        return self

    def __exit__(self, kind: Optional[Type[BaseException]], value: Optional[BaseException],
                 trace: Optional[TracebackType]) -> None:
        if self.tty:
            print("\r\033[K", end="", file=sys.stderr, flush=True)
