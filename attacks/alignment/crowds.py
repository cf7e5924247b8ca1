"""A crowd in a feature space: people as points, and how they lie to one another.

Whoever has no access to a model cannot compare a picture with its vectors. But people who look
alike to one network look alike to another, so the distances between people are much the same in
both spaces. `Crowd` is what such distances are taken of: people of whom it is known who is who, or
groups of stored vectors that lie so close together that they must be of one person.
"""

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from scipy.cluster.hierarchy import fcluster, linkage
from torch import Tensor

from attacks.attribute.pooling import Whitening, fit_whitening
from attacks.learners.people import PersonMeans

SURPLUS = 1.5
"""So many groups for each person expected: a person split in two does less harm than two in one."""
SMALLEST = 0.25
"""Groups of less than this share of a person's usual entries are left out."""
FEWEST = 4
"""With fewer people on either side there is no shape to recognise."""


@dataclass(frozen=True, eq=False)
class Crowd:
    """People in one space.

    Attributes:
        whiten: features to unit rows in which pictures of one person spread alike.
        rows: ``(N, E)`` of all their pictures.
        people: ``(P, E)`` unit rows about the crowd's mean.
        weights: ``(P,)`` float64, adding up to 1: how much each counts.
    """

    whiten: Whitening
    rows: Tensor
    people: Tensor
    weights: np.ndarray

    @classmethod
    def of(cls, whiten: Whitening, rows: Tensor, means: Tensor, weights: Tensor) -> "Crowd":
        """Of rows ``(N, E)`` and their people's means ``(P, E)``."""
        shares = (weights / weights.sum()).double().numpy()
        return cls(whiten, rows, F.normalize(means - means.mean(0), dim=1), shares)


def know_people(features: Tensor, pids: Tensor, whiten: Whitening, most: int) -> Crowd:
    """Return people whose pictures are one's own, each by their mean; the first ``most`` of them.

    Args:
        features: ``(N, D)``.
        pids: ``(N,)`` of whom; distractors are nobody.
        whiten: as the adversary's own people teach it.
        most: matching takes time by the cube of how many.
    """
    rows = whiten(features[pids > 0])
    means = PersonMeans.of(rows, pids[pids > 0]).rows[:most]
    return Crowd.of(whiten, rows, means, torch.ones(len(means)))


def guess_people(stored: Tensor, expected: float, most: int) -> Crowd:
    """Return groups of stored vectors ``(N, D)`` that seem to be of one person each.

    Args:
        stored: entries without names.
        expected: how many people they are expected to be of.
        most: groups at most, the largest; matching takes time by the cube of how many.
    """
    rows = F.normalize(stored.double(), dim=1)
    count = max(FEWEST, round(SURPLUS * expected))
    groups = group_entries(rows - rows.mean(0), count)
    whiten = fit_whitening(stored, groups)
    entries = whiten(stored)
    means = PersonMeans.of(entries, groups)
    large = means.counts >= SMALLEST * len(rows) / expected
    if int(large.sum()) < FEWEST:
        large = torch.ones_like(large)
    order = means.counts.masked_fill(~large, 0).argsort(descending=True, stable=True)
    kept = order[: min(most, int(large.sum()))]
    return Crowd.of(whiten, entries, means.rows[kept], means.counts[kept])


def group_entries(rows: Tensor, count: int) -> Tensor:
    """Return the group ``(N,)`` of each row, ``count`` at most, by average linkage of cosines."""
    # a row without a direction is as far from everybody
    unit = F.pad(F.normalize(rows.double(), dim=1), (0, 1), value=1e-6)
    tree = linkage(unit.numpy(), "average", metric="cosine")
    return torch.from_numpy(fcluster(tree, count, "maxclust")).long()
