# SPDX-License-Identifier: GPL-2.0
"""The program: its verbs, their options, and how they end."""

from __future__ import annotations

import argparse
import importlib
import shlex
import sys
from dataclasses import dataclass
from typing import Dict, List, NoReturn, Sequence

from base.outcome import Exit, Fail, run_verb


@dataclass(frozen=True)
class Verb:
    module: str  # which has add_arguments() and main()
    help: str


# In the order of the help. A module is only imported if it is asked for.
VERBS: Dict[str, Verb] = {
    "kunit": Verb("guest.kunit", "fetch the kernel, apply the series, build, boot, verdict"),
    "check": Verb("check.check", "all that must hold before a change of this project lands"),
    "ci": Verb("commits.ci", "test each commit of a range, or each mail of a series"),
    "bisect": Verb("commits.bisect", "find the commit that breaks a case, and make sure of it"),
    "bisect-step": Verb("commits.bisect_step", "one step of `git bisect run`"),
    "qemu-virtio-mem": Verb("guest.qemu_virtio_mem",
                            "virtio-mem with QEMU's device, resized from outside"),
    "coverage": Verb("measure.coverage", "which lines and branches of the series run"),
    "leaks": Verb("measure.leaks", "look for memory that is left over after the suites"),
    "mutants": Verb("mutants.mutants",
                    "break the feature in every small way, and see that a case notices"),
    "history": Verb("history.history",
                    "put bugs that Linux really had back, and see that a case notices"),
    "races": Verb("races.races", "have others step in while memory goes offline, in every order"),
    "matrix": Verb("matrix.matrix", "run the suites on many machines: a row for each"),
    "soak": Verb("matrix.soak", "boot in shuffled order, again and again, to find what is flaky"),
    "bench": Verb("measure.bench", "time what a developer waits for"),
    "prove-bisect": Verb("commits.prove_bisect",
                         "bisect histories with a planted regression; takes half an hour"),
    "fresh": Verb("check.fresh", "run the README's commands on bare Debian systems"),
    "tree": Verb("series.tree", "make a kernel tree with the series, and print its path"),
    "apply": Verb("series.apply", "put the series into a kernel tree of yours"),
    "series": Verb("check.series", "write the series as mails, with a cover letter"),
    "properties": Verb("check.properties", "what the cases hold, as Documentation/ has it"),
    "completion": Verb("completion", "print what makes a shell complete verbs and options"),
    "clean": Verb("series.clean", "empty build/; the cache of fetched sources stays"),
}
# The variables that people know from the kernel's Makefile, for `make VERB`.
VARIABLES: Dict[str, Dict[str, str]] = {
    "kunit": {"KDIR": "kdir", "KERNEL": "kernel", "ARCH": "arch", "LLVM": "llvm",
              "CROSS_COMPILE": "cross_compile", "CONFIG": "config", "O": "build_dir"},
    "check": {},
    "clean": {},
    "help": {},
}
EXIT_CODES = "exit codes:\n" + "\n".join(
    f"  {int(code):<4} {code.word:<15} {code.meaning}" for code in Exit)


class Parser(argparse.ArgumentParser):
    """argparse, with errors as all of ours are."""

    def error(self, message: str) -> NoReturn:
        raise Fail(Exit.BAD_INPUT, message, f"{self.prog} --help tells what there is")


def parser_of(verb: str) -> argparse.ArgumentParser:
    module = importlib.import_module(VERBS[verb].module)
    parser = Parser(prog=f"suite {verb}", description=module.__doc__, allow_abbrev=False,
                    formatter_class=argparse.RawDescriptionHelpFormatter)
    module.add_arguments(parser)
    return parser


def usage() -> str:
    return "\n".join([
        "usage: ./suite VERB [OPTIONS]      ./suite VERB --help tells the options of a verb",
        "", "verbs:", *(f"  {name:<16} {verb.help}" for name, verb in VERBS.items()), "",
        "`make kunit`, `make check`, `make clean` and `make help` do the same; variables of",
        f"`make kunit`: {' '.join(VARIABLES['kunit'])} KUNIT_ARGS (more options)"
        " INSTALL=no", "", EXIT_CODES])


def from_make(words: Sequence[str]) -> List[str]:
    """Options of a verb from what was given to make: its name, and NAME=VALUE pairs."""
    verb, *pairs = words
    known = VARIABLES[verb]
    options = [verb]
    for pair in pairs:
        name, value = pair.split("=", 1)
        if name in known:
            options += [f"--{known[name]}={value}"] if value else []
        elif name == "INSTALL" and verb in ("kunit", "check") and value in ("yes", "no", ""):
            options += ["--no-install"] if value == "no" else []
        elif name == "KUNIT_ARGS" and verb == "kunit":
            try:
                options += shlex.split(value)
            except ValueError as error:
                raise Fail(Exit.BAD_INPUT, f"KUNIT_ARGS cannot be read: {error}",
                           "close the quote") from None
        else:
            takes = [*known, *(["KUNIT_ARGS"] if verb == "kunit" else []),
                     *(["INSTALL"] if verb in ("kunit", "check") else [])]
            raise Fail(Exit.BAD_INPUT, f"`make {verb}` has no {name}={value}",
                       f"it takes {', '.join(f'{name}=' for name in takes) or 'no variables'}; "
                       "./suite help names the verbs that take more")
    return options


def main(words: Sequence[str]) -> Exit:
    if words and words[0] == "--from-make":
        words = from_make(words[1:])
    if not words or words[0] in ("help", "-h", "--help"):
        print(usage())
        return Exit.OK
    verb, *options = words
    if verb not in VERBS:
        raise Fail(Exit.BAD_INPUT, f"there is no verb {verb}", "./suite help lists them")
    parser = parser_of(verb)
    args = parser.parse_args(options)
    module = importlib.import_module(VERBS[verb].module)
    code: Exit = module.main(args)
    return code


def status(words: Sequence[str], code: Exit) -> int:
    """Most verbs end with the code itself; one that git starts has numbers of its own."""
    module = sys.modules.get(VERBS[words[0]].module) if words and words[0] in VERBS else None
    return int(getattr(module, "tell", int)(code))


def start() -> NoReturn:
    run_verb(lambda: main(sys.argv[1:]), lambda code: status(sys.argv[1:], code))
