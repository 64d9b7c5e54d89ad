"""Progress bars on stderr, silent where nobody watches."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from typing import TypeVar

Item = TypeVar("Item")


def progress(
    items: Iterable[Item], label: str, total: int | None = None, show: bool | None = None
) -> Iterator[Item]:
    """``items``, with a bar on stderr; ``show`` None means: if stderr is a terminal."""
    if not (sys.stderr.isatty() if show is None else show):
        return iter(items)
    from tqdm import tqdm

    return iter(tqdm(items, desc=label, total=total, file=sys.stderr, leave=False))
