# SPDX-License-Identifier: GPL-2.0
"""The table as a page of HTML: one file, without scripts, with a column for each commit."""

from __future__ import annotations

import html
from typing import Dict, List

from base.outcome import Exit
from commits.table import ABSENT, PASS, Failure, Judged, Row, Table, is_bad, safe, states

# A state has a word as well as a colour: not everybody sees the colours.
COLOURS = {"pass": "#d8f0d8", "broken": "#f5b5b0", "since": "#f8d5c8", "base": "#fbe8b0",
           "unknown": "#e6d8f0", "none": "#eeeeee"}
LEGEND = (("pass", "passes"), ("broken", "broken by this commit"),
          ("since", "broken by an earlier one"), ("base", "fails on the base too"),
          ("unknown", "fails, and it is not known since when"),
          ("none", "skipped, or did not run"))
STYLE = ("body{font:15px sans-serif;margin:2em}table{border-collapse:collapse}"
         "td,th{border:1px solid #bbb;padding:.2em .6em;text-align:left;vertical-align:top}"
         # What a compiler says stands in columns.
         ".said{white-space:pre-wrap;font:13px monospace}"
         # With many commits, the names of the cases stay where they are.
         "div{overflow-x:auto}.grid{font-size:13px}"
         ".grid th:first-child{position:sticky;left:0;background:#fff;min-width:14em;"
         "max-width:24em;font-weight:normal;overflow-wrap:anywhere}"
         ".new{outline:2px solid #333;outline-offset:-2px;font-weight:bold}"
         "pre{white-space:pre-wrap;background:#f6f6f6;padding:1em}"
         + "".join(f".{name}{{background:{colour}}}" for name, colour in COLOURS.items()))
# Nothing that a commit has put in can do anything, even if it got through.
POLICY = "default-src 'none'; style-src 'unsafe-inline'"


def _text(text: str) -> str:
    return html.escape(safe(text))


def _cell(state: str, failure: Dict[str, Failure], case: str, before: str) -> str:
    found = failure.get(case)
    kind = found.judged.value if found else "pass" if state == PASS else "none"
    words = f"{state}: {found.text}" if found and found.judged is not Judged.SINCE else state
    new = " new" if state != before else ""
    return f'<td class="{kind}{new}">{_text(words)}</td>'


def _row_of(case: str, table: Table) -> str:
    cells: List[str] = []
    before = ""
    for row in table.rows:
        state = states(row.trial).get(case, ABSENT)
        told = state != ABSENT or _ended(row)
        cells.append(_cell(state, {one.case: one for one in row.failures}, case,
                           before if before and told else state))
        before = state if told else before
    return f"<tr><th>{_text(case)}</th>{''.join(cells)}</tr>"


def _ended(row: Row) -> bool:
    """Did it get to its end? If not, it says nothing of cases that it has not."""
    return row.trial.code in (Exit.OK, Exit.CASE_FAILED)


def _grid(cases: List[str], table: Table) -> str:
    heads = "".join(f'<th title="{_text(row.commit.subject)}">{_text(row.place)}<br><code>'
                    f"{row.commit.short}</code><br>{_text(row.trial.word)}</th>"
                    for row in table.rows)
    rows = "\n".join(_row_of(case, table) for case in cases)
    return f'<div><table class="grid">\n<tr><th>case</th>{heads}</tr>\n{rows}\n</table></div>'


def _commit(row: Row) -> str:
    kind = row.broken[0].judged.value if row.broken else \
        row.failures[0].judged.value if row.failures else \
        "pass" if row.trial.word == "pass" else "none"
    lines = "\n".join(map(_text, row.details()))
    return f'<tr><td>{_text(row.place)}</td><td><code>{row.commit.short}</code></td>' \
        f'<td class="{kind}">{_text(row.trial.word)}</td>' \
        f'<td>{_text(row.commit.subject)}</td><td class="said">{lines}</td></tr>'


def _is_odd(case: str, table: Table) -> bool:
    """Does it fail anywhere, or change? What did not get to its end says nothing of the rest."""
    found = [states(row.trial).get(case, ABSENT) for row in table.rows]
    ended = {state for state, row in zip(found, table.rows)
             if _ended(row)}
    return any(map(is_bad, found)) or len(ended) > 1


def page(table: Table, letter: str) -> bytes:
    """All of it; `letter` is the text that goes to a list."""
    odd = [case for case in table.cases if _is_odd(case, table)]
    rest = [case for case in table.cases if case not in odd]
    title = f"{table.code.word}: {_text(table.what)}"
    legend = "".join(f'<td class="{kind}">{words}</td>' for kind, words in LEGEND)
    return "\n".join([
        '<!DOCTYPE html>', '<html lang="en">', '<head><meta charset="utf-8">',
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">',
        f"<title>{title}</title>", f"<style>{STYLE}</style></head>", f"<body><h1>{title}</h1>",
        "<ul>", *(f"<li>{_text(line)}</li>" for line in table.summary()), "</ul>",
        "<h2>Commits</h2>", "<table><tr><th></th><th>commit</th><th>verdict</th><th>subject</th>"
        "<th></th></tr>", *map(_commit, table.rows), "</table>",
        "<h2>Cases that changed, or fail</h2>", _grid(odd, table) if odd else "<p>None.</p>",
        f"<p>A frame is around what is not as on the last commit before that ran it.</p>"
        f"<table><tr>{legend}</tr></table>",
        f"<details><summary>The other {len(rest)}, which pass or are skipped wherever they ran"
        "</summary>", _grid(rest, table), "</details>",
        "<h2>For the list</h2>", f"<pre>{html.escape(letter)}</pre>", "</body></html>",
        ""]).encode()
