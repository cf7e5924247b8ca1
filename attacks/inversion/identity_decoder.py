"""The rung whose only question is: would a re-ID network take this for the same person?"""

from typing import ClassVar

import pytorch_lightning as pl
import torch
from pydantic import NonNegativeInt, PositiveInt
from pytorch_lightning.utilities.types import OptimizerLRSchedulerConfig
from torch import Tensor

from attacks import threat_models
from attacks.inversion.linear import LinearDecoder
from attacks.inversion.losses import feature_consistency
from attacks.inversion.networks import DoubledSize, Inverter
from attacks.inversion.reconstruction import OwnPairs, auxiliary_pairs, judge_reconstructions
from attacks.inversion.reference import draw_people
from attacks.inversion.surrogate import Surrogate, train_surrogate
from attacks.learners.standardising import Standardise
from auditor.certification.planting import Planted
from auditor.metrics.perceptual import PerceptualDistance
from auditor.plugins.declaring import Positive, checked_dataclass
from auditor.releasing import draw_release
from auditor.report import Adversary
from auditor.training import Batches, fit, one_cycle
from auditor.types import AttackResult, RunContext, Target


@checked_dataclass
class IdentityDecoder:
    """Reconstructs the person's picture with a decoder trained only against a re-ID network.

    Threat model: has the stored gallery and own pictures of other people; may query the extractor
    on those and knows how the gallery is protected and released. Trains a re-ID network of its own
    on them; needs no gradients of the attacked one, and no judge takes part.

    Source: decoders for face embeddings whose perceptual loss is taken in a face recogniser, with
    the pixel loss dropped, the strongest published rung there. Differences: the re-ID network is
    the shipped one, refined on own people (identity softmax, and distillation of the target), and
    the decoder starts from the closed-form linear guess, so that colours need not be found anew.

    Attributes:
        image_size: (height, width) of the reconstructions: 32×16, 64×32, 128×64 or 256×128.
        width: channels of the decoder at full resolution.
        epochs: passes over the auxiliary people.
        surrogate_epochs: the same, for the re-ID network.
        batch_size: pictures per step.
        lr: peak learning rate of AdamW under a one-cycle schedule, for both networks.
        consistency: weight of the feature that the re-ID network imitates.
        pool: how many neighbours each stored entry is pooled with; see `attacks.inversion.pooling`.
        per_person: reconstructions per attacked person.
    """

    image_size: DoubledSize = (64, 32)
    width: PositiveInt = 24
    epochs: NonNegativeInt = 5
    surrogate_epochs: PositiveInt = 3
    batch_size: PositiveInt = 64
    lr: Positive = 2e-3
    consistency: float = 1.0
    pool: NonNegativeInt = 16
    per_person: PositiveInt = 2

    family: ClassVar[str] = "inversion"
    adversary: ClassVar[Adversary] = threat_models.DECODER
    headline: ClassVar[str] = "reid_rank1"
    slow: ClassVar[bool] = True

    def run(self, target: Target, ctx: RunContext) -> AttackResult:
        """See `auditor.types.Attack`."""
        own = auxiliary_pairs(target, self.image_size, ctx)
        generator = ctx.generator("attacks.identity_decoder")
        with ctx.randomness("attacks.identity_decoder"):
            surrogate = train_surrogate(
                own.clean,
                own.pixels,
                target.data.auxiliary.pids,
                epochs=self.surrogate_epochs,
                lr=self.lr,
                generator=generator,
                ctx=ctx,
            )
            decoder = _Decoder(self, target, own, surrogate, generator)
            batches = Batches((own.seen, own.pixels, own.clean), self.batch_size, generator)
            fit(decoder, batches, epochs=self.epochs, ctx=ctx, detail="identity decoder")
        distance = PerceptualDistance(ctx.weights).to(ctx.device)
        return judge_reconstructions(decoder, self.per_person, self.pool, target, ctx, distance)

    def reference(self, planted: Planted, ctx: RunContext) -> AttackResult:
        """Return the expected code behind each pooled entry, painted."""
        return draw_people(planted, ctx, size=self.image_size, per_person=self.per_person)


class _Decoder(pl.LightningModule):
    """The inverter's network under the surrogate's distance."""

    def __init__(
        self,
        attack: IdentityDecoder,
        target: Target,
        own: OwnPairs,
        surrogate: Surrogate,
        generator: torch.Generator,
    ) -> None:
        super().__init__()
        self.attack, self.release, self.generator = attack, target.release, generator
        self._surrogate = [surrogate]  # kept out of the module tree: it is not trained along
        released = draw_release(target.release, own.seen, generator)
        self.standardise = Standardise(released)
        guess = LinearDecoder(self.standardise(released), own.pixels, target.data.auxiliary.pids)
        self.inverter = Inverter(own.seen.shape[1], attack.image_size, attack.width, guess)
        self.to(own.seen.device)

    def forward(self, stored: Tensor) -> Tensor:
        """Return stored features ``(B, D)`` to pictures ``(B, 3, H, W)`` in [0, 1]."""
        pictures: Tensor = self.inverter(self.standardise(stored))
        return pictures

    def training_step(self, batch: tuple[Tensor, Tensor, Tensor], index: int) -> Tensor:
        """Return what the surrogate sees in both pictures, and what the target would."""
        features, pixels, clean = batch
        drawn = self(draw_release(self.release, features, self.generator))
        surrogate = self._surrogate[0]
        seen = surrogate.distance(drawn, pixels.float().div(255)).mean()
        return seen + self.attack.consistency * feature_consistency(
            surrogate.predict_features(drawn), clean
        )

    def configure_optimizers(self) -> OptimizerLRSchedulerConfig:
        """AdamW under a one-cycle schedule."""
        return one_cycle(self, self.attack.lr, 1e-4)
