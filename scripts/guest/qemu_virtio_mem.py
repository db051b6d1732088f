# SPDX-License-Identifier: GPL-2.0
"""Run the suites whose device is QEMU's own virtio-mem, resized from outside as they ask for."""

from __future__ import annotations

import argparse

from base.outcome import Exit
from guest import verb
from guest.resizer import qemu_virtio_mem
from guest.scenarios import SCENARIOS


def add_arguments(parser: argparse.ArgumentParser) -> None:
    about = "; ".join(f"{scenario.name}: {scenario.about}" for scenario in SCENARIOS)
    parser.add_argument("--scenario", action="append", default=[],
                        choices=[scenario.name for scenario in SCENARIOS],
                        help=f"only this one; may be given several times ({about})")
    verb.add_arguments(parser)


def main(args: argparse.Namespace) -> Exit:
    chosen = [scenario for scenario in SCENARIOS
              if not args.scenario or scenario.name in args.scenario]
    return verb.run(args, "qemu-virtio-mem", lambda source, setup, folder: qemu_virtio_mem(
        source, setup, folder, chosen))
