# SPDX-License-Identifier: GPL-2.0
"""The kernel that schedules run in, and what it prints about them."""

from __future__ import annotations

import re

from base.project import FRAGMENT
from guest import build as kernels
from guest.build import Kernel
from guest.setup import Setup
from series.worktree import Tree

EACH = ("offline_skippable_races", "virtio_mem_races")
SUITES = "*races"
ALL = 2  # the parameter races.depth: also two actors at once
# What a suite says about a search, behind its name.
FIGURES = re.compile(r"# \w+: (\d+ schedules of .* in (\d+) ms; .*)$", re.MULTILINE)
# ... and about the random ones of it, if the kernel can tell.
RANDOM = re.compile(r"# \w+: (\d+ of \d+ random schedules .*)$", re.MULTILINE)
# ... about a schedule that fails, and when it does not come to its end.
FAILURE = re.compile(r"schedule=(\S+) fails: (.*) \(found by schedule (\d+)\)")
LAST_WORDS = re.compile(r"schedule: (\S+): (.*)")


def describe(tree: Tree, setup: Setup) -> Kernel:
    more = kernels.fragment(tree.path, FRAGMENT.format("races"))
    return kernels.describe(tree.path, setup).extended("races", more)
