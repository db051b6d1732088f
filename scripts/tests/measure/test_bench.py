# SPDX-License-Identifier: GPL-2.0
from __future__ import annotations

import os
from unittest import mock

from guest.build import Kernel
from guest.setup import Setup
from measure import bench
from tests import fixture


class BenchTest(fixture.Case):
    def test_the_changed_file_is_as_it_was_and_yet_compiled(self) -> None:
        fixture.lay(self.kernel, {bench.CHANGED: "text\n"})
        path = self.kernel / bench.CHANGED
        os.utime(path, (1, 1))
        seen = []
        with mock.patch("measure.bench.once", lambda *_: seen.append(
                (path.stat().st_mtime > 1, os.environ.get("CCACHE_RECACHE")))):
            bench.changed_file(self.source(), Setup(), Kernel(self.kernel, self.root, Setup(), {}))
        self.assertEqual(seen, [(True, "1")])
        self.assertEqual(path.read_text(), "text\n")
        self.assertNotIn("CCACHE_RECACHE", os.environ)
