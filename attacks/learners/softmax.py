"""Softmax regression: whose row it is, by one direction for each person.

Its loss is convex, so a quasi-Newton method finds the one minimum in a dozen passes over all rows,
and there is neither a schedule nor an order of batches that a result could depend on.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from attacks.learners.lbfgs import minimise
from attacks.learners.people import PersonMeans
from auditor.row_blocks import fit_block

BLOCK = 4096
"""Rows whose probabilities are held at a time, at most."""
START = 24.0
"""Length, in those of people's means, of the directions to begin with; rows have length one."""
FLAT = 0.1
"""No entry of a gradient is larger where a regression is done, in units of what all rows of one
person can add to it, about."""
HISTORY = 5


def learn_softmax(
    rows: Tensor,
    labels: Tensor,
    inverse_penalty: float,
    *,
    iterations: int,
    flat: float = FLAT,
    progress: Callable[[float], None] = lambda fraction: None,
) -> Tensor:
    """Return one direction for each label, ``(P, D)``; a row is of the label it agrees with most.

    They are those of scikit-learn's ``LogisticRegression(C=inverse_penalty, fit_intercept=False)``.

    Args:
        rows: ``(N, D)``, of a mean square length of one.
        labels: ``(N,)``, each of 0 to P − 1 at least once.
        inverse_penalty: scikit-learn's C; the larger, the longer directions become.
        iterations: of L-BFGS, at most.
        flat: iterations end sooner where the gradient has come down to this.
        progress: told the share of iterations done.
    """
    means = PersonMeans.of(rows, labels).rows
    directions = START * (means - rows.mean(0))
    regression = _Regression(rows, labels, means.shape, 1 / (inverse_penalty * len(rows)))
    points, _ = minimise(
        regression.loss,
        directions.reshape(1, -1),
        updates=iterations,
        flat=flat / (len(means) * means.shape[1] ** 0.5),
        patience=iterations,
        history=HISTORY,
        progress=progress,
    )
    return points.view(means.shape)


@dataclass(frozen=True, eq=False)
class _Regression:
    """The loss of directions, as `minimise` asks for it.

    Attributes:
        rows: ``(N, D)``.
        labels: ``(N,)``.
        shape: ``(P, D)`` of the directions.
        penalty: weight of half their squared length.
    """

    rows: Tensor
    labels: Tensor
    shape: torch.Size
    penalty: float

    def loss(self, points: Tensor, _: Tensor) -> tuple[Tensor, Tensor]:
        """Return the value ``(1,)`` and the gradient ``(1, P·D)`` at ``points (1, P·D)``."""
        directions, share = points.view(self.shape), 1 / len(self.rows)
        value = self.penalty / 2 * directions.square().sum()
        gradient = self.penalty * directions
        size = fit_block(len(directions), BLOCK)
        for rows, labels in zip(self.rows.split(size), self.labels.split(size), strict=True):
            logs = (rows @ directions.T).log_softmax(1)
            own = labels[:, None]
            value = value - share * logs.gather(1, own).sum()
            errors = logs.exp_().scatter_add_(1, own, logs.new_full(own.shape, -1))
            gradient.addmm_(errors.T, rows, alpha=share)
        return value.reshape(1), gradient.view(1, -1)
