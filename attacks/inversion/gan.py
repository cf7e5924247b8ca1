"""Inverter and critic in training against each other."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import pytorch_lightning as pl
import torch
import torch.nn.functional as F
from pytorch_lightning.core.optimizer import LightningOptimizer
from torch import Tensor
from torch.optim.swa_utils import AveragedModel

from attacks.inversion.linear import LinearDecoder
from attacks.inversion.losses import feature_consistency, feature_matching, hinge_critic
from attacks.inversion.networks import Critic, Inverter
from attacks.inversion.reconstruction import OwnPairs
from attacks.standardising import Standardise
from auditor.embedding import differentiable, embed_with_gradient
from auditor.metrics.perceptual import PerceptualDistance
from auditor.types import Target

if TYPE_CHECKING:
    from attacks.inversion.attack import GanInversion


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
        released = target.release(own.seen.cpu(), generator).to(own.seen.device)
        self.standardise = Standardise(released)
        dim, pids = own.seen.shape[1], target.data.auxiliary.pids
        guess = LinearDecoder(self.standardise(released), own.pixels, pids)
        self.inverter = Inverter(dim, attack.image_size, attack.width, guess)
        self.critic = Critic(dim, attack.image_size, attack.width)
        self.to(own.seen.device, memory_format=torch.channels_last)
        self.averaged = AveragedModel(self.inverter, avg_fn=_warm_average(attack.ema))

    def forward(self, stored: Tensor) -> Tensor:
        """Stored features ``(B, D)`` to pictures ``(B, 3, H, W)``."""
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
        released = self.release(seen.cpu(), self.generator).to(self.device)
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
        """The critic's loss, and what it saw in the real pictures."""
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


def _warm_average(decay: float) -> Callable[[Tensor, Tensor, Tensor | int], Tensor]:
    """Exponential average that forgets faster at first, so that early weights do not linger."""

    def average(averaged: Tensor, new: Tensor, count: Tensor | int) -> Tensor:
        share = max(1 - decay, 9 / (10 + int(count)))
        return averaged + (new - averaged) * share

    return average
