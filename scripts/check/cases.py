# SPDX-License-Identifier: GPL-2.0
"""The list of properties that the KUnit suites check, made from their comments.

The comment directly above each test case begins with a paragraph of one full
sentence: the property that the case checks. This module finds the suites, their
cases and these sentences in the C files, complains about sentences that are
missing or not as they should be, and renders the list as reStructuredText.

Most functions are pure: they get the text of the files, and return text.
"""

from __future__ import annotations

import re
import textwrap
from dataclasses import dataclass
from pathlib import Path
from typing import Dict, List, Mapping, Optional, Set, Tuple

TITLE = "Properties of memory offlining with skippable pages"
ABOUT = """\
These properties are checked by the KUnit tests for offlining memory with pages
that are PageOfflineSkippable(), for memory hotplug that fails, and for the
virtio-mem driver. There is one sentence for each test case, taken from the
comment above it: where one changes, so does the other."""
WIDTH = 80
DOCUMENT = "Documentation/mm/offline_skippable_properties.rst"
HEADERS = "include/kunit"
FOLDERS = ("mm/tests", "drivers/virtio/tests")

COMMENT = re.compile(r"/\*.*?\*/", re.DOTALL)
# A comment cannot contain its own end, so this one is the last before the function.
ABOVE = r"/\*(?P<comment>(?:(?!\*/).)*)\*/[ \t]*\n"
SUITE = re.compile(r"\bstruct\s+kunit_suite\s+\w+\s*=\s*\{(?P<body>.*?)^\};",
                   re.DOTALL | re.MULTILINE)
NAME = re.compile(r"\.name\s*=\s*\"(?P<name>[^\"]*)\"")
ARRAY_NAME = re.compile(r"\.test_cases\s*=\s*(?P<array>\w+)")
CASE = re.compile(r"\bKUNIT_CASE\w*\(\s*(?P<name>\w+)")
KNOWN_BUG = re.compile(r"\bkunit_known_bug\(\s*[\w>-]+,\s*\"([^\"]+)\"")
# A full stop in the middle of a text ends a sentence, unless it belongs to one of these.
SENTENCE_END = re.compile(r"(?<!\be\.g)(?<!\bi\.e)(?<!\bcf)(?<!\bvs)[.!?](?=\s)")
# What reStructuredText takes for markup: these, and an underscore that ends a word.
MARKUP = re.compile(r"[\\*`|]|_(?!\w)")


@dataclass(frozen=True)
class Case:
    """A test case; without a sentence if there is no comment directly above it."""

    name: str
    sentence: Optional[str]
    everywhere: bool = True  # or only in kernels with some option


@dataclass(frozen=True)
class Suite:
    """A suite, the file that it is in, and its test cases in their order."""

    name: str
    path: str
    cases: Tuple[Case, ...]


def suites(texts: Mapping[str, str]) -> List[Suite]:
    """All suites of the C files, which are given as their texts by path."""
    found = []
    for path, text in texts.items():
        code = COMMENT.sub("", text)
        for suite in SUITE.finditer(code):
            name, array = NAME.search(suite["body"]), ARRAY_NAME.search(suite["body"])
            if name and array:
                found.append(Suite(name["name"], path, tuple(
                    Case(case, _sentence(text, case), everywhere)
                    for case, everywhere in _cases(code, array["array"]))))
    return found


def _cases(code: str, array: str) -> List[Tuple[str, bool]]:
    """The functions in an array of test cases, and whether they do not depend on an option."""
    body = re.search(rf"\bstruct\s+kunit_case\s+{array}\s*\[\]\s*=\s*\{{(.*?)^\}};", code,
                     re.DOTALL | re.MULTILINE)
    if not body:
        return []
    always = CASE.findall(re.sub(r"^#if.*?^#endif", "", body[1], flags=re.DOTALL | re.MULTILINE))
    return [(case, case in always) for case in CASE.findall(body[1])]


def _sentence(text: str, case: str) -> Optional[str]:
    """The first paragraph of the comment above a function, in one line.

    A function may be defined twice, for different configurations: the first one counts.
    """
    function = re.search(rf"^(?:static[ \t]+)?void[ \t\n]+{case}\(", text, re.MULTILINE)
    if not function:
        return None
    comments = list(re.finditer(ABOVE, text[:function.start()], re.DOTALL))
    if not comments or comments[-1].end() != function.start():
        return None
    lines = [re.sub(r"^\s*\*?\s*", "", line).rstrip()
             for line in comments[-1]["comment"].splitlines()]
    paragraphs = re.split(r"\n{2,}", "\n".join(lines).strip("\n"))
    return " ".join(paragraphs[0].split()) or None


def complaints(found: List[Suite]) -> List[str]:
    """A line for everything that is wrong about the sentences, with file and case."""
    wrong = []
    first: Dict[str, str] = {}
    for suite in found:
        if not suite.cases:
            wrong.append(f"{suite.path}: suite {suite.name} has no test cases")
        for case in suite.cases:
            where = f"{suite.path}: {case.name}"
            if case.sentence is None:
                wrong.append(f"{where} has no comment directly above it")
                continue
            if not case.sentence.endswith(".") or SENTENCE_END.search(case.sentence):
                wrong.append(f"{where}: its comment does not begin with a paragraph of one "
                             f"sentence that ends in a full stop: {case.sentence}")
            other = first.setdefault(case.sentence.casefold(), where)
            if other != where:
                wrong.append(f"{where} has the same sentence as {other}: {case.sentence}")
    return wrong


def render(found: List[Suite]) -> str:
    """The document: a section for each suite, with a definition list of its cases."""
    rule = "=" * len(TITLE)
    lines = [".. SPDX-License-Identifier: GPL-2.0", "", rule, TITLE, rule, "", ABOUT]
    for suite in found:
        lines += ["", suite.name, "=" * len(suite.name), "", f"In ``{suite.path}``:"]
        for case in suite.cases:
            lines += ["", _escaped(case.name)]
            lines += textwrap.wrap(_escaped(case.sentence or "(No property is stated.)"), WIDTH,
                                   initial_indent="    ", subsequent_indent="    ",
                                   break_long_words=False, break_on_hyphens=False)
    return "\n".join(lines) + "\n"


def _escaped(text: str) -> str:
    return MARKUP.sub(r"\\\g<0>", text)


def in_repository(repo: Path) -> List[Suite]:
    """The suites of this project, a file after the other."""
    return suites({str(path.relative_to(repo)): path.read_text() for folder in FOLDERS
                   for path in sorted((repo / folder).glob("*_kunit.c"))})


def known_bugs(repo: Path) -> Set[str]:
    """The fixes that cases, or helpers that they call, name as they show what these mend."""
    sources = [path for folder in FOLDERS for path in (repo / folder).glob("*_kunit.c")]
    return {name for path in [*sources, *(repo / HEADERS).glob("*.h")]
            for name in KNOWN_BUG.findall(path.read_text())}


def not_run(found: List[Suite], ran: Set[Tuple[str, str]]) -> List[str]:
    """A line for each case that no suite ran; `ran` has the names of suites and functions.

    Those that take an option may not be there.
    """
    return [f"{suite.path}: {suite.name}.{case.name} did not run" for suite in found
            for case in suite.cases if case.everywhere and (suite.name, case.name) not in ran]


def out_of_date(repo: Path) -> List[str]:
    """What is wrong about the sentences, or that the document does not have them."""
    found = in_repository(repo)
    document = repo / DOCUMENT
    if complaints(found):
        return complaints(found)
    if not document.exists() or document.read_text() != render(found):
        return [f"{DOCUMENT} is not up to date: ./suite properties --write"]
    return []
