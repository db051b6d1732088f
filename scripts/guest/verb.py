# SPDX-License-Identifier: GPL-2.0
"""What those verbs have in common that build one kernel, boot it, and keep a verdict."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Callable, Sequence

from base.locks import build_lock
from base.outcome import Exit
from guest import arguments, job
from guest.requirements import Need, for_kernels, require
from guest.setup import Setup
from guest.verdict import Verdict
from series.worktree import Source, refuse_place

Work = Callable[[Source, Setup, Path], Verdict]  # the folder is that of the results


def add_arguments(parser: argparse.ArgumentParser) -> None:
    arguments.add_source(parser)
    arguments.add_fixes(parser)
    arguments.add_build(parser)
    arguments.add_boot(parser)
    arguments.add_verbose(parser)
    arguments.add_install(parser)


def run(args: argparse.Namespace, name: str, work: Work, needs: Sequence[Need] = (),
        results: str = "") -> Exit:
    """Do the work of the verb `name`, with its results in a folder of that name or another."""
    setup, source = arguments.setup(args), arguments.source(args)
    folder = job.results_folder(results or name, setup.arch, source)
    with build_lock(f"suite {name}"):
        def whole() -> Verdict:
            refuse_place()  # before anything is installed in vain
            require([*for_kernels(setup), *needs], not args.no_install)
            return work(source, setup, folder)
        return job.recorded(folder, whole)
