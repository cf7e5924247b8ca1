"""The best adversary of attributes, on the faint plant whose parameters it knows."""

from collections.abc import Mapping, Sequence
from typing import ClassVar

import torch
from torch import Tensor

from attacks import threat_models
from attacks.attribute.colours import with_colours
from attacks.attribute.labels import attackable
from attacks.attribute.scoring import score_attributes
from attacks.protocol.publication import publish_own
from auditor.certification.planting import Planted
from auditor.embedding import stored_gallery
from auditor.report import Adversary
from auditor.types import AttackResult, RunContext


class Reading:
    """What the rungs share that read attributes; the field is for each to declare.

    Attributes:
        min_people: an attribute value carried by fewer people on either side is not measured.
    """

    min_people: int

    family: ClassVar[str] = "attribute"
    adversary: ClassVar[Adversary] = threat_models.ANNOTATOR
    headline: ClassVar[str] = "mean_balanced_accuracy"

    def reference(self, planted: Planted, ctx: RunContext) -> AttackResult:
        """Return the linear discriminant with the true means and covariance, entry by entry."""
        return _discriminate(planted, ctx, min_people=self.min_people)


def _discriminate(planted: Planted, ctx: RunContext, *, min_people: int) -> AttackResult:
    """Read every attribute of each entry by the linear discriminant with the true covariance."""
    data, truth = planted.target.data, planted.truth(ctx)
    auxiliary, gallery = with_colours(data.auxiliary, data.gallery)
    codes = {
        name: values
        for name, values in attackable(auxiliary, gallery, min_people).items()
        if name in truth.labels
    }
    scores = discriminate_values(planted, ctx, codes)
    return score_attributes(scores, gallery, codes, set(data.gallery.attributes))


def discriminate_values(
    planted: Planted, ctx: RunContext, codes: Mapping[str, Sequence[int]]
) -> list[Tensor]:
    """Compute log-likelihoods ``(N, K)`` of the values of each attribute for each entry by itself.

    The covariance is the true one. The means of the values are those of the adversary's own people:
    how they differ is what no adversary can know better than their pictures tell.
    """
    target, truth = planted.target, planted.truth(ctx)
    auxiliary = target.data.auxiliary
    _, own = publish_own(target, auxiliary, ctx, "attacks.references.key")
    released = target.release(own, ctx.generator("attacks.references.release")).double()
    people = auxiliary.pids.unique(return_inverse=True)[1]
    each = 1 / people.bincount()[people].double()
    stored, scores = stored_gallery(target, ctx), []
    for name, values in codes.items():
        means = torch.stack(
            [_mean(released, each * (auxiliary.attributes[name] == value)) for value in values]
        )
        scores.append(truth.reading(name, values, means, stored))
    return scores


def _mean(rows: Tensor, weights: Tensor) -> Tensor:
    mean: Tensor = (weights[:, None] * rows).sum(0) / weights.sum()
    return mean
