#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Lists the verbs, their variables and the exit codes."""

from __future__ import annotations

from options import VARIABLES
from verdict import Exit, run_verb

VERBS = (
    ("kunit", "fetch the kernel, apply the series, build, boot, print the verdict"),
    ("qemu-virtio-mem", "the same with QEMU's virtio-mem device, which is resized from outside"),
    ("coverage", "tell which lines and branches of the series the suites run"),
    ("leaks", "look for memory that is left over after the suites"),
    ("ci", "test each commit of RANGE= or mail of MBOX=, and say what each one changes"),
    ("bisect", "find the commit between GOOD= and BAD= of KDIR= that breaks a case"),
    ("check", "all that must hold before a change of this project lands"),
    ("prove-bisect", "bisect histories with a planted regression; takes half an hour"),
    ("tree", "print the path of a kernel tree with the series applied"),
    ("apply", "put the series into the tree KDIR= (by git am, if it is a git tree)"),
    ("bench", "time the suites against kunit.py's own example suite"),
    ("mutants", "break the feature in every small way, and see that a case notices"),
    ("clean", "remove build/; the fetched source stays in the user's cache"),
    ("help", "print this"),
)


def main() -> Exit:
    print("verbs:")
    for name, meaning in VERBS:
        print(f"  make {name:<15} {meaning}")
    print("variables:")
    for name, default, meaning in VARIABLES:
        print(f"  {name + '=' + default:<17} {meaning}")
    print("exit codes (make itself turns each failure into 2; of the verbs that boot,\n"
          "build/results/*/verdict.json keeps it):")
    for code in Exit:
        print(f"  {int(code):<4} {code.meaning}")
    return Exit.OK


if __name__ == "__main__":
    run_verb(main)
