"""The best adversary of each family, on the faint plant whose parameters it knows.

It is given exactly what the attack is given, asks the same questions and is scored by the same
code, but it knows the true moments of people and pictures where an attack has to learn them. What
an attack reaches, as a share of this, is its efficiency; see `auditor.certification.certificates`.
"""

import torch
from torch import Tensor

from attacks.attributes.colours import with_colours
from attacks.attributes.labels import attackable
from attacks.attributes.scoring import inferred
from attacks.closed_set import Sides, named, split_gallery
from attacks.matching import rated, search
from attacks.publication import published
from auditor.certification.planting import AMPLITUDE, CELLS, Planted
from auditor.embedding import stored_gallery
from auditor.types import AttackResult, RunContext


def name_people(
    planted: Planted, ctx: RunContext, *, split: Sides, train_share: float
) -> AttackResult:
    """The Bayes classifier of the two-covariance model names people by their known entries."""
    target = planted.target
    stored, pids = stored_gallery(target, ctx), target.data.gallery.pids
    known, asked = split_gallery(target.data.gallery, split, train_share, ctx)
    people, labels = pids[known].unique(return_inverse=True)
    scores = planted.truth(ctx).naming(stored[known], labels, stored[asked])
    return named(scores, people, pids[asked], split)


def discriminate(planted: Planted, ctx: RunContext, *, min_people: int) -> AttackResult:
    """The linear discriminant with the true covariance reads each entry by itself.

    The means of the values are those of the adversary's own people: how they differ is what no
    adversary can know better than their pictures tell.
    """
    target, truth = planted.target, planted.truth(ctx)
    auxiliary, gallery = with_colours(target.data.auxiliary, target.data.gallery)
    codes = {
        name: values
        for name, values in attackable(auxiliary, gallery, min_people).items()
        if name in truth.labels
    }
    _, own = published(target, target.data.auxiliary, ctx, "attacks.references.key")
    released = target.release(own, ctx.generator("attacks.references.release")).double()
    people = auxiliary.pids.unique(return_inverse=True)[1]
    each = 1 / people.bincount()[people].double()
    stored, scores = stored_gallery(target, ctx), []
    for name, values in codes.items():
        means = torch.stack(
            [_mean(released, each * (auxiliary.attributes[name] == value)) for value in values]
        )
        scores.append(truth.reading(name, values, means, stored))
    return inferred(scores, gallery, codes, set(target.data.gallery.attributes))


def _mean(rows: Tensor, weights: Tensor) -> Tensor:
    mean: Tensor = (weights[:, None] * rows).sum(0) / weights.sum()
    return mean


def find_people(planted: Planted, ctx: RunContext, name: str) -> AttackResult:
    """Each entry beside the clean query, by what both tell of one person."""
    data, truth = planted.target.data, planted.truth(ctx)
    partners = data.gallery.partners
    query = data.query.images.load(range(len(data.query)), CELLS).flatten(1) - 0.5
    asked, entries = truth.finding(query / AMPLITUDE, stored_gallery(planted.target, ctx))
    found = search(asked, entries, data, partners)
    return AttackResult(rated(name, found, data, partners))
