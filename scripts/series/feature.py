# SPDX-License-Identifier: GPL-2.0
"""Whether a kernel has the feature: all of it, or nothing.

A tree that has a part of it, or something like it under another name, can be
given no verdict: neither its own code nor ours would be what is tested.
"""

from __future__ import annotations

import re
from typing import List

from base.outcome import Exit, Fail
from base.project import FEATURE, FEATURE_FILE
from series.git import Repository

# What the feature is made of: a file, and what it has in it.
FLAG = re.compile(rf"\b{FEATURE}\b")
ACCESSORS = re.compile(r"PAGEFLAG\(OfflineSkippable\b")
USE = re.compile(r"\bPageOfflineSkippable\(|\bpage_is_offline_skippable\(")
SETTER = re.compile(r"\b(?:__)?SetPageOfflineSkippable\(")
PARTS = ((FEATURE_FILE, FLAG, FEATURE), (FEATURE_FILE, ACCESSORS, "PageOfflineSkippable()"),
         *((path, USE, "any test of the flag") for path in
           ("mm/page_isolation.c", "mm/memory_hotplug.c", "mm/page_alloc.c")),
         ("drivers/virtio/virtio_mem.c", SETTER, "any setting of the flag"))
# Names that somebody else might have given to it.
LIKENESS = re.compile(r"^\s+(PG_\w*(?:offline|skippable)\w*)\s*[=,]"
                      r"|PAGEFLAG\((\w*(?:Offline|Skippable)\w*)", re.MULTILINE)


def lacking(ours: Repository, tree: str) -> List[str]:
    """What a tree lacks of the feature, in words."""
    texts = {path: ours.text(tree, path) for path in {path for path, _, _ in PARTS}}
    return [f"{path} has not {words}" for path, part, words in PARTS
            if not part.search(texts[path])]


def there(ours: Repository, tree: str) -> bool:
    """Does the tree have the feature? It is refused if that cannot be said."""
    lacks = lacking(ours, tree)
    if not lacks:
        return True
    if len(lacks) < len(PARTS):
        raise Fail(Exit.NO_FEATURE, f"a part of the feature is there, but {'; '.join(lacks)}",
                   f"complete what has begun with {FEATURE}, or take it out")
    found = LIKENESS.search(ours.text(tree, FEATURE_FILE))
    if found:
        raise Fail(Exit.NO_FEATURE, f"{FEATURE_FILE} has {found.group(1) or found.group(2)}, "
                   "which may be the feature under another name",
                   f"call it {FEATURE} and PageOfflineSkippable(), as the suites do, or take it out")
    return False
