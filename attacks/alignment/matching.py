"""Who in one crowd is who in another, by nothing but the shape of both.

Gromov–Wasserstein transport finds the coupling of two crowds under which distances within one
agree best with distances within the other. The problem has many bad solutions, so it is begun with
what can be compared directly, how far each person lies from everybody else, and solved under less
and less entropy, from several starts.
"""

import warnings
from dataclasses import dataclass

import numpy as np
import ot
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from attacks.alignment.crowds import Crowd

Array = NDArray[np.float64]

SPREAD = 0.25
"""Deviation that distances are brought to in both crowds."""
ENTROPIES = (0.005, 0.004, 0.003, 0.002, 0.0015, 0.001)
"""How much of it is left, step by step; with more, everybody is everybody."""
STEPS = 25
"""Of the coupling under each."""
PROJECTIONS = 50
"""Of Sinkhorn's within a step."""
QUANTILES = 101
"""By which a person's distances to everybody else are described."""
START = 0.05
"""Entropy of the first coupling, as a share of its mean cost."""
DOUBT = 1.0
"""How much further starts differ from the first, as a share of each cost."""
ENOUGH = 20
"""Known pairs, from which on a single start finds the way."""
PAIRS = 0.2
"""How much a known pair tells of who is who, compared with all distances to people unknown."""
ROUNDS = 10
"""Of Procrustes on mutual nearest neighbours."""
NEIGHBOURS = 10
"""By whom a hub, which is near to everybody, is known and discounted."""


@dataclass(frozen=True, eq=False)
class Anchors:
    """Pictures whose stored vectors are known.

    Attributes:
        own: ``(K, E)`` unit rows of one crowd's space.
        stored: ``(K, F)`` the same pictures' in the other's.
    """

    own: Tensor
    stored: Tensor

    def __len__(self) -> int:
        return len(self.own)

    def first(self, count: int) -> "Anchors":
        """Return the first ``count`` of them."""
        return Anchors(self.own[:count], self.stored[:count])


def align(
    own: Crowd, stored: Crowd, anchors: Anchors, starts: int, generator: torch.Generator
) -> Tensor:
    """Return the orthogonal map ``(E, F)`` from one crowd's space to the other's.

    Args:
        own: people whose pictures are one's own.
        stored: who seems to be in the gallery.
        anchors: what is known beforehand.
        starts: how many times the matching is begun; see `couple`.
        generator: makes the starts differ.
    """
    coupling = torch.from_numpy(couple(own, stored, anchors, starts, generator)).float()
    fixed = own.people.T @ coupling @ stored.people
    if len(anchors):
        fixed = fixed + anchors.own.T @ anchors.stored / len(anchors)
    turn = rotate(fixed)
    for _ in range(ROUNDS):
        rows, entries = mutual(own.rows @ turn, stored.rows)
        found = own.rows[rows].T @ stored.rows[entries] / max(1, len(rows))
        turn = rotate(fixed + found)
    return turn


def couple(
    own: Crowd, stored: Crowd, anchors: Anchors, starts: int, generator: torch.Generator
) -> Array:
    """Return which share of each person of ``own`` is which one of ``stored``, ``(P, Q)``.

    Of several starts, the coupling under which distances agree best. Enough known pairs need one.
    """
    first, second = (_distances(crowd.people @ crowd.people.T) for crowd in (own, stored))
    problem = first, second, own.weights, stored.weights
    costs = [_normalise(_gaps(_profile(first), _profile(second)))]
    if len(anchors):
        views = own.people @ anchors.own.T, stored.people @ anchors.stored.T
        told = PAIRS * len(anchors) * _normalise(_gaps(*map(_distances, views)))
        costs = [costs[0] + told, *costs]
    found = []
    for start in range(1 if len(anchors) >= ENOUGH else starts):
        noise = torch.rand(costs[0].shape, generator=generator, dtype=torch.float64).numpy()
        doubt = DOUBT * (noise - 0.5) if start else 0.0
        found.append(_solve(*problem, costs[start % len(costs)] * (1 + doubt)))
    return min(found, key=lambda coupling: _disagreement(*problem, coupling))


def _solve(first: Array, second: Array, own: Array, stored: Array, cost: Array) -> Array:
    with warnings.catch_warnings():
        # few projections are enough for a step of many
        warnings.filterwarnings("ignore", message="Sinkhorn did not converge")
        coupling = ot.sinkhorn(own, stored, cost, START * cost.mean(), numItermax=5 * PROJECTIONS)
        for entropy in ENTROPIES:
            coupling = ot.gromov.entropic_gromov_wasserstein(
                first,
                second,
                own,
                stored,
                "square_loss",
                epsilon=entropy,
                G0=coupling,
                max_iter=STEPS,
                tol=1e-7,
                numItermax=PROJECTIONS,
            )
    return np.asarray(coupling)


def _disagreement(first: Array, second: Array, own: Array, stored: Array, coupling: Array) -> float:
    """Return the squared difference of distances under a coupling."""
    return float(ot.gromov.gwloss(*ot.gromov.init_matrix(first, second, own, stored), coupling))


def _distances(cosines: Tensor) -> Array:
    """Return distances of mean 0 and deviation `SPREAD`: all networks stretch them differently."""
    rows = -cosines.double().numpy()
    return np.asarray(SPREAD * (rows - rows.mean()) / max(rows.std(), 1e-12))


def _profile(distances: Array) -> Array:
    return np.quantile(distances, np.linspace(0, 1, QUANTILES), axis=1).T


def _gaps(first: Array, second: Array) -> Array:
    """Return squared distances ``(P, Q)`` of rows ``(P, C)`` and ``(Q, C)``."""
    return np.asarray(ot.dist(first, second, "sqeuclidean"))


def _normalise(cost: Array) -> Array:
    return np.asarray(cost / max(cost.mean(), 1e-12))


def rotate(matched: Tensor) -> Tensor:
    """Return the orthogonal map ``(E, F)`` nearest to a sum of products ``(E, F)`` of pairs."""
    left, _, right = torch.linalg.svd(matched.double(), full_matrices=False)
    turn: Tensor = (left @ right).float()
    return turn


def mutual(first: Tensor, second: Tensor) -> tuple[Tensor, Tensor]:
    """Return the rows of either side, ``(M,)`` each, that are nearest to each other.

    By cosine, less the mean cosine of either with its nearest ones (CSLS; Conneau et al., ICLR
    2018).
    """
    cosines = F.normalize(first, dim=1) @ F.normalize(second, dim=1).T
    rows = cosines.topk(min(NEIGHBOURS, len(second)), dim=1).values.mean(1)
    columns = cosines.topk(min(NEIGHBOURS, len(first)), dim=0).values.mean(0)
    scores = 2 * cosines - rows[:, None] - columns
    there, back = scores.argmax(1), scores.argmax(0)
    chosen = (back[there] == torch.arange(len(first))).nonzero().flatten()
    return chosen, there[chosen]
