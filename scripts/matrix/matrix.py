# SPDX-License-Identifier: GPL-2.0
"""Run the suites on many machines: kernels, compilers, options, CPUs and memory.

Each row has a kernel, which is built once, and boots; its verdict is that of
`suite kunit`. Rows whose compiler or QEMU is not installed are left out, and
named. Results are kept as they come: cut short, the same command goes on from
there. build/results/matrix/ has them as JSON and as a page, and the console
of each row. With --least-memory, rows that pass are booted again with less
memory, as long as all cases that passed still do.
"""

from __future__ import annotations

import argparse
import dataclasses
import os
from typing import Dict, List

from base.files import write
from base.locks import build_lock
from base.outcome import Exit
from base.progress import result, say
from guest import arguments
from guest.requirements import for_kernels, require
from guest.setup import Setup
from matrix.campaign import FOLDER, Matrix, lacking
from matrix.memory import least
from matrix.page import page
from matrix.result import Result, as_json, exit_code, summary
from matrix.rows import ROWS, Row, matching


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--rows", action="append", metavar="PATTERN",
                        help="which rows: `*` in it stands for anything, as in 'numa-*'; may be "
                        "given several times (default: all)")
    parser.add_argument("--list", action="store_true", help="print the rows, and run none")
    parser.add_argument("--again", action="store_true",
                        help="run rows again that have a result already")
    parser.add_argument("--least-memory", action="store_true",
                        help="find the least memory of the guest with which a row passes")
    arguments.add_install(parser)


def main(args: argparse.Namespace) -> Exit:
    wanted = matching(args.rows or ["*"])
    if args.list:
        for row in wanted:
            result(row.line())
        return Exit.OK
    with build_lock("suite matrix"):
        require(for_kernels(Setup()), not args.no_install)
        here = [row for row in wanted if _is_here(row)]
        matrix = Matrix()
        found: Dict[Row, Result] = {}

        def tell(one: Result) -> None:
            found[one.row] = one
            result(one.line())
            _save(matrix, found)
        results = matrix.run(here, args.again, tell)
        if args.least_memory:
            for one in results:
                least(one, lambda row: matrix.run([row])[0])
            _save(matrix, found)
    for line in (line for one in results for line in one.complaint()):
        result(line)
    result(f"{summary(results)}; see {os.path.relpath(FOLDER / 'index.html')}")
    return exit_code(results)


def _is_here(row: Row) -> bool:
    names = lacking(row)
    if names:
        say(f"{row.name} is left out: {', '.join(names)} is not installed")
    return not names


def _save(matrix: Matrix, found: Dict[Row, Result]) -> None:
    """All that is known, also of rows that were not asked for this time."""
    told: List[Result] = [
        dataclasses.replace(one, least=least(one, matrix.known))
        for row in ROWS for one in [found.get(row) or matrix.known(row)] if one]
    write(FOLDER / "report.json", as_json(told))
    write(FOLDER / "index.html", page(told).encode())
