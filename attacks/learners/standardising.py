"""Features on one scale, before anything is trained on them."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

FLOOR = 1e-5
"""A coordinate with less than this share of the median deviation is rounding, and is left out.

The share is small because a code may be faint: what is left out is not attacked.
"""
LIMIT = 5.0
"""No coordinate counts for more deviations than these."""
FAINTEST = 1e-11
"""A direction with less than this share of the largest variance is rounding, and is left out."""


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
        """Return the rows on that scale."""
        return ((rows - self.mean) / self.std).clamp(-LIMIT, LIMIT)


@dataclass(frozen=True, eq=False)
class Whiten:
    """Features ``(N, D)`` to as many deviations along every direction ``(N, E)``, however faint.

    Attributes:
        plain: the features on one scale.
        mean: ``(D,)`` on that scale.
        axes: ``(D, E)``.
    """

    plain: Standardise
    mean: Tensor
    axes: Tensor

    @classmethod
    def of(cls, rows: Tensor) -> "Whiten":
        """Of ``rows (N, D)``."""
        plain = Standardise(rows.double())
        scaled = plain(rows.double())
        mean = scaled.mean(0)
        variances, columns = torch.linalg.eigh((scaled - mean).T @ (scaled - mean) / len(rows))
        kept = variances > FAINTEST * variances.max().clamp_min(FAINTEST)
        return cls(plain, mean, columns[:, kept] * variances[kept].rsqrt())

    def __call__(self, rows: Tensor) -> Tensor:
        """Return the rows along the axes."""
        whitened: Tensor = ((self.plain(rows.double()) - self.mean) @ self.axes).float()
        return whitened
