# SPDX-License-Identifier: GPL-2.0
"""Empty build/. What was fetched stays in the cache below ~/.cache, and may be removed as well."""

from __future__ import annotations

import argparse
import shutil

from base.files import BUILD, cache
from base.locks import LOCK, build_lock
from base.outcome import Exit
from base.progress import Progress


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--cache", action="store_true", help="remove the fetched sources, too")


def main(args: argparse.Namespace) -> Exit:
    with build_lock("suite clean"), Progress(f"emptying {BUILD}"):
        # The lock itself stays: whoever waits for it has it open.
        for path in BUILD.iterdir():
            if path != LOCK:
                if path.is_dir() and not path.is_symlink():
                    shutil.rmtree(path)
                else:
                    path.unlink()
        if args.cache and cache().is_dir():
            shutil.rmtree(cache())
    return Exit.OK
