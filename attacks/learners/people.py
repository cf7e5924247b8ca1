"""Several rows of one person: their sum, their mean, and how they spread around it."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


def sum_groups(rows: Tensor, groups: Tensor, count: int) -> Tensor:
    """Sum rows ``(N, …)`` over groups ``(N,)`` numbered 0 to ``count − 1``: ``(count, …)``."""
    sums: Tensor = rows.new_zeros(count, *rows.shape[1:]).index_add_(0, groups, rows)
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
    def of(cls, rows: Tensor, pids: Tensor) -> "PersonMeans":
        """Of ``rows (N, D)`` of ``pids (N,)``."""
        people, person, counts = pids.unique(return_inverse=True, return_counts=True)
        means = sum_groups(rows, person, len(people)) / counts[:, None]
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
    """Covariance ``(D, D)`` of rows about their person's mean, pooled over crowds.

    Args:
        crowds: rows ``(N, D)`` and pids ``(N,)``; the same pid in two crowds is two people.
    """
    means = [PersonMeans.of(rows, pids) for rows, pids in crowds]
    steps = torch.cat([rows - of.of_each for (rows, _), of in zip(crowds, means, strict=True)])
    covariance: Tensor = steps.T @ steps / max(1, sum(of.freedom for of in means))
    return covariance
