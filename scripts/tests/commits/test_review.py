# SPDX-License-Identifier: GPL-2.0
from __future__ import annotations

import json
import os
from unittest import mock

from commits import review
from tests import fixture
from tests.commits.test_mails import COVER

FIRST = "1" * 40
SERIES = {"series": {"change-id": "20260105-mm-1f2e", "base-commit": "0" * 40,
                     "first-patch-commit": FIRST}}


class ReviewTest(fixture.Case):
    def tracked(self, text: str) -> object:
        (self.root / "tracking.json").write_text(text)
        with mock.patch.dict(os.environ, {"B4_TRACKING_FILE": str(self.root / "tracking.json")}):
            return review.tracked()

    def test_a_series_that_b4_has_on_a_branch(self) -> None:
        self.assertEqual(self.tracked(json.dumps(SERIES)),
                         (f"{FIRST}^", "b4/review/20260105-mm-1f2e^"))

    def test_what_is_not_as_expected_is_no_series(self) -> None:
        evil = {"series": {**SERIES["series"], "change-id": "--upload-pack=x"}}
        for text in ("", "[]", "{}", '{"series": []}', json.dumps(evil)):
            self.assertIsNone(self.tracked(text))
        with mock.patch.dict(os.environ, clear=True):
            self.assertIsNone(review.tracked())

    def test_mails(self) -> None:
        patch = fixture.mail("mm/a.c", "a\n", "b\n").encode()
        self.assertEqual(review.subject_of(patch), "change mm/a.c")
        self.assertTrue(review.is_patch(patch))
        self.assertFalse(review.is_patch(COVER.encode()))
        self.assertEqual(review.subject_of(
            b"Subject: [PATCH v2 1/3] =?utf-8?q?mm=3A_a?=\n\tb\n\n"), "mm: a b")
