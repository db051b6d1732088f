# SPDX-License-Identifier: GPL-2.0
"""What came of the mutants: report.json for programs, index.html for people.

The page needs nothing but itself. It has the source with what came of each
line's mutants, and a matrix of cases and mutants.
"""

from __future__ import annotations

import json
from collections import Counter
from html import escape
from pathlib import Path
from typing import Any, Dict, Iterable, List, Mapping, Sequence, Tuple

from base.files import write
from mutants.find import Change, words
from mutants.result import EQUIVALENT, KILLED, STILLBORN, SURVIVED, Result

OUTCOMES = (SURVIVED, EQUIVALENT, *KILLED, STILLBORN)  # the worst first
CELL = 5  # pixels of a mutant in the matrix
ROW = 11  # ... and of a case
NAMES = 480  # ... and of the names of cases
STAGES = 3  # at which the names of functions are, as they would overlap

STYLE = """
body { font: 14px/1.45 system-ui, sans-serif; margin: 2em auto; max-width: 1250px; color: #222 }
h1 { font-size: 1.5em } h2 { font-size: 1.15em; margin-top: 2em }
table { border-collapse: collapse } td, th { padding: .15em .7em; text-align: right }
td:first-child, th:first-child { text-align: left } tbody tr:nth-child(odd) { background: #f6f6f6 }
th { border-bottom: 1px solid #999; font-weight: 600 }
code, .source { font: 12px/1.5 ui-monospace, monospace }
.source summary, .source div { white-space: pre; tab-size: 8; list-style: none; padding-left: 4em;
  text-indent: -4em }
.source summary { cursor: pointer } .source summary::-webkit-details-marker { display: none }
.source i { font-style: normal; color: #999; display: inline-block; width: 4em; text-indent: 0 }
.source b { font-weight: normal; text-indent: 0; float: right }
.source b span { border-left: 1px solid #fff }
.source ul { margin: .2em 0 .6em 5em; padding-left: 1em; white-space: normal }
del { background: #ffdcdc; text-decoration: none }
ins { background: #d8f5d8; text-decoration: none }
.survived { background: #ffb3b3 } .equivalent { background: #fff0b0 }
.case { background: #cdeccd } .warning { background: #c4e6dc } .crash { background: #c2dcf0 }
.hang { background: #d9d0f0 } .stillborn { background: #e4e4e4 }
.key span { padding: .1em .6em; margin-right: .4em } .scroll { overflow-x: auto }
rect.case { fill: #58a858 } rect.warning { fill: #3d9c84 } rect.crash { fill: #4a8cc0 }
rect.hang { fill: #8468c4 } rect.first { fill: #174a17 } rect.survived { fill: #ffb3b3 }
rect.equivalent { fill: #fff0b0 } rect.stillborn { fill: #e4e4e4 } rect.back { fill: #f4f4f4 }
svg text { font: 9px ui-monospace, monospace }
"""


def css(outcome: str) -> str:
    return "stillborn" if outcome == STILLBORN else outcome


def as_json(facts: Mapping[str, Any], results: Sequence[Result]) -> bytes:
    mutants = [{
        "key": result.mutant.key, "file": result.mutant.path, "line": result.mutant.line,
        "function": result.mutant.function, "operator": result.mutant.operator,
        "operators": result.mutant.family,
        "before": words(result.mutant.before), "after": words(result.mutant.after),
        "outcome": result.outcome, "first": result.first, "failed": result.failed,
        "reason": result.reason, "seconds": result.seconds,
    } for result in results]
    return json.dumps({**facts, "mutants": mutants}, indent=1).encode() + b"\n"


def table(title: str, pairs: Iterable[Tuple[str, str]]) -> str:
    """How many mutants of each kind came to which end."""
    counts: Dict[str, Counter[str]] = {}
    for name, outcome in pairs:
        counts.setdefault(name, Counter())[outcome] += 1
    used = [outcome for outcome in OUTCOMES if any(count[outcome] for count in counts.values())]
    head = "".join(f"<th>{escape(name)}</th>" for name in (title, "all", *used))
    rows = "".join(
        f"<tr><td>{escape(name)}</td><td>{sum(count.values())}</td>" + "".join(
            f'<td{f" class={css(outcome)}" if count[outcome] else ""}>{count[outcome] or ""}</td>'
            for outcome in used) + "</tr>" for name, count in counts.items())
    return f"<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>"


def _told(result: Result) -> str:
    """A mutant in a few words, beside its line."""
    by = f" by <code>{escape(result.first)}</code>" if result.first else ""
    more = f", {len(result.failed)} cases fail" if len(result.failed) > 1 else ""
    reason = f" <small>{escape(result.reason[:300])}</small>" if result.reason else ""
    return (f'<li><span class="{css(result.outcome)}">{escape(result.outcome)}</span> '
            f"{escape(result.mutant.operator)}: <code><del>{escape(words(result.mutant.before))}"
            f"</del> <ins>{escape(words(result.mutant.after))}</ins></code>{by}{more}{reason}</li>")


def _title(result: Result) -> str:
    return escape(f"{result.mutant.operator}\n- {words(result.mutant.before)}\n"
                  f"+ {words(result.mutant.after)}\n{result.outcome} {result.first}", quote=True)


def source(change: Change, results: Sequence[Result], bodies: Sequence[Tuple[int, int]]) -> str:
    """The functions that have mutants; a line with some unfolds to show them."""
    lines = change.after.splitlines()
    at: Dict[int, List[Result]] = {}
    for result in results:
        at.setdefault(result.mutant.line, []).append(result)
    parts = []
    for first, last in bodies:
        for number in range(first, last + 1):
            mark = "+" if number in change.added else " "
            text = f"<i>{number:>5} {mark}</i>{escape(lines[number - 1])}"
            here = sorted(at.get(number, ()), key=lambda result: OUTCOMES.index(result.outcome))
            if not here:
                parts.append(f"<div>{text}</div>")
                continue
            marks = "".join(f'<span class="{css(result.outcome)}" title="{_title(result)}">'
                            "&nbsp;</span>" for result in here)
            parts.append(f'<details><summary class="{css(here[0].outcome)}"><b>{marks}</b>{text}'
                         f"</summary><ul>{''.join(map(_told, here))}</ul></details>")
        parts.append("<div>&nbsp;</div>")
    return f'<div class="source">{"".join(parts)}</div>'


def matrix(results: Sequence[Result], cases: Sequence[str]) -> str:
    """Which cases notice which mutants; dark: the first one that did."""
    top = ROW * (STAGES + 1)
    width, height = NAMES + CELL * len(results), top + ROW * (len(cases) + 1)
    rows = {case: top + ROW * number for number, case in enumerate(cases)}
    caught = Counter(case for result in results for case in {*result.failed, result.first})
    parts = [f'<text x="0" y="{y + ROW - 2}">{caught[case]}</text>'
             f'<text x="24" y="{y + ROW - 2}">{escape(case)}</text>' for case, y in rows.items()]
    parts += [f'<rect class="back" x="{NAMES}" y="{y}" width="{CELL * len(results)}" '
              f'height="{ROW - 1}"/>' for y in rows.values()]
    function, stage = "", 0
    for number, result in enumerate(results):
        x = NAMES + CELL * number
        if result.mutant.where != function:
            function, stage = result.mutant.where, (stage + 1) % STAGES
            parts.append(f'<text x="{x + 2}" y="{ROW * (stage + 1) - 2}">{escape(function)}</text>'
                         f'<path d="M{x} {ROW * stage}V{height}" stroke="#aaa" '
                         'stroke-width=".5"/>')
        title = f"<title>{_title(result)}</title>"
        parts.append(f'<rect class="{css(result.outcome)}" x="{x}" y="{ROW * STAGES}" '
                     f'width="{CELL - 1}" height="{ROW - 2}">{title}</rect>')
        for case in {*result.failed, result.first} & rows.keys():
            name = "first" if case == result.first else css(result.outcome)
            parts.append(f'<rect class="{name}" x="{x}" y="{rows[case]}" width="{CELL - 1}" '
                         f'height="{ROW - 1}">{title}</rect>')
    return (f'<div class="scroll"><svg xmlns="http://www.w3.org/2000/svg" width="{width}" '
            f'height="{height}">{"".join(parts)}</svg></div>')


def page(facts: Mapping[str, Any], results: Sequence[Result], changes: Mapping[str, Change],
         cases: Sequence[str]) -> str:
    parts = [f"<!DOCTYPE html><html lang=en><meta charset=utf-8><title>Mutants</title>"
             f"<style>{STYLE}</style><h1>Mutants of {escape(facts['what'])}</h1>"]
    parts.append("<p>" + "<br>".join(escape(line) for line in facts["summary"]) + "</p>")
    parts.append('<p class="key">' + "".join(
        f'<span class="{css(outcome)}">{escape(outcome)}</span>' for outcome in OUTCOMES) + "</p>")
    bad = [f"<li>{escape(result.mutant.path)}:{result.mutant.line}, "
           f"{escape(result.mutant.function)}<ul>{_told(result)}</ul></li>"
           for result in results if result.outcome == SURVIVED]
    parts.append(f"<h2>Survivors</h2><ul>{''.join(bad) or '<li>none</li>'}</ul>")
    parts.append("<h2>By function</h2>" + table("function", (
        (result.mutant.where, result.outcome) for result in results)))
    parts.append("<h2>By kind of operator</h2>" + table("operators", (
        (result.mutant.family, result.outcome) for result in results)))
    for path, change in changes.items():
        here = [result for result in results if result.mutant.path == path]
        own = [result for result in here if result.mutant.sources]
        if not here:
            continue
        bodies = sorted({result.mutant.body for result in here if not result.mutant.sources})
        parts.append(f"<h2>{escape(path)}</h2>")
        parts.append(source(change, [result for result in here if not result.mutant.sources],
                            bodies))
        parts.append(f"<ul>{''.join(map(_told, own))}</ul>")
    parts.append("<h2>Cases and mutants</h2><p>A column is a mutant, in the order of the source; "
                 "a row a case, with the number of mutants it notices. Dark is the first case "
                 "that notices one.</p>" + matrix(results, cases))
    return "".join(parts)


def save(folder: Path, facts: Mapping[str, Any], results: Sequence[Result],
         changes: Mapping[str, Change], cases: Sequence[str]) -> None:
    write(folder / "report.json", as_json(facts, results))
    write(folder / "index.html", page(facts, results, changes, cases).encode())
