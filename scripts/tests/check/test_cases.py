# SPDX-License-Identifier: GPL-2.0
"""Which sentences are found in C files, what is wrong about them, and the list of them."""

from __future__ import annotations

import tempfile
import unittest
from pathlib import Path

from base.files import REPO
from check.cases import complaints, known_bugs, not_run, out_of_date, render, suites

TWO_CASES = """\
/* Testing things. */

/* One thing holds. */
static void one_thing(struct kunit *test)
{
}

#ifdef CONFIG_OTHER
/*
 * Another thing holds as well, which takes a comment that
 * is longer.
 *
 * How it is done. With two sentences.
 */
static void another_thing(struct kunit *test)
{
}
#else
static void another_thing(struct kunit *test)
{
	kunit_skip(test, "CONFIG_OTHER is not set");
}
#endif

static struct kunit_case things_cases[] = {
	KUNIT_CASE_PARAM(another_thing,
			 zone_gen_params),
	/* KUNIT_CASE(not_any_more), */
	KUNIT_CASE(one_thing),
	{}
};

static struct kunit_suite things_suite = {
	.name = "things",
	.init = things_init,
	.test_cases = things_cases,
};

kunit_test_suite(things_suite);
"""


def with_comment(comment: str, name: str = "some_case") -> str:
    """A C file with a suite of one case, below this comment."""
    return (f"{comment}static void {name}(struct kunit *test)\n{{\n}}\n\n"
            f"static struct kunit_case cases[] = {{\n\tKUNIT_CASE({name}),\n\t{{}}\n}};\n\n"
            "static struct kunit_suite suite = {\n\t.name = \"small\",\n"
            "\t.test_cases = cases,\n};\n")


class Find(unittest.TestCase):
    def test_a_case_that_did_not_run_is_named(self) -> None:
        found = suites({"mm/tests/things_kunit.c": TWO_CASES})
        self.assertEqual(not_run(found, {("things", "one_thing"), ("things", "another_thing")}), [])
        self.assertEqual(not_run(found, {("things", "one_thing")}),
                         ["mm/tests/things_kunit.c: things.another_thing did not run"])

    def test_a_case_that_takes_an_option_need_not_run(self) -> None:
        text = TWO_CASES.replace("\tKUNIT_CASE(one_thing),\n",
                                 "#ifdef CONFIG_ONE\n\tKUNIT_CASE(one_thing),\n#endif\n")
        found = suites({"mm/tests/things_kunit.c": text})
        self.assertEqual(not_run(found, {("things", "another_thing")}), [])
        self.assertEqual(len(not_run(found, set())), 1)

    def test_suite_with_its_cases_in_order(self) -> None:
        suite, = suites({"mm/tests/things_kunit.c": TWO_CASES})
        self.assertEqual((suite.name, suite.path), ("things", "mm/tests/things_kunit.c"))
        self.assertEqual([case.name for case in suite.cases], ["another_thing", "one_thing"])

    def test_first_paragraph_in_one_line(self) -> None:
        suite, = suites({"a.c": TWO_CASES})
        self.assertEqual([case.sentence for case in suite.cases],
                         ["Another thing holds as well, which takes a comment that is longer.",
                          "One thing holds."])

    def test_several_suites_of_a_file(self) -> None:
        found = suites({"a.c": TWO_CASES + with_comment("/* More holds. */\n"), "b.c": TWO_CASES})
        self.assertEqual([(suite.path, suite.name) for suite in found],
                         [("a.c", "things"), ("a.c", "small"), ("b.c", "things")])

    def test_file_without_suite(self) -> None:
        self.assertEqual(suites({"a.c": "static int helper(void)\n{\n}\n"}), [])

    def test_comment_must_be_directly_above(self) -> None:
        for comment in ("", "/* Apart. */\n\n", "/* Of an #ifdef. */\n#ifdef CONFIG_A\n",
                        "/* */\n"):
            with self.subTest(comment):
                suite, = suites({"a.c": with_comment(comment)})
                self.assertIsNone(suite.cases[0].sentence)

    def test_other_form_of_comments(self) -> None:
        for comment in ("/*\n * This holds.\n */\n", "/* This\n * holds. */\n", "/* This holds. */\n",
                        "/*\n * This holds.\n *\n * How.\n */\n"):
            with self.subTest(comment):
                suite, = suites({"a.c": with_comment(comment)})
                self.assertEqual(suite.cases[0].sentence, "This holds.")


class Complain(unittest.TestCase):
    def test_nothing_is_wrong(self) -> None:
        for text in (TWO_CASES, with_comment("/* Section 5.15 of VIRTIO 1.2, e.g. this, holds. */\n")):
            self.assertEqual(complaints(suites({"a.c": text})), [])

    def test_no_comment(self) -> None:
        self.assertEqual(complaints(suites({"mm/a.c": with_comment("")})),
                         ["mm/a.c: some_case has no comment directly above it"])

    def test_not_one_sentence(self) -> None:
        for comment in ("/* No full stop */\n", "/* What? */\n", "/* One. Two. */\n",
                        "/* One. foo_bar() holds. */\n", "/* Does it? It does. */\n"):
            with self.subTest(comment):
                wrong, = complaints(suites({"mm/a.c": with_comment(comment)}))
                self.assertTrue(wrong.startswith("mm/a.c: some_case: "), wrong)
                self.assertIn("one sentence", wrong)

    def test_same_sentence(self) -> None:
        wrong, = complaints(suites({"a.c": with_comment("/* It holds. */\n"),
                                    "b.c": with_comment("/*\n * It\n * holds.\n */\n", "twin")}))
        self.assertEqual(wrong, "b.c: twin has the same sentence as a.c: some_case: It holds.")

    def test_array_is_not_there(self) -> None:
        text = with_comment("/* It holds. */\n").replace("cases[]", "others[]")
        self.assertEqual(complaints(suites({"a.c": text})), ["a.c: suite small has no test cases"])


class Render(unittest.TestCase):
    def test_document(self) -> None:
        document = render(suites({"mm/tests/things_kunit.c": TWO_CASES}))
        self.assertTrue(document.startswith(".. SPDX-License-Identifier: GPL-2.0\n\n=="))
        self.assertTrue(document.endswith("""
things
======

In ``mm/tests/things_kunit.c``:

another_thing
    Another thing holds as well, which takes a comment that is longer.

one_thing
    One thing holds.
"""), document)

    def test_lines_are_short_and_end_in_no_space(self) -> None:
        sentence = "This holds for " + "very " * 40 + "many pages."
        document = render(suites({"a.c": with_comment(f"/* {sentence} */\n")}))
        self.assertLessEqual(max(map(len, document.splitlines())), 80)
        self.assertEqual([line for line in document.splitlines() if line != line.rstrip()], [])
        self.assertIn(sentence, " ".join(document.split()))

    def test_markup_is_escaped(self) -> None:
        document = render(suites({"a.c": with_comment("/* If *a |b| `c` d_ __e_f() -EBUSY g->h. */\n")}))
        self.assertIn("    If \\*a \\|b\\| \\`c\\` d\\_ __e_f() -EBUSY g->h.\n", document)



class KnownBugs(unittest.TestCase):
    def test_the_fixes_that_cases_name_are_found(self) -> None:
        with tempfile.TemporaryDirectory() as held:
            folder = Path(held) / "mm/tests"
            folder.mkdir(parents=True)
            (folder / "a_kunit.c").write_text("kunit_known_bug(test, \"mend-it\", \"x\");\n"
                                              "\tkunit_known_bug(test,\n\t\t\t\"or-that\",")
            self.assertEqual(known_bugs(Path(held)), {"mend-it", "or-that"})


class RepositoryTest(unittest.TestCase):
    def test_each_case_of_this_project_states_its_property(self) -> None:
        self.assertEqual(out_of_date(REPO), [])
