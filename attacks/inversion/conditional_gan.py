"""What did they look like? Pictures drawn back from stored embeddings."""

from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import pytorch_lightning as pl
import torch
import torch.nn.functional as F
from pydantic import NonNegativeInt, PositiveInt
from pytorch_lightning.core.optimizer import LightningOptimizer
from torch import Tensor

from attacks import threat_models
from attacks.inversion.averaging import Averaged
from attacks.inversion.linear import LinearDecoder
from attacks.inversion.losses import feature_consistency, feature_matching, hinge_critic
from attacks.inversion.networks import Critic, DoubledSize, Inverter
from attacks.inversion.reconstruction import OwnPairs, auxiliary_pairs, judge_reconstructions
from attacks.inversion.reference import draw_people
from attacks.learners.standardising import Standardise
from auditor.certification.planting import Planted
from auditor.embedding import differentiable, embed_with_gradient
from auditor.metrics.perceptual import PerceptualDistance
from auditor.plugins.declaring import Positive, checked_dataclass
from auditor.releasing import draw_release
from auditor.report import Adversary
from auditor.training import Batches, fit
from auditor.types import AttackResult, RunContext, Target


@checked_dataclass
class GanInversion:
    """Reconstructs the person's picture from a stolen embedding with a conditional GAN.

    Threat model: has the stored gallery and own pictures of other people; may query the extractor
    on those, knows how the gallery is protected and released (it trains on own protected pictures,
    through fresh draws of the same release), and uses the extractor's gradients where it offers
    any. Success is judged by identity: the reconstruction, used as a query, must find the same
    person in pictures from other cameras.

    Sources: conditional GAN inversion of re-ID features as in ShuffleBits (2021) and the reversal
    module of "Protecting Feature Privacy in Person Re-identification" (TPAMI 2025), whose network
    is unpublished; type-II re-identification after NbNet (Mai et al., TPAMI 2018). Differences:
    hinge loss with a projection critic, which also reads the feature back (the consistency term
    for black-box extractors), the inverter refines a closed-form linear guess, and its weights are
    averaged.

    Attributes:
        image_size: (height, width) of the reconstructions: 32×16, 64×32, 128×64 or 256×128.
        width: channels of both networks at full resolution.
        epochs: passes over the auxiliary people.
        batch_size: pictures per step.
        lr: of Adam, for both networks.
        pixel: weight of the L1 distance.
        perceptual: weight of the perceptual distance.
        matching: weight of the critic's feature matching.
        adversarial: weight of the critic's realness.
        consistency: weight of the feature read back from the reconstruction.
        consistency_every: steps between consistency terms through the extractor itself, whose
            gradients cost far more than the rest.
        consistency_batch: pictures per such term.
        ema: decay of the averaged weights.
        pool: how many neighbours each stored entry is pooled with; see `attacks.inversion.pooling`.
        per_person: reconstructions per attacked person.
    """

    image_size: DoubledSize = (64, 32)
    width: PositiveInt = 24
    epochs: NonNegativeInt = 12
    batch_size: PositiveInt = 64
    lr: Positive = 1e-3
    pixel: float = 1.0
    perceptual: float = 1.0
    matching: float = 0.5
    adversarial: float = 0.02
    consistency: float = 0.5
    consistency_every: PositiveInt = 8
    consistency_batch: PositiveInt = 16
    ema: float = 0.99
    pool: NonNegativeInt = 16
    per_person: PositiveInt = 2

    family: ClassVar[str] = "inversion"
    adversary: ClassVar[Adversary] = threat_models.GRADIENT_DECODER
    headline: ClassVar[str] = "reid_rank1"
    slow: ClassVar[bool] = True

    def run(self, target: Target, ctx: RunContext) -> AttackResult:
        """See `auditor.types.Attack`."""
        distance = PerceptualDistance(ctx.weights).to(ctx.device)
        own = auxiliary_pairs(target, self.image_size, ctx)
        generator = ctx.generator("attacks.inversion")
        with ctx.randomness("attacks.inversion"):
            gan = ConditionalGan(self, target, own, distance, generator)
            batches = Batches((own.seen, own.pixels, own.clean), self.batch_size, generator)
            fit(gan, batches, epochs=self.epochs, ctx=ctx, detail="inverter")
        return judge_reconstructions(gan, self.per_person, self.pool, target, ctx, distance)

    def reference(self, planted: Planted, ctx: RunContext) -> AttackResult:
        """Return the expected code behind each pooled entry, painted."""
        return draw_people(planted, ctx, size=self.image_size, per_person=self.per_person)


class ConditionalGan(pl.LightningModule):
    """Inverter and critic under manual optimisation; calling it draws with averaged weights."""

    def __init__(
        self,
        attack: "GanInversion",
        target: Target,
        own: OwnPairs,
        distance: PerceptualDistance,
        generator: torch.Generator,
    ) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.attack, self.release, self.generator = attack, target.release, generator
        # kept out of the module tree: neither is trained or moved with it
        self._extractor = [target.extractor] if differentiable(target.extractor) else []
        self._distance = [distance]
        released = draw_release(target.release, own.seen, generator)
        self.standardise = Standardise(released)
        dim, pids = own.seen.shape[1], target.data.auxiliary.pids
        guess = LinearDecoder(self.standardise(released), own.pixels, pids)
        self.inverter = Inverter(dim, attack.image_size, attack.width, guess)
        self.critic = Critic(dim, attack.image_size, attack.width)
        self.to(own.seen.device, memory_format=torch.channels_last)
        self.averaged = Averaged(self.inverter, multi_avg_fn=_warm_average(attack.ema))

    def forward(self, stored: Tensor) -> Tensor:
        """Return stored features ``(B, D)`` to pictures ``(B, 3, H, W)``."""
        pictures: Tensor = self.averaged(self.standardise(stored))
        return pictures

    def configure_optimizers(self) -> Sequence[torch.optim.Optimizer]:
        """One for the inverter, one for the critic."""
        return [
            torch.optim.Adam(network.parameters(), lr=self.attack.lr, betas=(0.5, 0.99), fused=True)
            for network in (self.inverter, self.critic)
        ]

    def training_step(self, batch: tuple[Tensor, Tensor, Tensor], index: int) -> None:
        """One step of the critic, then one of the inverter, on a fresh draw of the release."""
        seen, pixels, clean = batch
        real = pixels.float().div(255)
        released = draw_release(self.release, seen, self.generator)
        condition = self.standardise(released)
        paint, judge = self.optimizers()  # type: ignore[attr-defined]
        fake = self.inverter(condition)
        loss, wanted = self._critic_loss(real, fake.detach(), condition)
        self._step(judge, loss)
        self.critic.requires_grad_(False)
        loss = self._inverter_loss(real, fake, condition, wanted)
        if self._extractor and index % self.attack.consistency_every == 0:
            few = slice(0, self.attack.consistency_batch)
            loss = loss + self.attack.consistency * self._through_extractor(fake[few], clean[few])
        self._step(paint, loss)
        self.critic.requires_grad_(True)
        self.averaged.update_parameters(self.inverter)

    def _step(self, optimizer: LightningOptimizer, loss: Tensor) -> None:
        optimizer.zero_grad()
        self.manual_backward(loss)
        optimizer.step()

    def _critic_loss(
        self, real: Tensor, fake: Tensor, condition: Tensor
    ) -> tuple[Tensor, list[Tensor]]:
        """Return the critic's loss, and what it saw in the real pictures."""
        realness, read, activations = self.critic(real, condition)
        fakeness, _, _ = self.critic(fake, condition)
        return hinge_critic(realness, fakeness) + F.mse_loss(read, condition), activations

    def _inverter_loss(
        self, real: Tensor, fake: Tensor, condition: Tensor, wanted: list[Tensor]
    ) -> Tensor:
        attack = self.attack
        realness, read, activations = self.critic(fake, condition)
        loss: Tensor = (
            attack.pixel * F.l1_loss(fake, real)
            + attack.perceptual * self._distance[0](fake, real).mean()
            + attack.matching * feature_matching(wanted, activations)
            - attack.adversarial * realness.mean()
            + attack.consistency * feature_consistency(read, condition)
        )
        return loss

    def _through_extractor(self, fake: Tensor, clean: Tensor) -> Tensor:
        """Consistency under the attacked extractor itself, by its vector-Jacobian product."""
        extractor = self._extractor[0]
        resized = F.interpolate(fake, extractor.input_size, mode="bilinear").clamp(0, 1)
        return feature_consistency(embed_with_gradient(extractor, resized), clean)


def _warm_average(decay: float) -> Callable[[Any, Any, Tensor | int], None]:
    """Exponential average that forgets faster at first, so that early weights do not linger."""

    def average(averaged: Any, new: Any, count: Tensor | int) -> None:
        share = max(1 - decay, 9 / (10 + int(count)))
        change = torch._foreach_sub(new, averaged)
        torch._foreach_mul_(change, share)
        torch._foreach_add_(averaged, change)

    return average
