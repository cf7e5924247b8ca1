"""What the times of two entries tell: how long people are on their way, learned from own people.

Nobody is at two cameras at once, and whoever has just left one does not come an hour later. How the
gaps between two entries of one person are distributed, against those of two people, is counted on
auxiliary people; the logarithm of the ratio is what a gap tells (as in spatial-temporal re-ID, Wang
et al., AAAI 2019, without their camera pairs). How it weighs beside the similarity of the features
is learned by a logistic regression on the same pairs.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from scipy.spatial.distance import pdist
from sklearn.linear_model import LogisticRegression
from torch import Tensor

from attacks.movement.sightings import Sightings

Array = NDArray[np.float64]

MOST_BINS, PAIRS_PER_BIN = 16, 20
"""A table of gaps has at most so many bins, each with at least so many pairs of one person."""
DIFFERENT = 200_000
"""Pairs of two people that the weight is learned from, at most."""


@dataclass(frozen=True, eq=False)
class GapTable:
    """What the gap between two entries tells about whether they are one person's.

    Attributes:
        edges: ``(B − 1,)`` seconds between bins.
        ratios: ``(B,)`` log-likelihood ratio of each bin.
    """

    edges: Array
    ratios: Array

    @classmethod
    def of(cls, gaps: Array, same: NDArray[np.bool_]) -> "GapTable":
        """Count known ``gaps (M,)`` of pairs of one person (``same``) and of two; add-one smoothed.

        Bins have equally many pairs of one person.
        """
        bins = min(MOST_BINS, int(same.sum()) // PAIRS_PER_BIN)
        if bins < 2:
            return cls(np.empty(0), np.zeros(1))
        edges = np.unique(np.quantile(gaps[same], np.linspace(0, 1, bins + 1)[1:]))
        place = np.searchsorted(edges, gaps)
        one, two = (
            np.bincount(place[side], minlength=len(edges) + 1) + 1 for side in (same, ~same)
        )
        return cls(edges, np.log(one / one.sum()) - np.log(two / two.sum()))

    def __call__(self, gaps: Array) -> Array:
        """Return the ratio of each of ``gaps (M,)``; 0 where it is not known."""
        ratios: Array = self.ratios[np.searchsorted(self.edges, gaps)]
        return np.where(np.isnan(gaps), 0.0, ratios)


@dataclass(frozen=True, eq=False)
class Clock:
    """Distances between entries by their features and, where those are known, by their times.

    Attributes:
        across: what a gap between two cameras tells.
        within: what a gap at one camera tells.
        weight: of that in cosines; 0 leaves times out.
    """

    across: GapTable
    within: GapTable
    weight: float

    def distances(self, rows: Tensor, sightings: Sightings) -> Array:
        """Return distances ``(N (N − 1) / 2,)`` of pairs of ``rows (N, E)``, in `pdist`'s order."""
        found = cosine_distances(rows)
        if self.weight:
            most = max(self.across.ratios.max(), self.within.ratios.max(), 0.0)
            found += self.weight * (most - self._ratios(sightings))
        return found

    def _ratios(self, sightings: Sightings) -> Array:
        gaps, moved = gaps_of(sightings)
        return np.where(moved, self.across(gaps), self.within(gaps))


UNTIMED = Clock(GapTable(np.empty(0), np.zeros(1)), GapTable(np.empty(0), np.zeros(1)), 0.0)
"""Goes by features alone."""


def cosine_distances(rows: Tensor) -> Array:
    """Return 1 − cosine ``(N (N − 1) / 2,)`` of all pairs of ``rows (N, E)``."""
    # a row without a direction is as far from everybody
    unit = F.normalize(rows.double(), dim=1)
    unit = F.pad(unit, (0, 1)) + F.pad(torch.zeros_like(unit), (0, 1), value=1e-6)
    found: Array = pdist(unit.numpy(), "cosine")
    return found


def gaps_of(sightings: Sightings) -> tuple[Array, NDArray[np.bool_]]:
    """Return the seconds between the entries of each pair, and whether it is of two cameras."""
    assert sightings.times is not None
    gaps = pdist(sightings.times.double().numpy()[:, None], "cityblock")
    moved = pdist(sightings.camids.double().numpy()[:, None], "cityblock") > 0
    return gaps, moved


def set_clock(own: Sequence[tuple[Tensor, Sightings]], seed: int) -> Clock:
    """Learn from auxiliary people what times tell, and what that weighs.

    Args:
        own: entries as rows ``(N, E)`` along the axes that are clustered, and who they are; people
            of several such sets are never compared.
        seed: of the choice of pairs.
    """
    if any(sightings.times is None for _, sightings in own):
        return UNTIMED
    cosines = np.concatenate([1 - cosine_distances(rows) for rows, _ in own])
    pairs = [gaps_of(sightings) for _, sightings in own]
    gaps, moved = (np.concatenate(column) for column in zip(*pairs, strict=True))
    same = np.concatenate([_same_person(sightings.pids) for _, sightings in own])
    told = ~np.isnan(gaps)
    across, within = (GapTable.of(gaps[some], same[some]) for some in (told & moved, told & ~moved))
    told &= moved
    chosen = _balance(told & same, told & ~same, np.random.default_rng(seed))
    weight = _weigh(cosines[chosen], across(gaps[chosen]), same[chosen])
    return Clock(across, within, weight)


def _same_person(pids: Tensor) -> NDArray[np.bool_]:
    """Return whether each pair is of one person; distractors are nobody's."""
    alone = torch.where(pids > 0, pids, -1 - torch.arange(len(pids)))
    same: NDArray[np.bool_] = pdist(alone.double().numpy()[:, None], "cityblock") == 0
    return same


def _balance(
    same: NDArray[np.bool_], different: NDArray[np.bool_], rng: np.random.Generator
) -> NDArray[np.int64]:
    """Return the pairs of one person, and as many as `DIFFERENT` of two."""
    others = np.flatnonzero(different)
    if len(others) > DIFFERENT:
        others = rng.choice(others, DIFFERENT, replace=False)
    return np.concatenate([np.flatnonzero(same), others])


def _weigh(cosines: Array, ratios: Array, same: NDArray[np.bool_]) -> float:
    """Return how many cosines a unit of log-likelihood ratio is worth; 0 if times tell nothing."""
    if not ratios.any() or same.all() or not same.any():
        return 0.0
    scale = cosines.std() or 1.0
    model = LogisticRegression(class_weight="balanced")
    model.fit(np.stack([cosines / scale, ratios], axis=1), same)
    similarity, time = model.coef_[0]
    # features that tell nothing beside time still tell a little, or the weight has no end
    return max(0.0, float(time)) * scale / max(float(similarity), 0.05)
