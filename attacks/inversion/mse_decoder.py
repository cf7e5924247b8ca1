"""The plain rung: a small decoder trained on squared error alone."""

import math
from typing import ClassVar

import pytorch_lightning as pl
import torch
import torch.nn.functional as F
from pydantic import NonNegativeInt, PositiveInt
from torch import Tensor, nn

from attacks import threat_models
from attacks.inversion.networks import SEED_SIZE, DoubledSize, three_step_decoder
from attacks.inversion.reconstruction import auxiliary_pairs, judge_reconstructions
from attacks.inversion.reference import draw_people
from attacks.learners.standardising import Standardise
from auditor.certification.planting import Planted
from auditor.metrics.perceptual import PerceptualDistance
from auditor.plugins.declaring import Positive, checked_dataclass
from auditor.releasing import draw_release
from auditor.report import Adversary
from auditor.training import Batches, fit
from auditor.types import AttackResult, Release, RunContext, Target


@checked_dataclass
class MseDecoder:
    """Reconstructs the person's picture from a stolen embedding with a squared-error decoder.

    Threat model: has the stored gallery and own pictures of other people; may query the extractor
    on those and knows how the gallery is protected and released (it trains on own protected
    pictures, through fresh draws of the same release).

    Source: the clean decoder of PEPR-Net (Kansal et al., WACV 2024, §4.3.1): the feature is
    reshaped, then three times up-sampled and convolved, with two ReLUs. Differences: a dense layer
    comes before the reshaping, because here the extractor is not trained along and has no reason to
    lay its features out in space; features are standardised; channel counts, which the paper does
    not print, are ``width`` based.

    Attributes:
        image_size: (height, width) of the reconstructions.
        width: channels of the first convolution; the second has half.
        epochs: passes over the auxiliary people.
        batch_size: pictures per step.
        lr: of Adam.
        per_person: reconstructions per attacked person.
    """

    image_size: DoubledSize = (64, 32)
    width: PositiveInt = 128
    epochs: NonNegativeInt = 10
    batch_size: PositiveInt = 64
    lr: Positive = 1e-3
    per_person: PositiveInt = 2

    family: ClassVar[str] = "inversion"
    adversary: ClassVar[Adversary] = threat_models.DECODER
    headline: ClassVar[str] = "reid_rank1"
    slow: ClassVar[bool] = True

    def run(self, target: Target, ctx: RunContext) -> AttackResult:
        """See `auditor.types.Attack`."""
        distance = PerceptualDistance(ctx.weights).to(ctx.device)
        own = auxiliary_pairs(target, self.image_size, ctx)
        generator = ctx.generator("attacks.mse_decoder")
        with ctx.randomness("attacks.mse_decoder"):
            released = draw_release(target.release, own.seen, generator)
            decoder = _Decoder(self, released, target.release, generator)
            batches = Batches((own.seen, own.pixels), self.batch_size, generator)
            fit(decoder, batches, epochs=self.epochs, ctx=ctx, detail="MSE decoder")
        return judge_reconstructions(decoder, self.per_person, 0, target, ctx, distance)

    def reference(self, planted: Planted, ctx: RunContext) -> AttackResult:
        """Return the expected code behind each pooled entry, painted."""
        return draw_people(planted, ctx, size=self.image_size, per_person=self.per_person)


class _Decoder(pl.LightningModule):
    """A dense layer, reshaped; then up-sample and convolve three times."""

    def __init__(
        self, attack: MseDecoder, released: Tensor, release: Release, generator: torch.Generator
    ) -> None:
        super().__init__()
        self.attack, self.release, self.generator = attack, release, generator
        self.standardise = Standardise(released)
        self.seed = nn.Linear(released.shape[1], attack.width * math.prod(SEED_SIZE))
        self.decode = three_step_decoder(attack.width, attack.width, attack.image_size)

    def forward(self, stored: Tensor) -> Tensor:
        """Return stored features ``(B, D)`` to pictures ``(B, 3, H, W)`` in [0, 1]."""
        return self._draw(stored).clamp(0, 1)

    def _draw(self, stored: Tensor) -> Tensor:
        seed = self.seed(self.standardise(stored))
        drawn: Tensor = self.decode(seed.unflatten(1, (self.attack.width, *SEED_SIZE)))
        return drawn

    def training_step(self, batch: tuple[Tensor, Tensor], index: int) -> Tensor:
        """Return the squared error of one batch under a fresh draw of the release."""
        seen, pixels = batch
        released = draw_release(self.release, seen, self.generator)
        return F.mse_loss(self._draw(released), pixels.float().div(255))

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Adam."""
        return torch.optim.Adam(self.parameters(), lr=self.attack.lr, fused=True)
