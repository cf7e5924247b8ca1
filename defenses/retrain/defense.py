"""The answer of a deployment to its own protection: an extractor that works with such pictures."""

from dataclasses import replace

from auditor.plugins.declaring import Weight, checked_dataclass
from auditor.training import train_reid
from auditor.types import RunContext, Target
from defenses.retrain.base import Retraining, retrainable


@checked_dataclass
class Retrain(Retraining):
    """Goes on training the extractor on pictures that are protected as the gallery's are.

    A protection of pictures costs accuracy for two reasons: what it takes away, and that the
    extractor never saw such pictures. Behind one, as in ``blur+retrain``, this takes the second
    away, as whoever deploys it would. Training pictures go through the mechanism under a key of
    their own. It protects nothing by itself: alone it is plain fine-tuning, the control for
    defenses that train the extractor for longer.

    Source: the utility protocol of PIS (Dou et al., SCIS 69(1), 2026, Sec. 4.1), which trains on
    protected pictures. Differences: the extractor is fine-tuned rather than trained from ImageNet
    weights, and searched with protected pictures, as a deployment would.
    """

    softmax: Weight = 1.0

    def apply(self, target: Target, ctx: RunContext) -> Target:
        """See `auditor.types.Defense`; raises DataError if fewer than two people can be shown."""
        extractor = retrainable(target)
        shown = target.data.train
        if target.publish is not None:
            shown = target.publish(shown, ctx.generator("defenses.retrain"))
        trained = train_reid(extractor, shown, self.recipe, ctx, name="retrain")
        return replace(target, extractor=trained.extractor)
