"""The entries that lie nearest to each: likely the same person's, and no name is needed."""

from collections.abc import Iterator

import torch
from torch import Tensor

BLOCK = 1024


def nearest_others(unit: Tensor, count: int) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """Yield the ``count`` rows nearest to each of unit rows ``(N, D)``, a block at a time.

    Yields:
        Rows of the block ``(B,)``, and the cosines and places ``(B, count)`` of those nearest to
        them, the nearest first.
    """
    for own in torch.arange(len(unit)).split(BLOCK):
        cosines = unit[own] @ unit.T
        cosines[torch.arange(len(own)), own] = -torch.inf
        near = cosines.topk(count, dim=1)
        yield own, near.values, near.indices
