"""Entries of a gallery, or of own pictures, as they are stored: what is clustered."""

from dataclasses import dataclass

import torch
from torch import Tensor

from auditor.types import RunContext, Split


@dataclass(frozen=True, eq=False)
class Sightings:
    """Entries as they are stored.

    Attributes:
        features: ``(N, D)`` as released.
        pids: ``(N,)``; of the gallery's, for the score only.
        camids: ``(N,)``.
        times: ``(N,)`` seconds, NaN where not known; None: no times are known.
    """

    features: Tensor
    pids: Tensor
    camids: Tensor
    times: Tensor | None = None

    @classmethod
    def of(cls, features: Tensor, split: Split) -> "Sightings":
        """Of released ``features (N, D)`` of a split's rows."""
        return cls(features, split.pids, split.camids, split.times)

    def take(self, rows: Tensor) -> "Sightings":
        """Those at ``rows``, positions or a mask."""
        times = None if self.times is None else self.times[rows]
        return Sightings(self.features[rows], self.pids[rows], self.camids[rows], times)


def some_people(sightings: Sightings, most: int, ctx: RunContext) -> Sightings:
    """All entries with a known camera, or those of people at random until ``most`` are taken."""
    sightings = sightings.take(sightings.camids >= 0)
    if len(sightings.pids) <= most:
        return sightings
    people, person, counts = sightings.pids.unique(return_inverse=True, return_counts=True)
    order = torch.randperm(len(people), generator=ctx.generator("attacks.movement.people"))
    kept = order[counts[order].cumsum(0) <= most]
    return sightings.take(torch.isin(person, kept))
