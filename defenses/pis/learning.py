"""The two stages in which PIS is trained."""

from dataclasses import dataclass
from functools import partial

import pytorch_lightning as pl
import torch
import torch.nn.functional as F
from pytorch_lightning.utilities.types import OptimizerLRSchedulerConfig
from torch import Tensor, nn

from auditor.data.images import load_pixels
from auditor.errors import UnsupportedTargetError
from auditor.metrics.perceptual import PerceptualDistance
from auditor.training import Batches, fit
from auditor.types import RunContext, Split
from defenses.pis.losses import Critic, adversarial_loss, perceptual_loss, ramp, unit_kl
from defenses.pis.mixing import mix
from defenses.pis.network import ConditionalVae, sample
from defenses.pis.pose import Pose, complete

CHUNK = 64
"""Pictures that are loaded at a time."""


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """How PIS is trained; see `defenses.pis.defense.IdentityShift` for the fields."""

    epochs: int
    joint_epochs: int
    batch_size: int
    lr: float
    reconstruction: float
    kl: float
    ramp: tuple[float, float]
    cycle: bool
    similarity: bool
    adversarial: bool
    weights: tuple[float, ...]


def learn(
    network: ConditionalVae,
    split: Split,
    pose: Pose,
    size: tuple[int, int],
    recipe: Recipe,
    ctx: RunContext,
) -> None:
    """Train ``network`` in place on the people of ``split``; pictures without a pose are left out.

    Raises:
        UnsupportedTargetError: if there are fewer than two people with a pose.
    """
    pixels, points = pictures_and_points(split, pose, size)
    kept = complete(points) & (split.pids > 0)
    people, person = split.pids[kept].unique(return_inverse=True)
    if len(people) < 2:
        raise UnsupportedTargetError(
            f"PIS learns from people with a known pose, and there are {len(people)}; give a data "
            "set with a train split, or another source of poses"
        )
    columns = (pixels[kept], points[kept], person)
    batches = Batches(columns, recipe.batch_size, ctx.generator("defenses.pis.batches"))
    learner = Learner(network, pose, recipe, len(people), len(batches), ctx)
    fit(
        learner,
        batches,
        epochs=recipe.epochs + recipe.joint_epochs,
        ctx=ctx,
        detail="learning to shift",
    )


def pictures_and_points(split: Split, pose: Pose, size: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """Return pictures ``(N, 3, H, W)`` uint8 at ``size``, and each one's points ``(N, K, 3)``."""
    parts = torch.arange(len(split)).split(CHUNK)
    points = [pose.points(split.images, rows.tolist()) for rows in parts]
    return load_pixels(split.images, size), torch.cat(points)


class Learner(pl.LightningModule):
    """First the conditional VAE alone (Eq. 4), then with the other branches (Eq. 7).

    Args:
        network: what is trained.
        pose: makes pose maps of pictures and points.
        recipe: how.
        people: how many identities there are to tell apart.
        steps: per epoch.
        ctx: for the backbone of the perceptual loss.
    """

    def __init__(
        self,
        network: ConditionalVae,
        pose: Pose,
        recipe: Recipe,
        people: int,
        steps: int,
        ctx: RunContext,
    ) -> None:
        super().__init__()
        self.network, self.pose, self.recipe = network, pose, recipe
        self.first_stage = recipe.epochs * steps
        # no part of the module: it is not trained, and stays in evaluation mode
        alike = PerceptualDistance(ctx.weights).to(ctx.device)
        self.unlike = partial(perceptual_loss, alike)
        self.who = nn.Linear(network.latent_numbers, people) if recipe.similarity else None
        self.critic = Critic() if recipe.adversarial else None

    def training_step(self, batch: tuple[Tensor, Tensor, Tensor], index: int) -> Tensor:
        """Return the loss of one batch of pixels, points and persons."""
        pixels, points, person = batch
        images = pixels.float() / 255
        pose = self.pose.maps(images, points)
        means = self.network.posterior(images, pose)
        drawn, expected = self.network.draw(sample(means), pose)
        recipe, progress = self.recipe, self.global_step / max(1, self.first_stage)
        loss = recipe.reconstruction * self.unlike(drawn, images)
        weight = recipe.kl * ramp(progress, *recipe.ramp)
        loss = loss + weight * unit_kl(means, expected).mean()
        if self.global_step < self.first_stage:
            return loss
        if self.who is not None:
            flat = torch.cat([mean.flatten(1) for mean in means], dim=1)
            loss = loss + F.cross_entropy(self.who(flat), person)
        if recipe.cycle:
            loss = loss + self._cycle(means, pose, person)
        if self.critic is not None:
            loss = loss + self._fool(self.critic, means, pose, drawn, images)
        return loss

    def _cycle(self, means: list[Tensor], pose: Tensor, person: Tensor) -> Tensor:
        """Eq. 6 over the rows of the batch whose neighbours are other people."""
        turns = range(len(self.recipe.weights))
        mixture = mix([[m.roll(t, 0) for m in means] for t in turns], self.recipe.weights)
        shifted, _ = self.network.draw(sample(mixture), pose)
        again = self.network.posterior(shifted, pose)
        others = torch.stack([person.roll(t) != person for t in turns if t]).all(0).float()
        return (unit_kl(mixture, again) * others).sum() / others.sum().clamp_min(1)

    def _fool(
        self, critic: Critic, means: list[Tensor], pose: Tensor, drawn: Tensor, images: Tensor
    ) -> Tensor:
        shares = torch.rand(len(images), device=images.device) / 2
        mixture = [m.lerp(m.roll(1, 0), shares[:, None, None, None]) for m in means]
        shifted, _ = self.network.draw(sample(mixture), pose)
        return adversarial_loss(critic, shifted, shares, drawn, images)

    def configure_optimizers(self) -> OptimizerLRSchedulerConfig:
        """Adam, its rate falling in a straight line to a hundredth."""
        trained = [weight for weight in self.parameters() if weight.requires_grad]
        optimizer = torch.optim.Adam(trained, lr=self.recipe.lr, betas=(0.5, 0.9))
        steps = max(2, int(self.trainer.estimated_stepping_batches))
        schedule = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.01, total_iters=steps)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}
