# SPDX-License-Identifier: GPL-2.0
"""Print what makes a shell complete verbs and options.

For bash: eval "$(./suite completion)". For zsh the same, after
autoload -U bashcompinit; bashcompinit.
"""

from __future__ import annotations

import argparse

from base.outcome import Exit

SCRIPT = """_offline_skippable_suite() {{
	local word=${{COMP_WORDS[COMP_CWORD]}} options
	if [ "$COMP_CWORD" -eq 1 ]; then
		COMPREPLY=($(compgen -W "{verbs}" -- "$word"))
		return
	fi
	case ${{COMP_WORDS[1]}} in
{cases}
	esac
	COMPREPLY=($(compgen -W "$options" -- "$word"))
	[ ${{#COMPREPLY[@]}} -gt 0 ] || COMPREPLY=($(compgen -f -- "$word"))
}}
complete -F _offline_skippable_suite suite ./suite
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """It has no options."""


def script() -> str:
    # The program imports this module, and not the other way round, but for this.
    import main as program  # pylint: disable=import-outside-toplevel
    cases = "\n".join(
        f"\t{verb}) options=\"{' '.join(options(program.parser_of(verb)))}\" ;;"
        for verb in program.VERBS)
    return SCRIPT.format(verbs=" ".join([*program.VERBS, "help"]), cases=cases)


def options(parser: argparse.ArgumentParser) -> list[str]:
    found: list[str] = []
    for action in parser._actions:  # argparse offers no other way to list them
        found += [name + ("=" if action.nargs != 0 else "") for name in action.option_strings
                  if name.startswith("--")]
    return found


def main(_args: argparse.Namespace) -> Exit:
    print(script(), end="")
    return Exit.OK
