# SPDX-License-Identifier: GPL-2.0
"""Fetch or take a kernel, lay the series over it, build, boot, and print the verdict."""

from __future__ import annotations

import argparse

from base.outcome import Exit
from guest import job, verb

add_arguments = verb.add_arguments


def main(args: argparse.Namespace) -> Exit:
    return verb.run(args, "kunit", job.run, results=args.config + ("-fixes" if args.fixes else ""))
