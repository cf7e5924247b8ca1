"""The entries that lie nearest to each: likely the same person's, and no name is needed."""

from collections.abc import Iterator

import torch
from torch import Tensor

from auditor.row_blocks import fit_block

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
    for own in rows.split(fit_block(len(unit), BLOCK)):
        cosines = unit[own] @ unit.T
        cosines[torch.arange(len(own)), own] = -torch.inf
        near = cosines.topk(count, dim=1)
        yield own, near.values, near.indices
