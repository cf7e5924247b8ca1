"""The entries that lie nearest to each: likely the same person's, and no name is needed."""

from collections.abc import Iterator

import torch
from torch import Tensor

from auditor.row_blocks import BLOCK as COLUMNS

BLOCK = 1024
"""Rows compared with all others at a time, at most."""


def nearest_others(
    unit: Tensor, count: int, asked: Tensor | None = None
) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """Yield the ``count`` rows nearest to each of unit rows ``(N, D)``, a block at a time.

    Args:
        unit: the rows.
        count: how many.
        asked: ``(M,)`` whose nearest ones are looked for; everybody's by default.

    Yields:
        Rows of the block ``(B,)``, and the cosines and places ``(B, count)`` of those nearest to
        them, the nearest first.
    """
    rows = torch.arange(len(unit)) if asked is None else asked
    for own in rows.split(BLOCK):
        yield own, *_find_nearest(unit, own, count)


def _find_nearest(unit: Tensor, own: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Return cosines and places ``(B, count)`` of the rows nearest to those at ``own (B,)``."""
    values = unit.new_empty(len(own), 0)
    places = own.new_empty(len(own), 0)
    for columns in torch.arange(len(unit)).split(COLUMNS):
        cosines = unit[own] @ unit[columns[0] : columns[-1] + 1].T
        here = ((columns[0] <= own) & (own <= columns[-1])).nonzero()[:, 0]
        cosines[here, own[here] - columns[0]] = -torch.inf
        near = cosines.topk(min(count, len(columns)), dim=1)
        values = torch.cat([values, near.values], dim=1)
        places = torch.cat([places, columns[near.indices]], dim=1)
        best = values.topk(min(count, values.shape[1]), dim=1)
        values, places = best.values, places.gather(1, best.indices)
    return values, places
