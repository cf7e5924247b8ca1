"""Training of a prior for pictures: reconstruct well, and keep the latents small and smooth."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
import torch.nn.functional as F
from pydantic import ConfigDict, PositiveInt, with_config
from pytorch_lightning.utilities.types import OptimizerLRSchedulerConfig
from torch import Tensor

from auditor.errors import UsageError
from auditor.metrics.perceptual import PerceptualDistance
from auditor.models.prior import CATALOGUE, PicturePrior, new_prior
from auditor.plugins.declaring import Positive, Weight
from auditor.training.loop import Batches, fit, one_cycle
from auditor.types import RunContext

CHUNK = 256


@with_config(ConfigDict(extra="forbid"))
@dataclass(frozen=True, kw_only=True)
class PriorRecipe:
    """How a prior is trained.

    Attributes:
        epochs: passes over the pictures.
        batch_size: pictures per step.
        lr: peak learning rate of AdamW under a one-cycle schedule.
        perceptual: weight of the perceptual distance beside the L1 distance.
        kl: weight of the divergence of the latents from a normal distribution.
    """

    epochs: PositiveInt = 12
    batch_size: PositiveInt = 32
    lr: Positive = 2e-3
    perceptual: Weight = 0.3
    kl: Weight = 1e-4


RECIPES = {
    "small": PriorRecipe(),
    "large": PriorRecipe(epochs=200, batch_size=64, lr=5e-4, perceptual=0.5),
}
"""Preset -> the recipe it starts from."""


def train_prior(
    pixels: Tensor,
    preset: str,
    recipe: PriorRecipe,
    ctx: RunContext,
    *,
    checkpoint: Path | None = None,
    address: str = "",
) -> PicturePrior:
    """Train a prior of pictures ``(N, 3, H, W)`` uint8; it comes back evaluating, on the CPU.

    Args:
        pixels: at the size of the preset.
        preset: a name in `CATALOGUE`.
        recipe: how.
        ctx: its device, its seed and whom to tell.
        checkpoint: kept up to date after every epoch, and resumed from if it is there.
        address: of data and settings; a checkpoint of other ones is not resumed from.

    Raises:
        UsageError: if ``checkpoint`` is of other data or settings.
    """
    assert pixels.shape[-2:] == CATALOGUE[preset].size
    generator = ctx.generator("prior")
    with ctx.randomness("prior"):
        learner = _Learner(new_prior(preset), recipe, generator, address, ctx)
        batches = Batches((pixels.to(ctx.device),), recipe.batch_size, generator)
        fit(
            learner,
            batches,
            epochs=recipe.epochs,
            ctx=ctx,
            detail="prior",
            checkpoint=checkpoint,
        )
    prior = learner.prior.to(ctx.device).eval().requires_grad_(False)
    parts = pixels.split(CHUNK)
    grids = [prior.latents(part.to(ctx.device).float() / 255)[0] for part in parts]
    prior.learn_axes(torch.cat(grids))
    return prior.cpu()


class _Learner(pl.LightningModule):
    """The losses of a KL autoencoder without its critic."""

    def __init__(
        self,
        prior: PicturePrior,
        recipe: PriorRecipe,
        generator: torch.Generator,
        address: str,
        ctx: RunContext,
    ) -> None:
        super().__init__()
        self.address = address
        self.prior, self.recipe, self.generator = prior, recipe, generator
        self.seed_for: Callable[[str], int] = ctx.seed_for
        # kept out of the module tree: it is not trained along
        self._distance = [PerceptualDistance(ctx.weights).to(ctx.device)]
        self.to(memory_format=torch.channels_last)

    def on_train_epoch_start(self) -> None:
        """Make an epoch's randomness depend on its number, so that a resumed one repeats it."""
        seed = self.seed_for(f"prior epoch {self.current_epoch}")
        self.generator.manual_seed(seed)
        torch.manual_seed(seed)

    def training_step(self, batch: tuple[Tensor], index: int) -> Tensor:
        """Return L1 and perceptual distance after disturbing the latents, and their divergence."""
        images = batch[0].float().div(255)
        flipped = torch.rand(len(images), generator=self.generator) < 0.5
        images = torch.where(flipped.to(images.device)[:, None, None, None], images.flip(3), images)
        images = images.contiguous(memory_format=torch.channels_last)
        mean, logvar = self.prior.latents(images)
        drawn = self.prior.drawn(mean + torch.exp(logvar / 2) * torch.randn_like(mean))
        divergence = (mean.square() + logvar.exp() - 1 - logvar).mean() / 2
        loss = F.l1_loss(drawn, images) + self.recipe.kl * divergence
        if self.recipe.perceptual:
            loss = loss + self.recipe.perceptual * self._distance[0](drawn, images).mean()
        return loss

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Note what the training is of."""
        checkpoint["address"] = self.address

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Refuse to go on with a training of something else."""
        if checkpoint.get("address") != self.address:
            raise UsageError(
                "the interrupted training is of other pictures or settings; give those again, or "
                "pass --overwrite to start over"
            )

    def configure_optimizers(self) -> OptimizerLRSchedulerConfig:
        """AdamW under a one-cycle schedule."""
        return one_cycle(self, self.recipe.lr, 1e-4)
