# SPDX-License-Identifier: GPL-2.0
"""Mutants that need no source."""

from __future__ import annotations

from mutants.find import Mutant


def plain(key: str, function: str = "f", operator: str = "op") -> Mutant:
    return Mutant(key, "mm/a.c", function, operator, 1, 1, "a", "b", body=(1, 2))
