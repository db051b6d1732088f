# SPDX-License-Identifier: GPL-2.0
"""What the semantic patches beside this file say to find.py: a line of JSON a match.

Runs inside of spatch, which hands over each position metavariable as a list
of one.
"""

from __future__ import annotations

import json
from typing import Any, Dict, List, Optional, Union

Range = List[int]
Position = Any  # Coccinelle's own class


def _range(position: Position) -> Range:
    found = position[0]
    return [int(found.line), int(found.column), int(found.line_end), int(found.column_end)]


def _emit(position: Position, more: Dict[str, Union[str, Range, Dict[str, Range]]]) -> None:
    found = position[0]
    print(json.dumps({"function": found.current_element,
                      "body": [int(found.current_element_line),
                               int(found.current_element_line_end)],
                      "range": _range(position), **more}))


def mutant(operator: str, kind: str, position: Position, replacement: str,
           **parts: Position) -> None:
    """Put `replacement`, in which {name} is the text of a part, in the place of a position.

    The kind is `condition` if only the truth of the expression matters, or
    `expression`, or `statement`.
    """
    _emit(position, {"operator": operator, "kind": kind, "replacement": replacement,
                     "parts": {name: _range(part) for name, part in parts.items()}})


def condition(position: Position) -> None:
    """A condition or the head of a loop: all in it is worth mutating."""
    _emit(position, {"kind": "scope", "scope": "condition"})


def branch(position: Position, test: Position, last: Optional[Position] = None) -> None:
    """A statement that is worth mutating if the test it depends on is.

    If two positions are given for it, it reaches from one to the end of the other.
    """
    _emit(position, {"kind": "scope", "scope": "branch", "parts": {"test": _range(test)},
                     "range": [*_range(position)[:2], *_range(last or position)[2:]]})
