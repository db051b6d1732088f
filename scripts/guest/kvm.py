# SPDX-License-Identifier: GPL-2.0
"""How QEMU is to run guests here: with KVM where that works, else emulated.

kunit.py always asks for KVM first. On some hosts /dev/kvm opens and creates
machines, and even runs QEMU's firmware, yet a kernel never prints a byte;
kunit.py then waits until its timeout. So guests are emulated until a kernel
has passed that way: that one is known to boot, and is tried with KVM, once.
The answer holds for as long as the host's kernel runs and QEMU is the same.
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
from typing import Any, Dict, List, Mapping

from base.files import BUILD, cache, digest, write
from base.process import child_env, spawn
from base.progress import Progress, say
from guest.setup import MACHINES

PATIENCE = 8.0  # seconds; a guest that works prints within one
FIRST_WORDS = b"Linux version"
SHIM = Path(__file__).resolve().parent / "qemu-shim"
KVM, EMULATED = "kvm", "tcg"


def environment(arch: str) -> Dict[str, str]:
    """The environment for kunit.py: PATH leads to the shim where KVM must be avoided."""
    env = child_env()
    if arch in MACHINES and accelerator(arch) == EMULATED:
        shim = BUILD / "bin" / f"qemu-system-{MACHINES[arch].qemu}"
        data = SHIM.read_bytes()
        if not shim.exists() or shim.read_bytes() != data:
            write(shim, data, 0o755)
        env["PATH"] = f"{shim.parent}:{env['PATH']}"
    return env


def qemu_arguments(arch: str) -> List[str]:
    """The same choice, for a QEMU that is started without kunit.py."""
    if accelerator(arch) == KVM:
        return ["-accel", "kvm", "-accel", "tcg,thread=single"]
    return ["-accel", "tcg,thread=single"]


def accelerator(arch: str) -> str:
    """KVM if it has been seen to boot a kernel here, else EMULATED."""
    return KVM if _known().get(_key(arch)) else EMULATED


def _memory() -> Path:
    return cache() / "kvm.json"


def _known() -> Dict[str, bool]:
    try:
        return dict(json.loads(_memory().read_text()))
    except (FileNotFoundError, ValueError):
        return {}


def _key(arch: str) -> str:
    """What the answer depends on; empty, if KVM cannot work."""
    binary = shutil.which(f"qemu-system-{MACHINES[arch].qemu}") if arch in MACHINES else None
    if not binary or platform.machine() != MACHINES[arch].linux \
            or not os.access("/dev/kvm", os.R_OK | os.W_OK):
        return ""
    boot = Path("/proc/sys/kernel/random/boot_id").read_text()
    return digest(boot.encode(), binary.encode(), str(os.stat(binary).st_mtime).encode())


def learn(arch: str, image: Path, qemu: Mapping[str, Any]) -> None:
    """Try KVM with a kernel that has just passed, if that is not known yet.

    `qemu` is kunit.py's own description of the guest.
    """
    key = _key(arch)
    if not key or key in _known():
        return
    works = _boots(image, qemu)
    write(_memory(), json.dumps({key: works}).encode())
    say("KVM boots a guest on this machine, and is used from now on" if works else
        "KVM does not boot a guest on this machine: QEMU goes on emulating the processor")


def _boots(image: Path, qemu: Mapping[str, Any]) -> bool:
    """Start the kernel with KVM alone, and wait for its first words."""
    command = [f"qemu-system-{qemu['qemu_arch']}", "-nodefaults", "-m", "1024", "-kernel",
               str(image), "-append",
               f"kunit.enable=0 panic=-1 {qemu['kernel_command_line']}", "-no-reboot",
               "-nographic", "-accel", "kvm", "-serial", str(qemu["serial"]),
               *qemu["extra_qemu_params"]]
    said = b""
    deadline = time.monotonic() + PATIENCE
    with Progress("trying KVM") as progress, selectors.DefaultSelector() as waiting, \
            spawn(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=False) as guest:
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
