"""Features on one scale, before anything is trained on them."""

import torch
from torch import Tensor, nn

FLOOR = 1e-5
"""A coordinate with less than this share of the median deviation is rounding, and is left out.

The share is small because a code may be faint: what is left out is not attacked.
"""
LIMIT = 5.0
"""No coordinate counts for more deviations than these."""


class Standardise(nn.Module):
    """Features ``(B, D)`` to mean 0 and deviation 1 in every coordinate of those learned from.

    A coordinate that is rarely active deviates little where it was learned and a great deal where
    it fires; left to itself it would drown the whole row. So deviations are cut at `LIMIT`, and a
    coordinate that never moved where it was learned has taught nothing and stays at 0.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, rows: Tensor) -> None:
        """Of ``rows (N, D)``."""
        super().__init__()
        std = rows.std(0, correction=min(1, len(rows) - 1))
        moving = std[std > 0]
        floor = FLOOR * moving.median() if len(moving) else std.new_tensor(torch.inf)
        self.register_buffer("mean", rows.mean(0))
        self.register_buffer("std", torch.where(std > floor, std, torch.inf))

    @property
    def deviation(self) -> Tensor:
        """``(D,)`` of each coordinate; 0 where it is left out."""
        return torch.where(self.std.isfinite(), self.std, 0.0)

    def forward(self, rows: Tensor) -> Tensor:
        """The rows on that scale."""
        return ((rows - self.mean) / self.std).clamp(-LIMIT, LIMIT)
