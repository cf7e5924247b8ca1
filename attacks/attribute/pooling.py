"""Features made easy to read: spread within people evened out, entries of one person pooled.

Attributes belong to people, pictures differ by pose, camera and noise. Both steps remove what
differs between pictures of one person, and neither needs a name of anybody in the gallery.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from sklearn.linear_model import Ridge
from torch import Tensor

from attacks.learners.people import covariance_within
from attacks.learners.pooling import nearest_others
from auditor.metrics.auc import macro_auc
from auditor.row_blocks import map_rows
from auditor.types import MISSING

CANDIDATES = (0, 2, 4, 8, 16)
"""Numbers of neighbours tried where none is given; 0 pools nothing."""
RIDGE = 0.1
"""Share of the mean variance added to the spread within people, which few pictures understate."""


@dataclass(frozen=True, eq=False)
class Whitening:
    """Features to unit rows in whose space pictures of one person spread alike in all directions.

    Attributes:
        mean: ``(D,)`` of features at unit length.
        axes: ``(D, D)``.
    """

    mean: Tensor
    axes: Tensor

    def __call__(self, features: Tensor) -> Tensor:
        """Map features ``(N, D)`` to rows ``(N, D)`` float32 of unit length."""
        return map_rows(self._whiten, features)

    def _whiten(self, features: Tensor) -> Tensor:
        centred = F.normalize(features.double(), dim=1) - self.mean
        rows: Tensor = F.normalize(centred @ self.axes, dim=1).float()
        return rows


def fit_whitening(features: Tensor, pids: Tensor) -> Whitening:
    """From features ``(N, D)`` of people ``(N,)``; one picture each tells no spread, only scale."""
    rows = F.normalize(features.double(), dim=1)
    within = covariance_within([(rows, pids)])
    scale = float((rows - rows.mean(0)).square().mean())
    within += (RIDGE * scale + 1e-12) * torch.eye(len(within), dtype=torch.float64)
    variances, columns = torch.linalg.eigh(within)
    return Whitening(rows.mean(0), columns * variances.rsqrt())


def pool_neighbours(rows: Tensor, neighbours: int, asked: Tensor | None = None) -> Tensor:
    """Return unit rows ``(N, D)``, each averaged with its ``neighbours`` nearest by cosine.

    All of them, or those at ``asked (M,)``.
    """
    count = min(neighbours, len(rows) - 1)
    if count < 1:
        return rows if asked is None else rows[asked]
    found = nearest_others(rows, count, asked)
    return torch.cat([rows[torch.cat([own[:, None], near], 1)].mean(1) for own, _, near in found])


def choose_neighbours(
    rows: Tensor,
    labels: Tensor,
    pids: Tensor,
    sizes: Sequence[int],
    generator: torch.Generator,
) -> int:
    """Return the candidate with which a linear reading of held-out people is best (mean AUC).

    Half of the people are learned from and half are read, in both directions, each half pooled by
    itself.

    Args:
        rows: ``(N, D)`` unit rows of annotated people.
        labels: ``(N, A)`` classes, −1 where missing.
        pids: ``(N,)`` of whom.
        sizes: classes of each attribute.
        generator: draws the halves.
    """
    halves = folds(pids, 2, generator)
    reached = []
    for neighbours in CANDIDATES:
        areas = []
        for half in (halves == 0, halves == 1):
            known, asked = (
                pool_neighbours(rows[~half], neighbours),
                pool_neighbours(rows[half], neighbours),
            )
            scores = _linear(known, labels[~half], asked, sizes)
            areas += _areas(scores, labels[half], pids[half])
        reached.append(float(np.mean(areas)) if areas else 0.5)
    return CANDIDATES[int(np.argmax(reached))]


def folds(pids: Tensor, count: int, generator: torch.Generator) -> Tensor:
    """Return a fold below ``count`` for each image ``(N,)``; a person's images share theirs."""
    people, person = pids.unique(return_inverse=True)
    return (torch.randperm(len(people), generator=generator) % count)[person]


def _linear(known: Tensor, labels: Tensor, asked: Tensor, sizes: Sequence[int]) -> list[Tensor]:
    """Ridge scores ``(M, classes)`` of each attribute, all from one solution."""
    targets = []
    for column, size in enumerate(sizes):
        present = labels[:, column] != MISSING
        hot = F.one_hot(labels[:, column].clamp_min(0), size).float() * present[:, None]
        targets.append(torch.where(present[:, None], hot - hot[present].mean(0), 0))
    penalty = float((known - known.mean(0)).square().sum()) / known.shape[1]
    ridge = Ridge(alpha=max(penalty, 1e-6)).fit(known.numpy(), torch.cat(targets, 1).numpy())
    predicted = ridge.predict(asked.numpy()).reshape(len(asked), -1)
    return list(torch.from_numpy(predicted).split(list(sizes), dim=1))


def _areas(scores: Sequence[Tensor], labels: Tensor, pids: Tensor) -> list[float]:
    """AUC of every attribute of which all classes are among the labels ``(M, A)``."""
    people, person = pids.unique(return_inverse=True)
    areas = []
    for column, score in enumerate(scores):
        present = labels[:, column] != MISSING
        area = macro_auc(score[present], labels[present, column], person[present])
        if int(present.sum()):
            areas.append(float(area(np.ones(len(people)))))
    return [area for area in areas if np.isfinite(area)]
