"""The commands of the command line that only derive."""

from __future__ import annotations

from argparse import Namespace
from typing import Any


def check_command(arguments: Namespace) -> int:
    """``orderparams check``: whether two formulas are the same, with a point where they differ."""
    from derive.check import DIGITS, read, same

    result = same(read(arguments.expression), read(arguments.equals))
    print(f"verdict: {'confirmed' if result.equal else 'refuted'}")
    print(f"difference: at most {_number(result.worst, 3)}, relative, at {result.points} random points")
    if result.counterexample is not None:
        found = result.counterexample
        print(f"counterexample, to {DIGITS} digits:")
        for name, value in found["point"].items():
            print(f"  {name} = {value}")
        print(f"  {arguments.expression} = {found['printed']}")
        print(f"  {arguments.equals} = {found['derived']}")
    return 0


def _number(value: Any, digits: int) -> str:
    from mpmath import nstr

    return str(nstr(value, digits))
