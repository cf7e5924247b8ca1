"""Each row averaged with those that lie nearest, likely the same person's; no name is needed."""

from collections.abc import Callable

import torch
from torch import Tensor

BLOCK = 1024


def pool_rows(
    rows: Tensor, unit: Tensor, neighbours: int, weigh: Callable[[Tensor], Tensor]
) -> Tensor:
    """Return the mean ``(N, D)`` of each row, which weighs one, and its nearest neighbours.

    Args:
        rows: ``(N, D)`` what is averaged.
        unit: ``(N, E)`` unit rows whose cosines tell what is near.
        neighbours: how many of the nearest others take part; 0 leaves every row as it is.
        weigh: cosines ``(B, neighbours)`` to the weights ``(B, neighbours)`` of the others.
    """
    count = min(neighbours, len(rows) - 1)
    if count < 1:
        return rows
    pooled = []
    for own in torch.arange(len(rows)).split(BLOCK):
        cosines = unit[own] @ unit.T
        cosines[torch.arange(len(own)), own] = -torch.inf
        near = cosines.topk(count, dim=1)
        weights = weigh(near.values)
        total = rows[own] + (weights[:, :, None] * rows[near.indices]).sum(1)
        pooled.append(total / (1 + weights.sum(1, keepdim=True)))
    return torch.cat(pooled)
