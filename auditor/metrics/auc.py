"""Area under the ROC curve over images that count as often as their person was drawn.

The area is the chance that an image of the class is scored above one of another class, equal scores
counting half (Hanley and McNeil, Radiology 143, 1982). Scores are sorted once; a resampling of
people only changes how much each image weighs.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from auditor.statistics.intervals import unseen_images

Array = NDArray[np.float64]
Pairs = Callable[[Array], tuple[Array, Array, Array]]
"""From weights ``(…, people)``: won pairs, weight of the class, and weight of the rest."""


@dataclass(frozen=True, eq=False)
class Areas:
    """The mean over classes of each against the rest, for two classes that of the second.

    Attributes:
        people: who own the images.
        images: ``(classes,)`` how many of each class somebody unseen would own.
        each: class -> its pairs with the rest.
    """

    people: int
    images: Array
    each: dict[int, Pairs]

    @property
    def classes(self) -> int:
        """How many there are."""
        return len(self.images)

    def __call__(self, weights: Array) -> Array:
        """Areas ``(…)`` where people weigh ``(…, people)``; NaN where a side weighs nothing."""
        found = [_ratio(won, own * rest) for won, own, rest in self._pairs(weights).values()]
        return np.asarray(np.mean(found, axis=0))

    def ends(self, weights: Array) -> Array:
        """Least and largest areas ``(…, 2)``, with one unseen person of each class.

        Those are scored below, or above, everybody whom the score ought to tell from them.

        Args:
            weights: ``(…, people + classes)``, the unseen last.
        """
        unseen = weights[..., self.people :] * self.images
        found = []
        for k, (won, own, rest) in self._pairs(weights[..., : self.people]).items():
            more = unseen[..., k]
            others = unseen.sum(-1) - more
            most = won + more * (rest + others) + others * own
            pairs = (own + more) * (rest + others)
            found.append(np.stack([_ratio(won, pairs), _ratio(most, pairs)], axis=-1))
        return np.asarray(np.mean(found, axis=0))

    def _pairs(self, weights: Array) -> dict[int, tuple[Array, Array, Array]]:
        return {k: pairs(weights) for k, pairs in self.each.items()}


def macro_auc(scores: Tensor, truth: Tensor, person: Tensor) -> Areas:
    """Areas as a function of how much people weigh.

    Args:
        scores: ``(N, classes)``, higher for likelier.
        truth: ``(N,)`` class of each image.
        person: ``(N,)`` position of its person, from 0.
    """
    classes, owner, label = scores.shape[1], person.numpy(), truth.numpy()
    people = int(owner.max()) + 1 if len(owner) else 0
    counts = np.zeros((people, classes))
    np.add.at(counts, (owner, label), 1)
    values = scores.double().numpy()
    if classes == 2:
        columns = {1: values[:, 1] - values[:, 0]}
    else:
        columns = {k: values[:, k] for k in range(classes)}
    each = {k: _count_pairs(column, label == k, owner) for k, column in columns.items()}
    return Areas(people, np.array([unseen_images(column) for column in counts.T]), each)


def _count_pairs(scores: Array, positive: NDArray[np.bool_], person: NDArray[np.int64]) -> Pairs:
    order = np.argsort(scores, kind="stable")
    ranked, owner, hit = scores[order], person[order], positive[order]
    levels = np.flatnonzero(np.concatenate([[True], ranked[1:] != ranked[:-1]]))

    def pairs(weights: Array) -> tuple[Array, Array, Array]:
        of_images = weights[..., owner]
        above = np.add.reduceat(of_images * hit, levels, axis=-1)
        below = np.add.reduceat(of_images * ~hit, levels, axis=-1)
        won = (above * (below.cumsum(-1) - below / 2)).sum(-1)
        return won, above.sum(-1), below.sum(-1)

    return pairs


def _ratio(numerator: Array, denominator: Array) -> Array:
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(numerator / denominator)
