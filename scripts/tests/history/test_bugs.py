# SPDX-License-Identifier: GPL-2.0
from __future__ import annotations

from base.outcome import Exit, Fail
from base.project import CONFIG
from history import bugs
from history.bugs import matching, read
from history.campaign import sample
from tests import fixture
from tests.history.some import HEADER, bug

AFTER = fixture.CODE.replace("line 7\n", "line seven\n")


class BugsTest(fixture.Case):
    def test_a_header_says_it_all(self) -> None:
        plain = bug(self.root, "plain", AFTER)
        self.assertEqual((plain.name, plain.year, plain.path, plain.fix, plain.harm),
                         ("plain", 2020, "mm/code.c", "0123456789ab", "All is lost."))
        self.assertEqual((plain.config, plain.excuse), (CONFIG, ""))
        other = bug(self.root, "other", AFTER, "Config: debug\nKconfig: CONFIG_A=y CONFIG_B=n\n"
                    "Missed: nobody\n can tell\n")
        self.assertEqual((other.config, other.options, other.excuse),
                         ("debug", ("CONFIG_A=y", "CONFIG_B=n"), "nobody can tell"))

    def test_a_header_that_is_not_as_it_should_be_is_refused(self) -> None:
        right = HEADER.format(name="bad", more="")
        for wrong, said in ((right.replace("Year: 2020\n", ""), "no Year"),
                            (right.replace("2020", "last"), "no year"),
                            (right.replace("Bug: bad", "Bug: worse"), "worse.patch"),
                            (right.replace("Fix:", "Config: small\nFix:"), "small"),
                            (right.replace("Fix:", "Misset: it is\nFix:"), "Misset"),
                            (right.replace("Fix:", "Missed:\nFix:"), "Missed"),
                            (right.replace("All is\nlost.", ""), "goes wrong")):
            with self.subTest(said), self.assertRaisesRegex(Fail, said) as caught:
                fixture.lay(self.root, {"bad.patch": wrong})
                read(self.root / "bad.patch")
            self.assertEqual(caught.exception.code, Exit.BAD_INPUT)

    def test_some_can_be_asked_for(self) -> None:
        known = [bug(self.root, name, AFTER) for name in ("a_one", "a_two", "b_one")]
        self.assertEqual(matching(known, ["*"]), known)
        self.assertEqual(matching(known, ["b_*", "*_one"]), [known[0], known[2]])
        with self.assertRaisesRegex(Fail, "no bug matches a") as caught:
            matching(known, ["*", "a"])
        self.assertEqual(caught.exception.code, Exit.BAD_INPUT)

    def test_those_of_this_repository_can_be_read(self) -> None:
        known = bugs.bugs()
        self.assertGreaterEqual(len(known), 28)
        for each in known:
            self.assertIn(f"diff --git a/{each.path} b/{each.path}\n", each.patch.read_text())
        self.assertEqual({each.path.split("/")[0] for each in sample(known, CONFIG)},
                         {"mm", "drivers"})
