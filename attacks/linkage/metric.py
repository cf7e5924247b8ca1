"""Is this the same person? Linking two releases by a metric that auxiliary people taught."""

from dataclasses import replace

from pydantic import NonNegativeInt

from attacks.learners.metric import Contrast, learn_metric
from attacks.linkage.plda import LinkageByModel, link_by_model, own_people
from auditor.embedding import stored_gallery
from auditor.plugins.declaring import checked_dataclass
from auditor.types import AttackResult, RunContext, Target


@checked_dataclass
class LinkageMetric(LinkageByModel):
    """Links a person's entries across two releases by a metric learned from other people.

    Threat model: has two stored galleries of the same people that were released independently, as
    for `linkage`, and knows no names in them; has own pictures of other people, may query the
    extractor on those and knows how pictures are protected and how the gallery is released; ranks
    the second release by similarity to each entry of the first.

    Source: the metric of `identity_metric`: supervised contrast of auxiliary people's entries, from
    the features and from what is not linear in them, where that serves people held out; compared as
    `linkage_plda` does.

    Attributes:
        pairs: at most so many mated, and so many non-mated, pairs are scored for ``d_sys``.
        steps: of training; 0 leaves the network out.
        lr: peak learning rate of AdamW under a one-cycle schedule.
        weight_decay: of AdamW.
    """

    steps: NonNegativeInt = 300
    lr: float = 1e-3
    weight_decay: float = 0.05

    def run(self, target: Target, ctx: RunContext) -> AttackResult:
        """See `auditor.types.Attack`."""
        name = "attacks.linkage_metric"
        own, stored = own_people(target, ctx, name), stored_gallery(target, ctx)
        contrast = Contrast(steps=self.steps, lr=self.lr, weight_decay=self.weight_decay)
        metric = learn_metric(own, stored, contrast, ctx, name)
        result = link_by_model(self.pairs, metric.prepare, own, target, ctx)
        return replace(result, notes=(*result.notes, metric.note))
