# SPDX-License-Identifier: GPL-2.0
"""What this project is about, in one place: kernel, feature, suites, kunitconfigs."""

from __future__ import annotations

import sys

NAME = "offline-skippable"
LEAST_PYTHON = (3, 11)
assert sys.version_info >= LEAST_PYTHON  # `suite` says so in words

# What is built where nobody asks for anything else.
KERNEL, ARCH, CONFIG = "7.3", "x86_64", "trimmed"

# Where the feature is, and how a kernel is seen to have it.
FEATURE_FILE, FEATURE = "include/linux/page-flags.h", "PG_offline_skippable"
# The Kconfig entry that the series adds: a tree that has it has all of the series.
MARK_FILE, MARK = "lib/Kconfig.debug", "config OFFLINE_SKIPPABLE_KUNIT_TEST\n"
# Folders of this repository that are the kernel's, and that the series adds to.
KERNEL_FOLDERS = ("Documentation", "drivers", "include", "lib", "mm", "tools")

# The suites, as kunit.py's filters name them.
MM, VIRTIO, QEMU_VIRTIO = "offline_skippable*", "virtio_mem*", "virtio_mem_qemu*"
MM_SUITES = (MM, "memory_hotplug*")
# A kernel that is meant to have all fixes is booted with this.
FAIL_KNOWN_BUGS = "kunit.fail_known_bugs=1"
# Their kunitconfigs, and what User Mode Linux has instead; our fragments beside kunit.py's own.
KUNITCONFIGS = ("mm/tests/.kunitconfig", "drivers/virtio/tests/.kunitconfig")
UML, UML_KUNITCONFIGS = "um", ("mm/tests/uml/.kunitconfig",)
FRAGMENT = "tools/testing/kunit/configs/offline_skippable_{}.config"
# What QEMU's device takes, and what an architecture needs for it beside that.
QEMU_FRAGMENT = "tools/testing/kunit/configs/virtio_mem_qemu.config"
QEMU_FRAGMENTS = {arch: (QEMU_FRAGMENT, f"tools/testing/kunit/configs/virtio_mem_qemu_{arch}.config")
                  for arch in ("arm64", "x86_64")}
# For each --config: fragments that come before the kunitconfigs, and those that
# come after them and override them. Some are for an architecture alone.
FOR_ARCH_ALONE = {FRAGMENT.format(f"trimmed_{arch}"): arch
                  for arch in ("arm64", "powerpcle", "riscv", "s390", "x86_64")}
TRIMMED = (FRAGMENT.format("trimmed"), *FOR_ARCH_ALONE)
CONFIGS = {"trimmed": (TRIMMED, ()), "debug": (TRIMMED, (FRAGMENT.format("debug"),)),
           "plain": ((), ())}

HOW_TO_RUN = "./tools/testing/kunit/kunit.py run --arch={arch} --kunitconfig=mm/tests"
