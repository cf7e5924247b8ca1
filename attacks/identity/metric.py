"""Who is this, by a metric that auxiliary people taught: linear in the features or not."""

from dataclasses import replace

from pydantic import NonNegativeInt

from attacks.identity.naming import Naming
from attacks.identity.plda import name_by_model
from attacks.learners.metric import Contrast, learn_metric
from attacks.learners.plda import Own
from auditor.embedding import stored_gallery
from auditor.plugins.declaring import checked_dataclass
from auditor.types import AttackResult, RunContext, Target


@checked_dataclass
class IdentityMetric(Naming):
    """Names the person behind a stolen embedding by a metric learned from other people.

    Threat model: has the stored gallery and knows the names behind part of each person's entries;
    has own pictures of other people, may query the extractor on those and knows how pictures are
    protected and how the gallery is released; names the remaining entries. Closed set, as for
    `identity`.

    Source: supervised contrast (Khosla et al., NeurIPS 2020) of auxiliary people's entries, each
    step through a fresh release, from the features and from what is not linear in them: magnitudes,
    signs, ranks, norms, and those products of two coordinates in which people differ. The
    two-covariance model of `identity_plda` then names. Held-out auxiliary people choose between the
    network, those columns alone and the plain features, so that no setting makes it worse than
    `identity_plda` is there.

    Attributes:
        train_share: share of each person's images, or of the cameras, whose names are known.
        split: whether half of the images or half of the cameras is known.
        steps: of training; 0 leaves the network out.
        lr: peak learning rate of AdamW under a one-cycle schedule.
        weight_decay: of AdamW.
    """

    steps: NonNegativeInt = 300
    lr: float = 1e-3
    weight_decay: float = 0.05

    def run(self, target: Target, ctx: RunContext) -> AttackResult:
        """See `auditor.types.Attack`."""
        name = "attacks.identity_metric"
        own, stored = Own.of(target, ctx, name), stored_gallery(target, ctx)
        contrast = Contrast(steps=self.steps, lr=self.lr, weight_decay=self.weight_decay)
        metric = learn_metric(own, stored, contrast, ctx, name)
        result = name_by_model(self, metric.prepare, own, target, ctx)
        return replace(result, notes=(*result.notes, metric.note))
