# SPDX-License-Identifier: GPL-2.0
"""The table of commits for programs that show it: JSON, JUnit's XML, Markdown, and b4's JSON."""

from __future__ import annotations

import json
import re
import xml.etree.ElementTree as xml
from typing import Any, Dict, Optional

from base.outcome import Exit
from base.project import NAME
from commits.table import Failure, Judged, Row, Table, safe
from guest.boot import printable

SPECIAL = re.compile(r"([\\`*_{}\[\]<>#+!|~@&$])")  # in Markdown
# GitHub drops a summary of more than 1 MiB, all of it
# (docs.github.com: "Workflow commands", on step isolation and limits).
MOST_MARKDOWN = 1000 * 1000


def as_json(table: Table) -> bytes:
    code = table.code
    culprit, seen = table.culprit, table.seen
    return json.dumps({
        "verdict": code.word, "code": int(code), "complete": table.complete,
        "stopped": table.stopped, "tested": table.what, "summary": table.summary(),
        "first_bad": {"commit": culprit[0].commit.id, "case": culprit[1].case} if culprit
        else None,
        "boots": {"failed": seen.failed, "of": seen.boots, "passed_before": seen.passed,
                  "of_before": seen.before, "error": seen.error} if seen else None,
        "base": _row(table, table.rows[0]) if table.rows else None,
        "commits": [_row(table, row) for row in table.rows[1:]]}, indent=2).encode() + b"\n"


def _row(table: Table, row: Row) -> Dict[str, Any]:
    return {"commit": row.commit.id, "subject": row.commit.subject,
            "author": row.commit.author, "verdict": row.trial.word,
            "code": int(row.trial.code), "reason": row.trial.reason,
            "counts": row.trial.counts, "judged": row.judged,
            "failures": [_failure(table, failure) for failure in row.failures],
            "changed": [{"case": case, "before": before, "after": after}
                        for case, before, after in row.changed],
            "seconds": round(row.trial.seconds, 2), "known": row.trial.known,
            "folder": row.folder.name}


def _failure(table: Table, failure: Failure) -> Dict[str, Any]:
    return {"case": failure.case, "state": failure.state, "judged": failure.judged.value,
            "text": failure.text,
            "passed_on": table.rows[failure.passed].commit.id if failure.passed >= 0 else ""}


def _plain(text: str) -> str:
    """Text that Markdown takes as it is: whoever wrote the commit wrote it."""
    return SPECIAL.sub(r"\\\1", safe(text))


def as_markdown(table: Table) -> bytes:
    head = [f"**{NAME}: {table.code.word}**", "", *(f"- {_plain(line)}"
                                                  for line in table.summary()),
            "", "| | commit | verdict | seconds | |", "|---|---|---|---|---|"]
    rows = [_markdown_row(row) for row in table.rows]
    size, kept = sum(len(line.encode()) for line in head), 0
    for line in rows:
        size += len(line.encode()) + 1
        if size > MOST_MARKDOWN:
            break
        kept += 1
    left_out = ["", f"and {len(rows) - kept} more commits"] if kept < len(rows) else []
    return "\n".join([*head, *rows[:kept], *left_out, ""]).encode()


def _markdown_row(row: Row) -> str:
    cells = [row.place, row.commit.short, row.trial.word, f"{row.trial.seconds:.1f}",
             "<br>".join(map(_plain, [row.commit.subject, *row.details()]))]
    return f"| {' | '.join(cells)} |"


def as_junit(table: Table) -> bytes:
    """A case for each commit, with what GitLab reads of it.

    That is, by docs.gitlab.com/ci/testing/unit_test_reports: class name, name and time of a
    case, and the text within failure, error, skipped and system-out; no attribute of these. Of
    cases with the same name it takes the first.
    """
    root = xml.Element("testsuites")
    suite = xml.SubElement(root, "testsuite", name=NAME)
    for row in table.rows:
        case = xml.SubElement(suite, "testcase", classname=NAME, name=safe(
            f"{row.commit.short or row.place} {row.commit.subject}") if row.number else "base",
            time=f"{row.trial.seconds:.2f}")
        text = printable("\n".join([row.title, *row.details()]))
        if not row.number:  # it is not what is judged
            xml.SubElement(case, "system-out").text = printable("\n".join(
                [*table.summary(), *row.details()]))
        elif row.trial.code is Exit.NO_FEATURE:
            xml.SubElement(case, "skipped", message=printable(row.trial.reason)).text = text
        elif row.trial.code is not Exit.OK:
            message = f"{row.trial.line()}{f': {row.judged}' if row.judged else ''}"
            xml.SubElement(case, "failure", type=row.trial.word,
                           message=safe(message)).text = text
        elif row.details():
            xml.SubElement(case, "system-out").text = text
    if table.stopped:
        case = xml.SubElement(suite, "testcase", classname=NAME, name="infrastructure")
        xml.SubElement(case, "error", type="infrastructure",
                       message=safe(table.stopped)).text = printable(table.stopped)
    for count, found in (("tests", "testcase"), ("failures", "testcase/failure"),
                         ("errors", "testcase/error"), ("skipped", "testcase/skipped")):
        suite.set(count, str(len(suite.findall(found))))
    xml.indent(root)
    return bytes(xml.tostring(root, encoding="utf-8", xml_declaration=True)) + b"\n"


def as_b4(table: Table, subject: Optional[str] = None) -> str:
    """What b4's review-series-check-cmd prints, and with a subject, review-perpatch-check-cmd.

    The form is that of "Writing an external check script" in b4's docs/maintainer/review.rst
    (0.15): a JSON array of results, each with `tool`, `status` (pass, warn or fail), and the
    optional `summary`, of one line, and `details`.
    """
    rows = [row for row in table.rows[1:] if subject in (None, row.commit.subject)]
    if not rows:
        return json.dumps([{"tool": NAME, "status": "warn",
                            "summary": "no commit of the series has this subject"}]) + "\n"
    status = max((_b4_status(row) for row in rows), key=("pass", "warn", "fail").index)
    words = list(dict.fromkeys(f"{row.trial.word}{f', {row.judged}' if row.judged else ''}"
                               for row in rows if _b4_status(row) == status))
    details = [*table.summary(), ""]
    for row in rows:
        details += [f"{row.place} {row.title}: {row.trial.word}",
                    *(f"  {line}" for line in row.details())]
    return json.dumps([{"tool": NAME, "status": status, "summary": "; ".join(words),
                        "details": "\n".join(details)}], indent=2) + "\n"


def _b4_status(row: Row) -> str:
    if row.trial.code is Exit.OK:
        return "pass"
    # What may be somebody else's doing: a patch may be meant for another base.
    other = row.trial.code is Exit.PATCH or \
        all(failure.judged is not Judged.BROKEN for failure in row.failures)
    return "warn" if other else "fail"
