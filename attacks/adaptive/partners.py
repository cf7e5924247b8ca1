"""Who was mixed into a picture? The pair of people that explains it best.

A protection that blends two people hides neither behind the number of pairs: with a model of how a
protected feature comes about from the two clean ones, all pairs of a pool are compared in closed
form, ``‖f − A·own − B·partner − c‖²`` in the spread of what the model leaves unexplained.
"""

from dataclasses import dataclass

import torch
from sklearn.covariance import ledoit_wolf
from torch import Tensor

from attacks.learners.mapping import Map, Pairs, Refinement, learn_maps
from attacks.learners.people import PersonMeans
from auditor.types import RunContext

CELLS = 2**23
"""Entries times pairs of people that are compared at a time."""


@dataclass(frozen=True, eq=False)
class Pool:
    """People who may be in a picture.

    Attributes:
        people: ``(P,)`` in ascending order.
        means: ``(P, E)`` the mean of each one's clean features.
    """

    people: Tensor
    means: Tensor

    @classmethod
    def of(cls, features: Tensor, pids: Tensor) -> "Pool":
        """Everybody in features ``(N, E)`` of ``pids (N,)``; 0 is nobody."""
        somebody = pids > 0
        means = PersonMeans.of(features[somebody].double(), pids[somebody])
        return cls(means.people, means.rows.float())

    def mean_of(self, pids: Tensor) -> Tensor:
        """Return the means ``(M, E)`` of ``pids (M,)``, all of them in the pool."""
        return self.means[torch.searchsorted(self.people, pids)]


@dataclass(frozen=True, eq=False)
class Mixture:
    """How stored features come about from two people's mean clean features.

    Attributes:
        forward: ``(N, 2E)`` own and partner's mean, beside each other, to stored features.
        whiten: ``(D, D)`` takes what that leaves unexplained to unit spread.
    """

    forward: Map
    whiten: Tensor

    def partners(self, stored: Tensor, pool: Pool) -> Tensor:
        """``(N, P)`` squared distance of stored rows to each partner, with whoever suits best.

        Args:
            stored: ``(N, D)``.
            pool: who may be the person and who the partner, two people at least.
        """
        people = pool.means
        nobody = torch.zeros_like(people)
        own = self.forward(torch.cat([people, nobody], dim=1))
        other = self.forward(torch.cat([nobody, people], dim=1)) - self.forward(nobody.repeat(1, 2))
        own, other, rows = own @ self.whiten, other @ self.whiten, stored @ self.whiten
        both = own.square().sum(1)[:, None] + other.square().sum(1) + 2 * own @ other.T
        both.fill_diagonal_(torch.inf)
        nearest = []
        for block in rows.split(max(1, CELLS // len(people) ** 2)):
            own_best = (both - 2 * (block @ own.T)[:, :, None]).min(1).values
            nearest.append(own_best - 2 * block @ other.T + block.square().sum(1)[:, None])
        return torch.cat(nearest)


def learn_mixture(pairs: Pairs, ctx: RunContext, name: str) -> Mixture:
    """Return the model of own pictures.

    Args:
        pairs: mean clean features of the person and, beside it, of the partner ``(N, 2E)``; what
            was stored of the protected picture ``(N, D)``.
        ctx: for random numbers.
        name: of these.
    """
    forward = learn_maps(pairs, Refinement(epochs=0), ctx, name).closest
    unexplained = pairs.wanted - forward(pairs.seen)
    covariance, _ = ledoit_wolf(unexplained.double().numpy())
    variances, axes = torch.linalg.eigh(torch.from_numpy(covariance))
    floor = 1e-6 * float(variances.max()) + 1e-12
    return Mixture(forward, (axes * variances.clamp_min(floor).rsqrt()).float())
