# SPDX-License-Identifier: GPL-2.0
"""Finds out whether KVM really boots a guest here.

On some hosts /dev/kvm opens and creates machines, yet a guest never prints
a byte; kunit.py then waits until its timeout. The answer of one short boot
is remembered for as long as the host's kernel runs and QEMU is the same.
"""

from __future__ import annotations

import json
import os
import platform
import selectors
import shutil
import subprocess
import time
from pathlib import Path
from typing import Dict

from host import BUILD, REPO, cache, child_env, digest, spawn, write
from kernel import Kernel
from progress import Progress, say

PATIENCE = 8.0  # seconds; a guest that works prints within one
FIRST_WORDS = b"Linux version"
# Guest architectures that a host's KVM can run.
NATIVE = {"x86_64": ("x86_64", "i386"), "aarch64": ("arm64",), "s390x": ("s390",),
          "ppc64le": ("powerpc", "powerpcle"), "riscv64": ("riscv",)}


def environment(kernel: Kernel) -> Dict[str, str]:
    """The environment for kunit.py: PATH leads to the shim where KVM must be avoided."""
    env = child_env()
    if kvm_hangs(kernel):
        shim = BUILD / "bin" / f"qemu-system-{kernel.qemu['qemu_arch']}"
        write(shim, (REPO / "scripts/qemu-shim").read_bytes(), 0o755)
        env["PATH"] = f"{shim.parent}:{env['PATH']}"
    return env


def kvm_hangs(kernel: Kernel) -> bool:
    binary = shutil.which(f"qemu-system-{kernel.qemu['qemu_arch']}")
    if kernel.options.arch not in NATIVE.get(platform.machine(), ()) or not binary \
            or not os.access("/dev/kvm", os.R_OK | os.W_OK):
        return False  # QEMU itself passes on to TCG
    boot = Path("/proc/sys/kernel/random/boot_id").read_text()
    key = digest(boot.encode(), binary.encode(), str(os.stat(binary).st_mtime).encode())
    memory = cache() / "kvm.json"
    known = json.loads(memory.read_text()) if memory.exists() else {}
    if key not in known:
        known = {key: _boots(kernel, binary)}
        write(memory, json.dumps(known).encode())
        if not known[key]:
            say("KVM does not boot a guest on this machine: QEMU emulates the processor instead")
    return not known[key]


def _boots(kernel: Kernel, binary: str) -> bool:
    """Start the kernel with KVM alone, and wait for its first words."""
    command = [binary, "-nodefaults", "-m", "1024", "-kernel", str(kernel.image), "-append",
               f"kunit.enable=0 panic=-1 {kernel.qemu['kernel_command_line']}", "-no-reboot",
               "-nographic", "-accel", "kvm", "-serial", str(kernel.qemu["serial"]),
               *kernel.qemu["extra_qemu_params"]]
    said = b""
    deadline = time.monotonic() + PATIENCE
    with Progress("trying KVM") as progress, selectors.DefaultSelector() as waiting, \
            spawn(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=False,
                  errors=None) as guest:
        assert guest.stdout
        output = guest.stdout.fileno()
        waiting.register(output, selectors.EVENT_READ)
        while FIRST_WORDS not in said and time.monotonic() < deadline:
            progress.update(0)
            if waiting.select(0.2):
                piece = os.read(output, 4096)
                if not piece:
                    break
                said += piece
        guest.kill()  # one that spins in KVM may not heed anything less
    return FIRST_WORDS in said
