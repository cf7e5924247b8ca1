"""Several rows of one person: their sum, their mean, and how they spread around it."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from auditor.row_blocks import split_rows


def group_rows(labels: Tensor) -> Iterator[tuple[int, Tensor]]:
    """Yield each of ``labels (N,)``, the lowest first, and the rows that carry it, in order."""
    found, counts = labels.unique(return_counts=True)
    rows = labels.argsort(stable=True).split(counts.tolist())
    return zip(found.tolist(), rows, strict=True)


def sum_groups(
    rows: Tensor, groups: Tensor, count: int, dtype: torch.dtype | None = None
) -> Tensor:
    """Sum rows ``(N, …)`` over groups ``(N,)`` numbered 0 to ``count − 1``: ``(count, …)``.

    With a ``dtype`` they are added up in it, and never converted all at once.
    """
    sums = rows.new_zeros(count, *rows.shape[1:], dtype=dtype)
    for block, group in zip(split_rows(rows), split_rows(groups), strict=True):
        sums.index_add_(0, group, block.to(sums.dtype))
    return sums


@dataclass(frozen=True, eq=False)
class PersonMeans:
    """The mean row of each person.

    Attributes:
        people: ``(P,)`` their pids, in ascending order.
        counts: ``(P,)`` rows of each.
        rows: ``(P, D)`` the means.
        person: ``(N,)`` the place in ``people`` of each row that was averaged.
    """

    people: Tensor
    counts: Tensor
    rows: Tensor
    person: Tensor

    @classmethod
    def of(cls, rows: Tensor, pids: Tensor, dtype: torch.dtype | None = None) -> "PersonMeans":
        """Of ``rows (N, D)`` of ``pids (N,)``, in their own precision or in another one."""
        people, person, counts = pids.unique(return_inverse=True, return_counts=True)
        means = sum_groups(rows, person, len(people), dtype) / counts[:, None]
        return cls(people, counts, means, person)

    @property
    def of_each(self) -> Tensor:
        """For each averaged row the mean of its person ``(N, D)``."""
        return self.rows[self.person]

    @property
    def freedom(self) -> int:
        """Rows beyond each person's first: what their spread about the means rests on."""
        return len(self.person) - len(self.people)


def covariance_within(crowds: Sequence[tuple[Tensor, Tensor]]) -> Tensor:
    """Covariance ``(D, D)`` float64 of rows about their person's mean, pooled over crowds.

    Args:
        crowds: rows ``(N, D)`` and pids ``(N,)``; the same pid in two crowds is two people.
    """
    freedom, scatter = 0, torch.zeros((), dtype=torch.float64)
    for rows, pids in crowds:
        means = PersonMeans.of(rows, pids, torch.float64)
        freedom += means.freedom
        for block, person in zip(split_rows(rows), split_rows(means.person), strict=True):
            steps = block.double() - means.rows[person]
            scatter = scatter + steps.T @ steps
    return scatter / max(1, freedom)


def whitening_axes(crowds: Sequence[tuple[Tensor, Tensor]], shrinkage: float) -> Tensor:
    """Return axes ``(D, D)`` float64 along which the spread about people's means is a ball.

    Args:
        crowds: see `covariance_within`.
        shrinkage: weight of a ball that is mixed into that spread, which is of few rows per person.
    """
    within = covariance_within(crowds)
    # without any spread a ball is all that is left
    ball = within.diagonal().mean().clamp_min(1e-12) * torch.eye(len(within), dtype=within.dtype)
    variances, columns = torch.linalg.eigh((1 - shrinkage) * within + shrinkage * ball)
    axes: Tensor = columns * variances.clamp_min(1e-18).rsqrt()
    return axes
