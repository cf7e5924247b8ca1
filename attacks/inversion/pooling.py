"""Stored entries that are probably of one person, averaged: who steals a gallery steals all of it.

No name is needed: on own pictures of other people the adversary learns how likely two released
entries of a given cosine are of one person, and weighs each entry's neighbours by that. Where the
gallery contains one entry per person, or noise hides who is who, the weights vanish by themselves.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from sklearn.linear_model import LogisticRegression
from torch import Tensor

from attacks.learners.pooling import nearest_others
from attacks.protocol.publication import own_pictures
from auditor.embedding import stored_gallery
from auditor.types import RunContext, Target

ANCHORS = 200
"""Auxiliary entries whose cosines to all others teach the weights."""


@dataclass(frozen=True)
class Pooling:
    """Each entry's mean with its neighbours, weighed by the probability of being one person.

    Attributes:
        neighbours: how many of the nearest entries take part; 0 leaves every entry as it is.
        slope: of the log-odds that two entries are of one person, per unit of cosine.
        offset: these log-odds at cosine 0.
    """

    neighbours: int
    slope: float
    offset: float

    def __call__(self, entries: Tensor, chosen: Tensor | None = None) -> Tensor:
        """Released entries ``(N, D)`` to the pooled forms of all, or of those ``chosen (M,)``."""
        count = min(self.neighbours, len(entries) - 1)
        if count < 1:
            return entries if chosen is None else entries[chosen]
        pooled = []
        for own, cosines, near in nearest_others(F.normalize(entries, dim=1), count, chosen):
            weights = torch.sigmoid(self.slope * cosines + self.offset)
            total = entries[own] + (weights[:, :, None] * entries[near]).sum(1)
            pooled.append(total / (1 + weights.sum(1, keepdim=True)))
        return torch.cat(pooled)


def pool_stored(target: Target, chosen: Tensor, neighbours: int, ctx: RunContext) -> Tensor:
    """Return the stored entries ``chosen (M,)`` after `Pooling` with whichever others are nearest.

    How they are pooled is learned from auxiliary people.
    """
    stored = stored_gallery(target, ctx)
    if not neighbours or not len(target.data.auxiliary):
        return stored[chosen]
    return fit_pooling(target, neighbours, ctx)(stored, chosen)


def fit_pooling(target: Target, neighbours: int, ctx: RunContext) -> Pooling:
    """Learn from one draw of the release on auxiliary people; few of them pool nothing."""
    generator = ctx.generator("attacks.pooling")
    pids = target.data.auxiliary.pids
    released = target.release(own_pictures(target, ctx).features, generator)
    unit = F.normalize(released, dim=1)
    anchors = torch.randperm(len(pids), generator=generator)[:ANCHORS]
    others = torch.ones(len(anchors), len(pids), dtype=torch.bool)
    others[torch.arange(len(anchors)), anchors] = False
    cosines = (unit[anchors] @ unit.T)[others]
    same = (pids[anchors][:, None] == pids)[others]
    if not same.any() or same.all():
        return Pooling(0, 0.0, 0.0)
    # unpenalised and unweighted, so that the probabilities are those of a random pair
    model = LogisticRegression(C=1e6).fit(cosines[:, None].numpy(), same.numpy())
    return Pooling(neighbours, float(model.coef_[0, 0]), float(model.intercept_[0]))
