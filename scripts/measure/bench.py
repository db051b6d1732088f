# SPDX-License-Identifier: GPL-2.0
"""Time what a developer waits for, against kunit.py's own example suite.

All in one run, on one kernel, so that the ratios mean something on any
machine. The targets are for reading: no figure fails the benchmark.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import json
import os
import shutil
import time
from typing import Callable, Dict, Iterator, List, Tuple

from base.files import BUILD, fresh, write
from base.locks import build_lock
from base.outcome import Exit, Fail
from base.progress import result, say
from base.project import MM, VIRTIO
from guest import arguments
from guest import boot as guests
from guest import build as kernels
from guest.requirements import for_kernels, require
from guest.setup import Setup
from series.worktree import Source, prepare

BOOTS = 5
EXAMPLE, EXAMPLE_OPTION = "example*", "CONFIG_KUNIT_EXAMPLE_TEST=y"
# A file that half of mm has nothing to do with: one object, one link.
CHANGED = "mm/page_isolation.c"


@dataclasses.dataclass(frozen=True)
class Row:
    name: str
    seconds: float
    target: str


def timed(work: Callable[[], object]) -> float:
    begin = time.monotonic()
    work()
    return time.monotonic() - begin


@contextlib.contextmanager
def ccache(setting: str) -> Iterator[None]:
    os.environ[setting] = "1"
    try:
        yield
    finally:
        del os.environ[setting]


def boot(kernel: kernels.Kernel, *arguments_of_kunit: str) -> None:
    """A boot whose time counts only if it ends well."""
    verdict = guests.boot(kernel, *arguments_of_kunit)
    if verdict.code is not Exit.OK:
        raise Fail(verdict.code, f"a boot with {' '.join(arguments_of_kunit) or 'all suites'} "
                   f"ended with {verdict.line()}", "`suite kunit` passes first; see what it says")


def once(source: Source, setup: Setup) -> kernels.Kernel:
    """What `suite kunit` does, with kunit.py's examples built in and without the print-out."""
    plain = kernels.describe(prepare(source).path, setup)
    kernel = plain.extended("bench", (EXAMPLE_OPTION,))
    kernels.build(kernel)
    boot(kernel)
    return kernel


def changed_file(source: Source, setup: Setup, kernel: kernels.Kernel) -> float:
    """From a change of one file to the verdict on it.

    The file is only touched, so that there is nothing to be put back; ccache,
    which knows better, is to compile it as if it were new.
    """
    (kernel.tree / CHANGED).touch()
    with ccache("CCACHE_RECACHE"):
        return timed(lambda: once(source, setup))


def cold(source: Source, setup: Setup) -> float:
    """From a tree to a verdict with an empty build folder, and without ccache."""
    out = fresh(BUILD / "out" / "bench-cold")
    try:
        with ccache("CCACHE_DISABLE"):
            return timed(lambda: once(source, dataclasses.replace(setup, build_dir=out)))
    finally:
        shutil.rmtree(out)


def measure(source: Source, setup: Setup, with_cold: bool) -> Tuple[float, List[Row]]:
    kernel = once(source, setup)
    boots: Dict[str, List[float]] = {EXAMPLE: [], MM: [], VIRTIO: []}
    for number in range(BOOTS):  # in turn, so that a busy moment hits all
        say(f"boot {number + 1} of {BOOTS}")
        for suites, found in boots.items():
            begin = time.monotonic()
            boot(kernel, suites)
            found.append(time.monotonic() - begin)
    # Nothing makes a boot faster than it is, but much makes it slower.
    unit, mm, virtio = (min(found) for found in boots.values())
    say("the other runs")
    rows = [Row("boot and example suite", unit, "1"),
            Row("mm suites add", mm - unit, "0.5 s"),
            Row("virtio suites add", virtio - unit, "1 s"),
            Row("guest with 512 MiB", timed(lambda: boot(kernel, "--qemu_args=-m 512")), "passes"),
            Row("nothing changed", timed(lambda: once(source, setup)), "3 s"),
            Row("one mm file changed", changed_file(source, setup, kernel), "10 s")]
    if with_cold:
        rows.append(Row("cold build", cold(source, setup), "166 s"))
    return unit, rows


def add_arguments(parser: argparse.ArgumentParser) -> None:
    arguments.add_source(parser)
    arguments.add_build(parser, build_dir=False)
    parser.add_argument("--cold", action="store_true",
                        help="time a build from nothing and without ccache, too")
    arguments.add_install(parser)


def main(args: argparse.Namespace) -> Exit:
    setup = arguments.setup(args)
    with build_lock("suite bench"):
        require(for_kernels(setup), not args.no_install)
        unit, rows = measure(arguments.source(args), setup, args.cold)
    result(f"{'':<24} {'seconds':>8} {'ratio':>7}  target")
    for row in rows:
        result(f"{row.name:<24} {row.seconds:8.2f} {row.seconds / unit:7.2f}  {row.target}")
    results = BUILD / "results" / "bench.json"
    write(results, json.dumps([{**dataclasses.asdict(row), "ratio": round(row.seconds / unit, 3)}
                               for row in rows], indent=2).encode() + b"\n")
    result(f"see {os.path.relpath(results)}")
    return Exit.OK
