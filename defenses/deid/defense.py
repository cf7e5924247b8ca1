"""Stage one of PEPR-Net as a plug-in, with every row of its ablation."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, ClassVar, Literal

from pydantic import PositiveInt
from torch import nn

from attacks.inversion.networks import DoubledSize
from auditor.models.extractor import CardedExtractor
from auditor.plugins.declaring import Several, Weight, checked_dataclass
from auditor.training import train_reid
from auditor.training.learner import identity_dims
from auditor.training.sampler import pictures
from auditor.types import RunContext, Split, Target
from defenses.deid.co_trained import co_trained
from defenses.deid.decoder import Decoding, Drawn, Reduction
from defenses.deid.identity import Naming, Rivalry
from defenses.retrain import Retraining, retrainable


@checked_dataclass
class Deid(Retraining):
    """Retrains the extractor to decode to a de-identified picture and to leave identity undecided.

    Stage one of PEPR-Net (Kansal et al., WACV 2024, §4.3): the loss is λ1 · re-ID + λ2 · De-ID +
    λ3 · Adv-ID. `rows` contains the parameters of every row of its Table 1; the second stage is
    `dp_gallery`, applied afterwards.

    Differences: Equation 3 as printed is least for *confident* predictions, which is the opposite
    of what the text wants; the cross-entropy to the uniform distribution is minimised instead. The
    paper does not say what teaches the head to name anybody: read literally, nothing does
    (``joint``, which Table 1's rows use), and by default it learns to (``alternating``, as in the
    work the paper follows, Liu et al., CVPR 2018). Equation 2 sums over pixels; ``squared_error``
    offers that and, by default, the mean, which for 64×32 pictures makes λ2 6144 times weaker.
    Triplets are batch-hard, not squared, and compared as the extractor's card says. The optimizer
    is AdamW with a cosine schedule. A model that is already trained is fine-tuned. The paper prints
    no block size, no blur and no box: ``detail`` and `defenses.deid.decoder` say ours.

    Attributes:
        decoder: what it has to reconstruct; ``clean`` is the paper's control, ``none`` omits it.
        adversary: what trains the Adv-ID head; ``none`` leaves it out.
        de_id: λ2.
        adv_id: λ3; λ1 is ``triplet``.
        detail: side of a block, and twice the blur's deviation, in pixels of ``image_size``.
        image_size: (height, width) of the decoder's pictures.
        width: channels of the decoder.
        squared_error: over a picture's pixels.
    """

    decoder: Literal[Drawn, "none"] = "pixelated"
    adversary: Literal[Rivalry, "none"] = "alternating"
    de_id: Weight = 0.1
    adv_id: Weight = 0.001
    detail: PositiveInt = 4
    image_size: DoubledSize = (64, 32)
    width: Several = 64
    squared_error: Reduction = "mean"

    rows: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "baseline": {"decoder": "none", "adversary": "none"},
        "baseline + clean decoder": {"decoder": "clean", "adversary": "none"},
        "baseline + De-ID with blurring": {"decoder": "blurred", "adversary": "none"},
        "baseline + De-ID with obfuscation": {"decoder": "obfuscated", "adversary": "none"},
        "baseline + De-ID with pixelation": {"decoder": "pixelated", "adversary": "none"},
        "baseline + Adv-ID": {"decoder": "none", "adversary": "joint"},
        "proposed (1 stage)": {"decoder": "pixelated", "adversary": "joint"},
    }
    """Row of Table 1 -> parameters."""

    def apply(self, target: Target, ctx: RunContext) -> Target:
        """See `auditor.types.Defense`; raises DataError if fewer than two people can be shown."""
        extractor = retrainable(target)
        with ctx.randomness("defenses.deid"):
            terms = self._terms(extractor, target.data.train)
        trained = train_reid(
            extractor, target.data.train, self.recipe, ctx, name="deid", terms=terms
        )
        defended = replace(target, extractor=trained.extractor)
        naming = terms.get("adv_id")
        if not isinstance(naming, Naming):
            return defended
        found = co_trained(naming.head, trained.extractor, target, ctx)
        return replace(defended, co_trained=(*target.co_trained, *found))

    def _terms(self, extractor: CardedExtractor, people: Split) -> dict[str, nn.Module]:
        dim, card = sum(identity_dims(extractor)), extractor.card
        terms: dict[str, nn.Module] = {}
        if self.decoder != "none":
            terms["de_id"] = Decoding(
                dim,
                card,
                self.decoder,
                self.detail,
                self.image_size,
                self.width,
                self.squared_error,
                self.de_id,
            )
        if self.adversary != "none":
            classes = 1 + int(pictures(people, extractor.input_size).classes.max())
            terms["adv_id"] = Naming(dim, card, classes, self.adversary, self.adv_id)
        return terms
