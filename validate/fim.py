"""The command ``fim``: the eigenvalue statistics of the Fisher information, predicted and measured."""

from __future__ import annotations

import json
from argparse import Namespace

from numerics.wide.commands import fim_theory


def fim(arguments: Namespace) -> int:
    """``orderparams fim``: one row of predictions for a network, a width and a number of samples."""
    row = fim_theory(arguments)
    if arguments.format == "json":
        print(json.dumps(row, allow_nan=False))
        return 0
    for name, value in row.items():
        print(f"{name:14} {'-' if value is None else format(value, '.10g')}")
    return 0
