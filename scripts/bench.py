#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Times what a developer waits for, against kunit.py's own example suite.

All in one run, on one kernel, so that the ratios mean something on any
machine. The targets are for reading: no figure fails the benchmark.
"""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import time
from pathlib import Path
from typing import Callable, Dict, List, Tuple

import kernel as kernels
import kunit
import tools
from host import BUILD, fresh, write
from options import Options, from_environment
from progress import say
from tree import build_lock, prepare
from verdict import Exit, Fail, run_verb

BOOTS = 5
EXAMPLE, EXAMPLE_OPTION = "example*", "CONFIG_KUNIT_EXAMPLE_TEST=y"
MM, VIRTIO = "offline_skippable*", "virtio_mem*"
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


def boot(kernel: kernels.Kernel, *arguments: str) -> None:
    """A boot whose time counts only if it ends well."""
    verdict = kunit.boot(kernel, *arguments, quiet=True)
    if verdict.code is not Exit.OK:
        raise Fail(verdict.code, f"a boot with {' '.join(arguments) or 'all suites'} ended with "
                   f"{verdict.line()}", "make kunit passes first; see what it says")


def once(options: Options) -> kernels.Kernel:
    """What `make kunit` does, with kunit.py's examples built in and without the print-out."""
    plain = kernels.describe(prepare(options), options)
    kernel = dataclasses.replace(plain, out=plain.out.with_name(f"{plain.out.name}-bench"),
                                 more=(*plain.more, EXAMPLE_OPTION))
    kernels.build(kernel)
    boot(kernel)
    return kernel


def changed_file(options: Options, kernel: kernels.Kernel) -> float:
    """From a change of one file to the verdict on it."""
    path = kernel.tree / CHANGED
    before = path.read_bytes()
    try:
        write(path, before + b"/* timed */\n")
        return timed(lambda: once(options))
    finally:
        write(path, before)


def cold(options: Options) -> float:
    """From a tree to a verdict with an empty build folder, and without ccache."""
    out = BUILD / "out" / "cold"
    made = fresh(out.with_name(f"{out.name}-bench"))
    os.environ["CCACHE_DISABLE"] = "1"
    try:
        return timed(lambda: once(dataclasses.replace(options, out=out)))
    finally:
        del os.environ["CCACHE_DISABLE"]
        shutil.rmtree(made)


def measure(options: Options) -> Tuple[float, List[Row]]:
    kernel = once(options)
    boots: Dict[str, List[float]] = {EXAMPLE: [], MM: [], VIRTIO: []}
    for number in range(BOOTS):  # in turn, so that a busy moment hits all
        say(f"boot {number + 1} of {BOOTS}")
        for suites, found in boots.items():
            found.append(timed(lambda suites=suites: boot(kernel, suites)))  # type: ignore[misc]
    # Nothing makes a boot faster than it is, but much makes it slower.
    unit, mm, virtio = (min(found) for found in boots.values())
    say("the other runs")
    rows = [Row("boot and example suite", unit, "1"),
            Row("mm suites add", mm - unit, "0.5 s"),
            Row("virtio suites add", virtio - unit, "1 s"),
            Row("guest with 512 MiB", timed(lambda: boot(kernel, "--qemu_args=-m 512")), "passes"),
            Row("nothing changed", timed(lambda: once(options)), "3 s"),
            Row("one mm file changed", changed_file(options, kernel), "10 s")]
    kernels.build(kernel)  # the file is as it was, and so is the image
    if options.cold:
        rows.append(Row("cold build", cold(options), "166 s"))
    return unit, rows


def main() -> Exit:
    options = dataclasses.replace(from_environment(os.environ), kunit_args=[])
    with build_lock("make bench"):
        tools.require(options)
        unit, rows = measure(options)
    print(f"{'':<24} {'seconds':>8} {'ratio':>7}  target")
    for row in rows:
        print(f"{row.name:<24} {row.seconds:8.2f} {row.seconds / unit:7.2f}  {row.target}")
    results = BUILD / "results" / "bench.json"
    write(results, json.dumps([{**dataclasses.asdict(row), "ratio": round(row.seconds / unit, 3)}
                               for row in rows], indent=2).encode() + b"\n")
    print(f"see {os.path.relpath(results)}")
    return Exit.OK


if __name__ == "__main__":
    run_verb(main)
