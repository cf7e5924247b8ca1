"""Work on many rows a block at a time, so that what it needs meanwhile does not grow with them."""

from collections.abc import Callable, Iterable, Iterator

import torch
from torch import Tensor

BLOCK = 16384
"""Rows of a block: a gallery of Market-1501's size is one."""
CELLS = 2**25
"""Numbers of a table of blocks against all rows that are held at once."""


def split_rows(rows: Tensor) -> Iterator[Tensor]:
    """Yield ``rows (N, …)`` in blocks; one, and that empty, if there are none."""
    return iter(rows.split(BLOCK))


def join_blocks(blocks: Iterable[Tensor], count: int) -> Tensor:
    """Return the ``count`` rows of which ``blocks`` consist; each is dropped once it is copied."""
    joined, start = torch.empty(0), 0
    for block in blocks:
        if not start:
            joined = block.new_empty(count, *block.shape[1:])
        joined[start : start + len(block)] = block
        start += len(block)
    if start != count:
        raise ValueError(f"{start} rows in blocks, where {count} were expected")
    return joined


def map_rows(work: Callable[[Tensor], Tensor], rows: Tensor) -> Tensor:
    """Return what ``work`` makes of ``rows (N, …)``, each row by itself."""
    return work(rows) if len(rows) <= BLOCK else join_blocks(map(work, split_rows(rows)), len(rows))


def fit_block(columns: int, most: int, fewest: int = 16) -> int:
    """Return how many rows of so many ``columns`` are held at once.

    >>> fit_block(1000, 4096), fit_block(100_000, 4096), fit_block(10**9, 4096)
    (4096, 335, 16)
    """
    return max(fewest, min(most, CELLS // max(1, columns)))
