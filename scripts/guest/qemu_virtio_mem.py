# SPDX-License-Identifier: GPL-2.0
"""Run the suites whose device is QEMU's own virtio-mem, resized from outside as they ask for."""

from __future__ import annotations

import argparse

from base.outcome import Exit
from guest import verb
from guest.resizer import qemu_virtio_mem

add_arguments = verb.add_arguments


def main(args: argparse.Namespace) -> Exit:
    return verb.run(args, "qemu-virtio-mem", qemu_virtio_mem)
