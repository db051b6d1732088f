# SPDX-License-Identifier: GPL-2.0
"""What came of a mutant, and whether the right case noticed it."""

from __future__ import annotations

import os
import re
import statistics
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path
from typing import (Any, Container, Dict, Iterable, List, Mapping, Pattern, Sequence,
                    Tuple)

from base.files import entries, reasons
from base.outcome import Exit, Fail
from mutants.find import MACROS, OPERATORS, Mutant, words

# The outcomes. A mutant is killed by a case that fails, a warning of the
# kernel, a crash, or a time limit.
KILLED = ("case", "warning", "crash", "hang")
SURVIVED, EQUIVALENT, STILLBORN = "survived", "equivalent", "does not build"
SAME_CODE = "the compiler makes the same code of it"
NOT_RUN = "no case runs this code"
EQUIVALENTS, GUILT = OPERATORS / "equivalent", OPERATORS / "guilt"


@dataclass(frozen=True)
class Result:
    mutant: Mutant
    outcome: str
    first: str = ""  # the first case that went wrong
    failed: Tuple[str, ...] = ()
    reason: str = ""
    seconds: float = 0.0  # that the boot took
    built: float = 0.0  # ... and before it the build of a kernel of its own

    def kept(self) -> Dict[str, Any]:
        """What a file can hold of it."""
        return {name: value for name, value in vars(self).items() if name != "mutant"}

    @property
    def is_idle(self) -> bool:
        """Does nothing run what is broken, so that nothing had a chance to notice?"""
        return self.outcome == SURVIVED and self.reason == NOT_RUN

    @classmethod
    def of(cls, mutant: Mutant, kept: Mapping[str, Any]) -> Result:
        return replace(cls(mutant, **kept), failed=tuple(kept["failed"]))


def equivalents(known: Container[str], complete: bool = True,
                file: Path = EQUIVALENTS) -> Dict[str, str]:
    """The mutants that nothing can tell from the original, each with the reason.

    `known` are the keys that there are: if they are complete, no other may be excused.
    """
    found = reasons(file)
    for key, reason in found.items():
        if complete and key not in known or not reason:
            raise Fail(Exit.BAD_INPUT, f"{file.name}: {key}: "
                       f"{'there is no such mutant' if reason else 'no reason is given'}",
                       f"mend or remove the entry in {os.path.relpath(file)}")
    return found


def guilt(file: Path = GUILT) -> Dict[str, Pattern[str]]:
    """For each function, which cases name it."""
    pairs = [line.split(maxsplit=1) for line in entries(file)]
    return {function: re.compile(pattern) for function, pattern in pairs}


def each_is_mutated(mutants: Sequence[Mutant], names: Iterable[str]) -> None:
    """Coccinelle passes over what it cannot read: see that it read these functions."""
    for name in set(names) - {mutant.function for mutant in mutants}:
        raise Fail(Exit.BAD_INPUT, f"no mutant of {name}() is found",
                   f"tell Coccinelle of new macros in {os.path.relpath(MACROS)}, or remove "
                   f"the function from {os.path.relpath(GUILT)}")


def judged(results: Sequence[Result], excused: Container[str]) -> List[Result]:
    """The results, with mutants that are known to be equivalent told from survivors."""
    return [replace(result, outcome=EQUIVALENT)
            if result.outcome == SURVIVED and result.mutant.key in excused else result
            for result in results]


def complaints(results: Sequence[Result], excused: Container[str]) -> List[str]:
    """Of judged results: what no case notices, and excuses for what one does."""
    found = [f"no case runs: {count} mutants of {where}" for where, count in Counter(
        result.mutant.where for result in results if result.is_idle).items()]
    for result in results:
        if result.outcome == SURVIVED and not result.is_idle:
            found.append(f"survived: {result.mutant.key}\n"
                         f"  {result.mutant.path}:{result.mutant.line}: becomes "
                         f"{words(result.mutant.after)[:200]}")
        elif result.mutant.key in excused and result.outcome != EQUIVALENT:
            found.append(f"not equivalent: {result.mutant.key}\n  {result.first} notices; "
                         f"remove the entry from {os.path.relpath(EQUIVALENTS)}")
    return found


def told(count: Mapping[str, int]) -> str:
    """By what kernels were noticed to be broken, and how many by each."""
    return ", ".join(f"{count[how]} by {'time limit' if how == 'hang' else f'a {how}'}"
                     for how in KILLED if count[how])


def _idle(results: Sequence[Result]) -> str:
    """How many of those that survive had no chance to be noticed."""
    idle = sum(result.is_idle for result in results)
    return f" ({idle} of them in code that no case runs)" if idle else ""


def summary(results: Sequence[Result], workers: int) -> List[str]:
    """The campaign in a few lines."""
    count = Counter(result.outcome for result in results)
    lines = [f"{len(results)} mutants: {sum(count[how] for how in KILLED)} killed "
             f"({told(count)}), {count[SURVIVED]} survived{_idle(results)}, "
             f"{count[EQUIVALENT]} equivalent, {count[STILLBORN]} do not build"]
    right, of = named(results, guilt())
    if of:
        lines.append(f"the first case that fails names the function for {right} of {of} killed "
                     f"mutants: {right / of:.0%}")
    shared = [result.seconds for result in results if result.seconds and not result.mutant.sources]
    built = [result.built for result in results if result.built]
    if shared:
        mean = sum(shared) / len(shared) / workers
        lines.append(f"{60 / mean:.0f} mutants a minute")
        if built:
            each = statistics.median(built)
            lines[-1] += (f"; with a build for each, of {each:.1f} s, it would be "
                          f"{60 / (mean + each):.0f}")
    return lines


def named(results: Sequence[Result], names: Dict[str, Pattern[str]]) -> Tuple[int, int]:
    """Of how many killed mutants the first case that fails names the function; of how many."""
    killed = [result for result in results
              if result.outcome in KILLED and result.mutant.function in names]
    return sum(bool(names[result.mutant.function].search(result.first))
               for result in killed), len(killed)
