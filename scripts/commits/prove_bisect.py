# SPDX-License-Identifier: GPL-2.0
"""Show that `suite bisect` finds what broke: on histories made for it, of the fetched kernel.

Each has some forty harmless commits, one that does not build, and one that
plants a regression of another kind.
"""

from __future__ import annotations

import argparse
import shutil
import time
from dataclasses import dataclass
from typing import Callable, Dict, Tuple

from base.files import BUILD, REPO
from base.locks import build_lock
from base.outcome import Exit, Fail
from base.progress import result, say
from base.project import KERNEL
from commits.bisection import bisect
from commits.grow import History
from commits.tester import Tester
from guest import arguments
from guest.requirements import for_commits, require
from guest.setup import Setup
from series.source import COMMIT, source

COMMITS = 44
UNBUILDABLE = 22  # where git looks first
MOVED_CONTEXT, CARRIED = 12, 34  # commits that the overlay has to get along with

# Files of mm that the trimmed kernel has, and files that it does not have.
MM = ("compaction", "debug", "filemap", "gup", "interval_tree", "list_lru", "memory",
      "memory_hotplug", "mempool", "migrate", "mincore", "mlock", "mm_init", "mmap", "mmzone",
      "mprotect", "oom_kill", "page_alloc", "page_isolation", "readahead", "rmap",
      "shmem", "slub", "sparse", "truncate", "util", "vmalloc", "vmscan", "vmstat")
OTHERS = ("fs/ext4/super.c", "drivers/net/loopback.c", "Documentation/mm/memory-model.rst",
          "arch/arm64/mm/init.c")

HWPOISON = "\t\t\t PageHWPoison(page))\n\t\t\t/* A HWPoisoned"
FAILS = "\t\t\t PageHWPoison(page) && page_count(page) > 1000)\n\t\t\t/* A HWPoisoned"
# One draw a boot, as it is with a race that is lost, or not, early on.
FLAKY = ('#include "internal.h"\n', '#include "internal.h"\n#include <linux/timex.h>\n\n'
         "static bool unlucky(void)\n{\n\tstatic int drawn = -1;\n\n\tif (drawn < 0)\n"
         "\t\tdrawn = (random_get_entropy() >> 6) % 10 < 3;\n\treturn drawn;\n}\n")


@dataclass(frozen=True)
class Plant:
    """A regression, and what is to be found."""

    name: str
    place: int
    verdict: str
    edit: Callable[[History], Dict[str, str]]
    suites: str = ""  # all of them, unless it takes many boots


def _flaky(history: History) -> Dict[str, str]:
    path = "mm/page_isolation.c"
    text = history.replaced(path, *FLAKY)[path]
    return {path: text.replace(HWPOISON, HWPOISON.replace("(page))", "(page) && !unlucky())"))}


PLANTS = (
    Plant("a case fails", 31, "fail",
          lambda history: history.replaced("mm/page_isolation.c", HWPOISON, FAILS)),
    Plant("it only crashes", 9, "crash",
          lambda history: history.replaced("mm/memory_hotplug.c",
                                           'reason = "failure to isolate range";',
                                           "reason = NULL;\n\t\t*(volatile char *)reason = 0;")),
    Plant("it only hangs", 38, "hang",
          lambda history: history.replaced("mm/memory_hotplug.c", 'reason = "notifier failure";',
                                           "while (ret)\n\t\t\tcpu_relax();")),
    Plant("it fails at 30 %", 17, "fail", _flaky, "offline_skippable_test_isolated*"),
)


def grow(history: History, plant: Plant) -> str:
    """Make the history; the answer is the commit that is to be found."""
    culprit = ""
    for number in range(1, COMMITS + 1):
        if number == plant.place:
            culprit = history.commit("mm: simplify a condition", plant.edit(history))
        elif number == UNBUILDABLE:
            history.commit("mm: start on something", {
                "mm/vmstat.c": history.text("mm/vmstat.c") + "int half_done(void);\n"
                "int half_done(void) { return }\n"})
        elif number == UNBUILDABLE + 1:
            history.commit("mm: finish it", history.replaced("mm/vmstat.c", "return }",
                                                             "return 0; }"))
        elif number == MOVED_CONTEXT:
            history.commit("virtio: align", history.replaced(
                "drivers/virtio/Makefile", "virtio_rtc-$(CONFIG_VIRTIO_RTC_PTP) +=",
                "virtio_rtc-$(CONFIG_VIRTIO_RTC_PTP)   +="))
        elif number == CARRIED:
            path = "mm/tests/offline_skippable.h"
            history.commit("mm/tests: carry a file of the suite", {
                path: (REPO / path).read_text() + "/* carried */\n"})
        else:
            history.commit(*_harmless(history, number))
    return culprit


def _harmless(history: History, number: int) -> Tuple[str, Dict[str, str]]:
    if number % 7 == 0:
        path = OTHERS[number // 7 % len(OTHERS)]
        return f"{path}: say more", {path: history.text(path) + f"\n/* {number} */\n"}
    path = f"mm/{MM[number % len(MM)]}.c"
    text = history.text(path)
    if number % 3 == 0 and 'pr_info("' in text:
        return f"{path}: reword", {path: text.replace('pr_info("', 'pr_info("mm: ', 1)}
    return f"{path}: comment", {path: text + f"\n/* {number} */\n"}


def prove(plant: Plant, isolate: bool) -> str:
    """A line about how the bisection went; Fail, if it went wrong."""
    say(f"== {plant.name}")
    history = History(BUILD / "ci" / "proof.git", source(KERNEL), COMMIT)
    base = history.tip
    culprit = grow(history, plant)
    setup = Setup(kunit_args=(plant.suites,) if plant.suites else ())
    begin = time.monotonic()
    found = bisect(history.home, base, history.tip, BUILD / "results" / "bisect",
                   lambda commits, good: Tester(setup, commits, good, isolate))
    if found.commit.id != culprit or found.trial.word != plant.verdict or not found.sure:
        raise Fail(Exit.CASE_FAILED, f"{plant.name}: {found.commit.short} ({found.trial.word}) "
                   f"was found instead of {culprit[:12]} ({plant.verdict})",
                   "mend scripts/commits/bisection.py")
    return f"{plant.name:<18} {found.trial.word:<6} {found.steps:3} steps " \
        f"{time.monotonic() - begin:6.0f} s"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    arguments.add_sandbox(parser)
    arguments.add_install(parser)


def main(args: argparse.Namespace) -> Exit:
    with build_lock("suite prove-bisect"):
        require(for_commits(Setup(), not args.no_sandbox), not args.no_install)
        # What is remembered would prove nothing.
        shutil.rmtree(BUILD / "ci" / "verdicts", ignore_errors=True)
        for line in [prove(plant, not args.no_sandbox) for plant in PLANTS]:
            result(line)
    return Exit.OK
