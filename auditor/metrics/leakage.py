"""How well an adversary classifies, from confusion counts that are summed over people.

A confusion table has one row per person and ``classes²`` columns (truth-major), so that an
interval over people is a resampling of its rows. Formulas take column sums ``(…, classes²)``.
"""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from auditor.statistics.intervals import unseen_images

Array = NDArray[np.float64]
Formula = Callable[[Array], Array]


def confusion_by_person(guesses: Tensor, truth: Tensor, pids: Tensor, classes: int) -> Array:
    """Confusion counts ``(num_persons, classes²)``; rows of image columns ``(N,)``.

    Images with truth −1 count nowhere; distractors (pid 0) are no persons.
    """
    people, person = pids.unique(return_inverse=True)
    table = torch.zeros(len(people), classes * classes, dtype=torch.float64)
    counted = (truth >= 0) & (pids > 0)
    cell = truth[counted] * classes + guesses[counted]
    table.index_put_((person[counted], cell), torch.ones(1, dtype=torch.float64), accumulate=True)
    return table[people > 0].numpy()


def accuracy(classes: int) -> Formula:
    """Return the share of right guesses."""

    def formula(sums: Array) -> Array:
        matrix = _matrix(sums, classes)
        return np.asarray(np.trace(matrix, axis1=-2, axis2=-1) / matrix.sum((-2, -1)))

    return formula


def excess_accuracy(classes: int) -> Formula:
    """Return the excess of right guesses over the share of the commonest class."""

    def formula(sums: Array) -> Array:
        matrix = _matrix(sums, classes)
        commonest = matrix.sum(-1).max(-1) / matrix.sum((-2, -1))
        return np.asarray(accuracy(classes)(sums) - commonest)

    return formula


def balanced_accuracy(classes: int) -> Formula:
    """Return the mean recall over the classes; NaN where a class has no images."""

    def formula(sums: Array) -> Array:
        matrix = _matrix(sums, classes)
        truth = matrix.sum(-1)
        recall = _ratio(np.diagonal(matrix, axis1=-2, axis2=-1), truth)
        return np.asarray(recall.mean(-1))

    return formula


def f1(classes: int) -> Formula:
    """F1 of the second value for two classes (PIS's measure), macro F1 for more."""

    def formula(sums: Array) -> Array:
        matrix = _matrix(sums, classes)
        hits = np.diagonal(matrix, axis1=-2, axis2=-1)
        scores = _ratio(2 * hits, matrix.sum(-1) + matrix.sum(-2))
        return np.asarray(scores[..., 1] if classes == 2 else scores.mean(-1))

    return formula


def add_unseen(table: Array, sizes: Sequence[int]) -> tuple[Array, Array]:
    """Return one more person for each value, guessed wrong on every image, and guessed right.

    Args:
        table: ``(num_persons, columns)`` confusion tables laid side by side.
        sizes: how many classes each has.

    Returns:
        Rows ``(U, columns)`` each. A person carries one value of every attribute that has so many,
        on as many images as the owner of the average image of that value.
    """
    wrong, right = np.zeros((2, max(sizes), table.shape[1]))
    start = 0
    for classes in sizes:
        carried = table[:, start : start + classes**2].reshape(-1, classes, classes).sum(-1)
        for value in range(classes):
            images = unseen_images(carried[:, value])
            right[value, start + value * classes + value] = images
            wrong[value, start + value * classes + (value + 1) % classes] = images
        start += classes**2
    return wrong, right


def blind_f1(shares: Array) -> float:
    """Return the best `f1` without features, given the share of each class.

    For two classes, always the second value; for more, each value as often as it occurs, because
    ``2·s·q / (s + q)`` summed over classes of share ``s`` guessed at rate ``q`` peaks at ``q = s``.
    """
    return float(2 * shares[1] / (1 + shares[1]) if len(shares) == 2 else 1 / len(shares))


def mean_over(formula: Callable[[int], Formula], sizes: Sequence[int]) -> Formula:
    """Return the mean of a formula over tables with ``sizes`` classes, laid side by side."""
    parts = [formula(k) for k in sizes]
    ends = np.cumsum([k * k for k in sizes])

    def joint(sums: Array) -> Array:
        blocks = np.split(sums, ends[:-1], axis=-1)
        values = [part(block) for part, block in zip(parts, blocks, strict=True)]
        return np.asarray(np.mean(values, axis=0))

    return joint


def _matrix(sums: Array, classes: int) -> Array:
    return sums.reshape(*sums.shape[:-1], classes, classes)


def _ratio(numerator: Array, denominator: Array) -> Array:
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(numerator / denominator)
