"""How well clusters link people's entries, as a function of how much each of the people weighs.

A wrong link is between two people, and there is none unless both are there: it weighs by both. Were
it counted with one of them alone, people who share a cluster would look like so much independent
evidence, and intervals would be too short.
"""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse import csr_array
from torch import Tensor

from attacks.movement.sightings import Sightings
from auditor.statistics.intervals import unseen_images

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Links:
    """Entries of people in groups, such as clusters.

    Attributes:
        held: ``(P, C)`` entries of each person in each group.
        strangers: ``(C,)`` entries of distractors, of whom each is somebody else.
    """

    held: csr_array
    strangers: Array

    @property
    def people(self) -> int:
        """How many there are."""
        return int(self.held.shape[0])

    @classmethod
    def of(cls, groups: Tensor, pids: Tensor) -> "Links":
        """Of the group ``(N,)`` of each entry, whose it is, and 0 or less for distractors."""
        group = groups.unique(return_inverse=True)[1].numpy()
        known, count = (pids > 0).numpy(), int(group.max(initial=-1)) + 1
        people, person = pids[pids > 0].unique(return_inverse=True)
        ones = np.ones(len(person))
        held = csr_array((ones, (person.numpy(), group[known])), shape=(len(people), count))
        held.sum_duplicates()
        return cls(held, np.bincount(group[~known], minlength=count).astype(np.float64))

    @property
    def own(self) -> Array:
        """Ordered pairs ``(P,)`` of one person's entries in one group, each with itself too."""
        return np.asarray(self.held.multiply(self.held).sum(1), dtype=np.float64)

    def pairs(self, weights: Array) -> Array:
        """Ordered pairs ``(…)`` of entries in one group, of which the first is a person's.

        Args:
            weights: ``(…, P)`` of the people.
        """
        sizes = self._sizes(weights)
        both = (sizes * (sizes - self.strangers)).sum(-1)
        # a person's pairs with themselves weigh once
        return np.asarray(both + (weights - weights**2) @ self.own)

    @property
    def precision(self) -> Array:
        """Sum ``(P,)`` over a person's entries of which part of their group is the person's."""
        person, group = self.held.nonzero()
        parts = self.held.data**2 / self._sizes(np.ones(self.people))[group]
        return np.bincount(person, parts, self.people).astype(np.float64)

    @property
    def crowding(self) -> Array:
        """How fast ``(P,)`` a person's weight takes precision from the others in their groups."""
        person, group = self.held.nonzero()
        count, squares = self.held.data, self.held.data**2
        others = np.bincount(group, squares, minlength=self.held.shape[1])[group] - squares
        lost = count * others / self._sizes(np.ones(self.people))[group] ** 2
        return np.bincount(person, lost, self.people).astype(np.float64)

    def _sizes(self, weights: Array) -> Array:
        """Return how many entries ``(…, C)`` are in each group."""
        return np.asarray(weights @ self.held) + self.strangers


@dataclass(frozen=True, eq=False)
class PairwiseF1:
    """F1 of linking pairs of entries by two cameras.

    Attributes:
        clusters: entries in clusters.
        cells: the same by cluster and camera, within which nothing is to be linked.
        right: ``(P,)`` pairs of each person's that are linked.
        wanted: ``(P,)`` and those to be linked.
    """

    clusters: Links
    cells: Links
    right: Array
    wanted: Array

    @property
    def people(self) -> int:
        """How many there are."""
        return len(self.right)

    @classmethod
    def of(cls, clusters: Tensor, stored: Sightings) -> "PairwiseF1":
        """Of the cluster ``(N,)`` of each stored entry."""
        pids, camids = stored.pids, stored.camids
        linked, cells = Links.of(clusters, pids), Links.of(_both(clusters, camids), pids)
        whole, seen = Links.of(pids, pids), Links.of(_both(pids, camids), pids)
        return cls(linked, cells, linked.own - cells.own, whole.own - seen.own)

    def __call__(self, weights: Array, least: Array | float = 0, most: Array | float = 0) -> Array:
        """Return it ``(…)`` where people weigh ``(…, P)``, with pairs that are wrong or right."""
        linked = self.clusters.pairs(weights) - self.cells.pairs(weights)
        pairs = linked + weights @ self.wanted + 2 * (least + most)
        return np.asarray(2 * (weights @ self.right + most) / np.maximum(pairs, 1e-12))

    def ends(self, weights: Array) -> Array:
        """Least and largest ``(…, 2)``, with one unseen person, who weighs ``(…, -1)``."""
        return _ends(self, weights, unseen_images(self.wanted))


@dataclass(frozen=True, eq=False)
class BCubedF1:
    """Harmonic mean of precision and recall over entries (Bagga and Baldwin, 1998).

    Precision is taken as linear in weights: the curve of 1 / size would be read too high.

    Attributes:
        precision: ``(P,)`` sums over each person's entries.
        crowding: ``(P,)`` what they take from others'; see `Links`.
        recall: ``(P,)`` sums over each person's entries.
        entries: ``(P,)`` how many these are.
    """

    precision: Array
    crowding: Array
    recall: Array
    entries: Array

    @property
    def people(self) -> int:
        """How many there are."""
        return len(self.entries)

    @classmethod
    def of(cls, clusters: Tensor, pids: Tensor) -> "BCubedF1":
        """Of the cluster ``(N,)`` of each entry, and whose it is."""
        linked = Links.of(clusters, pids)
        entries = np.asarray(linked.held.sum(1), dtype=np.float64)
        return cls(linked.precision, linked.crowding, linked.own / entries, entries)

    def __call__(self, weights: Array, least: Array | float = 0, most: Array | float = 0) -> Array:
        """Return it ``(…)`` where people weigh ``(…, P)``, with entries read wrong or right."""
        crowded = (weights - 1) @ self.crowding
        precision = np.maximum(weights @ self.precision - crowded, 0) + most
        recall = weights @ self.recall + most
        entries = weights @ self.entries + least + most
        product, total = 2 * precision * recall, (precision + recall) * entries
        return np.asarray(product / np.maximum(total, 1e-12))

    def ends(self, weights: Array) -> Array:
        """Least and largest ``(…, 2)``, with one unseen person, who weighs ``(…, -1)``."""
        return _ends(self, weights, unseen_images(self.entries))


def _ends(figure: PairwiseF1 | BCubedF1, weights: Array, size: float) -> Array:
    # pairs weigh by two people, so that weights must be 1 on average
    weights = weights / weights.mean(-1, keepdims=True)
    seen, unseen = weights[..., :-1], size * weights[..., -1]
    return np.stack([figure(seen, least=unseen), figure(seen, most=unseen)], axis=-1)


def _both(one: Tensor, other: Tensor) -> Tensor:
    """Return the number ``(N,)`` of each entry's pair of groups."""
    numbers: Tensor = torch.stack([one, other]).unique(dim=1, return_inverse=True)[1]
    return numbers
