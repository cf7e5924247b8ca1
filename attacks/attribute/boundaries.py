"""Logistic regression of all attributes at once: every step is one product with all the rows.

A classifier of its own for each attribute would read the same rows once for each, and would find
out for itself how they are spread.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from attacks.attribute.learning import Known, Reader
from attacks.learners.lbfgs import minimise
from auditor.types import MISSING

FLAT = 1.5e-3
"""No entry of a gradient is larger where a regression is done, on a scale where curvature is 1."""
UPDATES, HISTORY = 500, 5
RIDGE = 1e-6
"""Share of the mean variance that is added to the curvature, so that it can be decomposed."""
NEVER = -1e9
"""The logit of a class that an attribute does not have."""
TINY = 1e-30
"""The least chance of which the logarithm is taken."""


@dataclass(frozen=True, eq=False)
class _Regressions:
    """Those of A attributes on the same rows.

    Two classes have one boundary between them, more classes have one each: B of them. The optimiser
    sees boundaries in coordinates in which the loss is about as curved in all directions.

    Attributes:
        rows: ``(N, D)``.
        axes: ``(D, D)`` the optimiser's coordinates to those of a boundary.
        truth: ``(B, A, N)`` one for the class on whose side an entry should be.
        weights: ``(A, N)``, 0 where the class is missing; the sum of each attribute's is one.
        penalties: ``(A, 1)`` weight of half the squared length of a boundary.
        absent: ``(B, A, 1)`` what is added to the scores of classes that an attribute lacks.
    """

    rows: Tensor
    axes: Tensor
    truth: Tensor
    weights: Tensor
    penalties: Tensor
    absent: Tensor

    @classmethod
    def of(
        cls, known: Known, axes: Tensor, places: list[int], inverse_penalty: float
    ) -> "_Regressions":
        """Return those of the attributes at ``places``, all of two classes or all of more."""
        sizes = torch.tensor([known.sizes[place] for place in places])
        classes = int(sizes.max())
        labels, weights = known.labels[:, places].T, known.weights[:, places].T
        truth = F.one_hot(labels.clamp_min(0), classes).permute(2, 0, 1).float()
        absent = torch.arange(classes)[:, None, None] >= sizes[None, :, None]
        total = weights.sum(1, keepdim=True)
        first = 1 if classes == 2 else 0
        return cls(
            known.rows,
            axes,
            truth[first:].contiguous(),
            (weights / total).float(),
            (1 / (inverse_penalty * total)).float(),
            (NEVER * absent.float())[first:],
        )

    def solve(self) -> tuple[Tensor, Tensor]:
        """Return the boundaries ``(B, A, D)`` and offsets ``(B, A, 1)`` of the least losses."""
        count, columns = self.truth.shape[1], self.rows.shape[1] + 1
        start = self.rows.new_zeros(count, len(self.truth) * columns)
        points, _ = minimise(
            self.loss, start, updates=UPDATES, patience=UPDATES, flat=FLAT, history=HISTORY
        )
        boundaries, offsets = self._read(points)
        return boundaries, offsets + self.absent

    def loss(self, points: Tensor, which: Tensor) -> tuple[Tensor, Tensor]:
        """Return the values ``(a,)`` and slopes at ``points`` of the regressions ``which (a,)``."""
        boundaries, offsets = self._read(points)
        share, penalties = self.weights[which], self.penalties[which]
        scores = score(self.rows, boundaries, offsets + self.absent[:, which])
        losses, rises = _cross_entropy(scores, self.truth[:, which])
        rises *= share
        slopes = (rises @ self.rows + penalties * boundaries) @ self.axes.T
        values = (share * losses).sum(1) + (penalties * boundaries.square()).sum((0, 2)) / 2
        whole = torch.cat([slopes, rises.sum(2, keepdim=True)], dim=2)
        return values, whole.transpose(0, 1).flatten(1)

    def _read(self, points: Tensor) -> tuple[Tensor, Tensor]:
        """Return boundaries ``(B, a, D)`` and offsets ``(B, a, 1)``."""
        whole = points.unflatten(1, (len(self.truth), -1)).transpose(0, 1)
        return whole[..., :-1] @ self.axes, whole[..., -1:]


def score(rows: Tensor, boundaries: Tensor, offsets: Tensor) -> Tensor:
    """Return the scores ``(B, A, M)`` of rows ``(M, D)``."""
    return torch.baddbmm(offsets, boundaries, rows.T.expand(len(boundaries), -1, -1))


def _cross_entropy(scores: Tensor, truth: Tensor) -> tuple[Tensor, Tensor]:
    """Return losses ``(A, N)`` of scores ``(B, A, N)``, and their slopes.

    By the chance of the true class, which is much cheaper than by its logarithm.
    """
    if len(scores) == 1:
        sides = 2 * truth - 1
        chances = (sides * scores).sigmoid()
        return -chances[0].clamp_min(TINY).log(), sides * (chances - 1)
    chances = scores.softmax(0)
    return -(truth * chances).sum(0).clamp_min(TINY).log(), chances - truth


def learn_boundaries(known: Known, inverse_penalty: float) -> Reader:
    """Return what scikit-learn's ``LogisticRegression(C=inverse_penalty)`` says of each attribute.

    Where a class is carried by nobody, the attribute's scores are NaN: nothing was learned.
    """
    mean = known.rows.mean(0)
    centred = Known(known.rows - mean, known.labels, known.pids, known.sizes)
    axes = _even_axes(centred.rows, 1 / (inverse_penalty * len(known.rows)))
    learned = [
        (places, *_Regressions.of(centred, axes, places, inverse_penalty).solve())
        for places in _alike(known)
    ]

    def read(rows: Tensor) -> list[Tensor]:
        found = [torch.full((len(rows), size), torch.nan).double() for size in known.sizes]
        for places, boundaries, offsets in learned:
            scores = score(rows - mean, boundaries, offsets).double()
            if len(scores) == 1:  # between two classes: each has half of it
                scores = torch.cat([-scores / 2, scores / 2])
            for place, of_one in zip(places, scores.unbind(1), strict=True):
                found[place] = of_one[: known.sizes[place]].T
        return found

    return read


def _even_axes(rows: Tensor, penalty: float) -> Tensor:
    """Return axes ``(D, D)`` along which the loss on centred rows ``(N, D)`` is curved by one.

    That is where nothing is known yet: chances of one half, whose p (1 - p) is a quarter.
    """
    curvature = (rows.T @ rows / len(rows) / 4).double()
    ridge = penalty + RIDGE * float(curvature.diagonal().mean()) + TINY
    curvature.diagonal().add_(ridge)
    root = torch.linalg.cholesky(curvature)
    unit = torch.eye(len(root), dtype=root.dtype)
    axes: Tensor = torch.linalg.solve_triangular(root, unit, upper=False).float()
    return axes


def _alike(known: Known) -> Iterator[list[int]]:
    """Yield attributes of two classes and those of more, if every class is carried by somebody."""
    carried = [
        len(label[label != MISSING].unique()) == size
        for label, size in zip(known.labels.T, known.sizes, strict=True)
    ]
    for two in (True, False):
        places = [a for a, of in enumerate(known.sizes) if carried[a] and (of == 2) == two]
        if places:
            yield places
