# SPDX-License-Identifier: GPL-2.0
"""The matrix as a page of HTML: one file, without scripts; rows of machines by suites."""

from __future__ import annotations

import html
from typing import Dict, List, Sequence

from base.outcome import Exit
from matrix.result import Result, Tally, summary
from matrix.rows import MEMORY

# A cell has a word or a number as well as a colour: not everybody sees the colours.
COLOURS = {"pass": "#d8f0d8", "some": "#e9f2cf", "skip": "#fff0b0", "fail": "#f5b5b0",
           "none": "#eeeeee"}
LEGEND = (("pass", "all of so many cases passed"), ("some", "passed; of these were skipped"),
          ("skip", "all were skipped"), ("fail", "so many failed"), ("none", "did not run"))
STYLE = ("body{font:14px/1.4 system-ui,sans-serif;margin:2em;color:#222}"
         "table{border-collapse:collapse}td,th{padding:.2em .5em;text-align:left;"
         "vertical-align:top;border:1px solid #ddd}div{overflow-x:auto}"
         ".grid{font-size:13px}.grid td{text-align:right;white-space:nowrap}"
         ".grid th{font-weight:normal}.grid .row{position:sticky;left:0;background:#fff;"
         "min-width:13em}.grid .suite{writing-mode:vertical-rl;transform:rotate(180deg);"
         "white-space:nowrap}small{color:#666}code{font:12px ui-monospace,monospace}"
         "pre{white-space:pre-wrap;background:#f6f6f6;padding:.7em;font-size:12px}"
         + "".join(f".{name}{{background:{colour}}}" for name, colour in COLOURS.items()))
POLICY = "default-src 'none'; style-src 'unsafe-inline'"


def _text(text: str) -> str:
    return html.escape(text.encode(errors="replace").decode())


def _cell(suite: Tally) -> str:
    failed, skipped = len(suite.failed), len(suite.skipped)
    kind = "fail" if failed else "pass" if not skipped else "some" if suite.passed else "skip"
    words = f"{failed} failed" if failed else f"{suite.passed}<small>+{skipped}</small>" \
        if skipped else str(suite.passed)
    said = [f"{suite.name}: {suite.passed} passed, {suite.seconds:.2f} s",
            *(f"failed {case}" for case in suite.failed),
            *(f"skipped {case}: {why}" for case, why in suite.skipped.items())]
    title = _text("\n".join(said))
    return f'<td class="{kind}" title="{title}">{words}</td>'


def _row(result: Result, suites: Sequence[str]) -> str:
    row, ran = result.row, {suite.name: suite for suite in result.suites}
    passed, failed, skipped = result.counts
    kind = "pass" if result.code is Exit.OK else "none" if result.code is Exit.MISSING else "fail"
    more = " ".join(filter(None, (row.kconfig, row.args, row.qemu)))
    cells = "".join(_cell(ran[name]) if name in ran else '<td class="none">-</td>'
                    for name in suites)
    return (f'<tr><th class="row"><b>{_text(row.name)}</b><br><small>{_text(", ".join(row.machine))}'
            f"{'<br>' if more else ''}{_text(more)}</small></th>"
            f'<td class="{kind}">{_text(result.code.word)}</td><td>{passed}</td><td>{failed}</td>'
            f"<td>{skipped}</td><td>{result.built:.0f}</td><td>{result.booted:.1f}</td>"
            f"<td>{result.guest:.1f}</td><td>{result.least or ''}</td>{cells}</tr>")


def _grid(results: Sequence[Result]) -> str:
    suites = list(dict.fromkeys(suite.name for result in results for suite in result.suites))
    heads = "".join(f"<th>{words}</th>" for words in (
        "verdict", "passed", "failed", "skipped", "build, s", "boot, s", "guest's clock, s",
        "least memory, MiB"))
    names = "".join(f'<th><span class="suite">{_text(name)}</span></th>' for name in suites)
    rows = "\n".join(_row(result, suites) for result in results)
    return (f'<div><table class="grid"><tr><th class="row">row</th>{heads}{names}</tr>\n'
            f"{rows}</table></div>")


def _trouble(result: Result) -> str:
    parts = [f"<h3>{_text(result.row.name)}: {_text(result.code.word)}</h3>"]
    if result.reason:
        parts.append(f"<pre>{_text(result.reason)}</pre>")
    parts += [f"<p><code>{_text(suite.name)}.{_text(case)}</code></p><pre>{_text(said)}</pre>"
              for suite in result.suites for case, said in suite.failed.items()]
    return "".join(parts)


def _skips(results: Sequence[Result]) -> str:
    """Each reason, with how many cases of which rows were skipped for it."""
    reasons: Dict[str, Dict[str, List[str]]] = {}
    for result in results:
        for suite in result.suites:
            for case, why in suite.skipped.items():
                reasons.setdefault(why, {}).setdefault(result.row.name, []).append(
                    f"{suite.name}.{case}")
    rows = "".join(
        f"<tr><td>{_text(why)}</td><td>" + ", ".join(
            f'<span title="{_text(chr(10).join(cases))}">{_text(row)} ({len(cases)})</span>'
            for row, cases in where.items()) + "</td></tr>" for why, where in reasons.items())
    return f"<table><tr><th>reason</th><th>rows, and cases of each</th></tr>{rows}</table>"


def page(results: Sequence[Result]) -> str:
    bad = [result for result in results if result.code is not Exit.OK]
    legend = "".join(f'<td class="{kind}">{words}</td>' for kind, words in LEGEND)
    return "\n".join([
        "<!DOCTYPE html>", '<html lang="en">', '<head><meta charset="utf-8">',
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">',
        f"<title>{_text(summary(results))}</title>", f"<style>{STYLE}</style></head>",
        f"<body><h1>The suites on many machines</h1><p>{_text(summary(results))}</p>",
        f"<p>What a row does not name is as usual: {MEMORY} MiB, one CPU, no more options. Point "
        "at a cell to see what was skipped, and why.</p>",
        f"<table><tr>{legend}</tr></table>", _grid(results),
        "<h2>What did not pass</h2>", *(map(_trouble, bad) if bad else ["<p>Nothing.</p>"]),
        "<h2>What was skipped, and why</h2>", _skips(results), "</body></html>", ""])
