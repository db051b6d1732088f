# SPDX-License-Identifier: GPL-2.0
"""How often to boot a commit, and what may be said after so many boots.

What a regression does only now and then must not be put on the wrong commit:
whoever says that a commit is good has seen it pass so often that hardly any
bad one would have.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
from typing import Callable, Iterator, List, Tuple

from commits.trial import Trial

CERTAIN = 3  # a commit that fails that often in a row always fails
SAMPLE = 20  # boots to see how often one fails that does not always
DOUBT = 0.001  # that any commit of a bisection is called good by chance
MOST = 100  # boots of one commit, however rarely another one fails


def _low(failed: int, boots: int) -> float:
    """The least that a rate of failures is likely to be, after so many boots."""
    rate = failed / boots
    # The sample may have been an unlucky one: reckon with a standard error less.
    return max(rate - math.sqrt(rate * (1 - rate) / boots), 0.5 / boots)


def repeats(failed: int, boots: int, commits: int) -> int:
    """How often a commit has to pass, if the bad end failed that many times in so many boots."""
    if failed == boots:
        return 1
    steps = math.ceil(math.log2(commits + 1)) + 1
    return math.ceil(math.log(DOUBT / steps) / math.log(1 - _low(failed, boots)))


def by_chance(failed: int, boots: int, passes: int) -> float:
    """How likely a commit passes so many times in a row that fails that often."""
    return float((1 - _low(failed, boots)) ** passes)


def sample(boots: Iterator[Trial], fails: Callable[[Trial], bool],
           unsure: Callable[[int], None]) -> List[Trial]:
    """A few boots if all of them fail, and many if not, to see how often they do."""
    found = list(itertools.islice(boots, CERTAIN))
    failed = sum(map(fails, found))
    if failed < CERTAIN:
        unsure(failed)
        found += itertools.islice(boots, SAMPLE - CERTAIN)
    return found


@dataclasses.dataclass(frozen=True)
class Seen:
    """What came of booting a bad commit, and the one before it, again and again."""

    failed: int  # of `boots` of the bad one
    boots: int
    passed: int  # of `before` boots of the one before it
    before: int
    called_good: int = 1  # commits that were told to be good by as many boots
    sampled: Tuple[int, int] = (0, 0)  # failed of so many boots, if that was counted elsewhere

    @property
    def rate(self) -> Tuple[int, int]:
        return self.sampled if self.sampled[1] else (self.failed, self.boots)

    @property
    def flaky(self) -> bool:
        return self.rate[0] < self.rate[1]

    @property
    def sure(self) -> bool:
        return bool(self.failed) and self.passed == self.before

    @property
    def error(self) -> float:
        """How likely any commit that was called good has only passed by chance."""
        return min(1.0, self.called_good * by_chance(*self.rate, self.before))

    def lines(self) -> List[str]:
        told = [f"it fails {self.failed} of {self.boots} boots; the commit before it passes "
                f"{self.passed} of {self.before}"]
        if self.flaky:
            told.append(f"probability of error: {self.error:.2g}, that a commit which fails so "
                        "often was called good by chance")
        return told


def look_again(bad: Iterator[Trial], before: Iterator[Trial], fails: Callable[[Trial], bool],
               passes: Callable[[Trial], bool], unsure: Callable[[int], None]) -> Seen:
    """Boot both often enough to know which of them it is."""
    found = sample(bad, fails, unsure)
    failed = sum(map(fails, found))
    often = 0 if not failed else CERTAIN if failed == len(found) else \
        min(MOST, repeats(failed, len(found), 1))
    return Seen(failed, len(found), sum(map(passes, itertools.islice(before, often))), often)
