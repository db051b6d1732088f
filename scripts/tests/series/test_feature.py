# SPDX-License-Identifier: GPL-2.0
from __future__ import annotations

from typing import Dict

from base.outcome import Exit, Fail
from series import feature
from series.git import Repository
from series.snapshot import snapshot
from tests import fixture

FLAGS = "include/linux/page-flags.h"


class FeatureTest(fixture.Case):
    def there(self, files: Dict[str, str]) -> bool:
        fixture.lay(self.kernel, files)
        ours = Repository(self.root / "ours.git")
        return feature.there(ours, snapshot(self.kernel, ours, "kdir"))

    def refused(self, files: Dict[str, str]) -> str:
        with self.assertRaises(Fail) as caught:
            self.there(files)
        self.assertEqual(caught.exception.code, Exit.NO_FEATURE)
        return caught.exception.what

    def test_all_of_it_or_nothing(self) -> None:
        self.assertFalse(self.there({FLAGS: "PAGE_TYPE_OPS(Offline, offline, offline)\n"}))
        self.assertTrue(self.there(fixture.FEATURE))

    def test_a_part_is_refused_and_the_rest_named(self) -> None:
        self.assertIn("mm/page_alloc.c has not any test of the flag",
                      self.refused({**fixture.FEATURE, "mm/page_alloc.c": "PageOffline();\n"}))
        self.assertIn("drivers/virtio/virtio_mem.c has not",
                      self.refused({**fixture.FEATURE, "drivers/virtio/virtio_mem.c": "\n"}))

    def test_so_is_another_name(self) -> None:
        for line, name in (("\tPG_skip_offline = PG_owner_2,\n", "PG_skip_offline"),
                           ("PAGEFLAG(OfflineSkip, owner_2, PF_ANY)\n", "OfflineSkip")):
            self.assertIn(f"{name}, which may be", self.refused({FLAGS: line}))
