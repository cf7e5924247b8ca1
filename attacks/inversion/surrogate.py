"""A re-identification network of the adversary's own, which tells what matters about a person.

A distance between pixels, or between features of a network that knows objects, spends itself on
background and pose. One between activations of a network that was trained to tell people apart
attends to what identifies them, needs no gradients of the attacked model, and is no judge's kin.
"""

from collections.abc import Sequence

import pytorch_lightning as pl
import torch
import torch.nn.functional as F
from pytorch_lightning.utilities.types import OptimizerLRSchedulerConfig
from torch import Tensor, nn

from auditor.models.reference import load_reference
from auditor.training import Batches, fit, one_cycle
from auditor.types import RunContext


class Surrogate(pl.LightningModule):
    """The shipped re-ID network, refined on own people to name them and to embed like the target.

    Args:
        clean: ``(N, D)`` features of the target for the pictures to come.
        people: how many people there are.
        lr: peak learning rate.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, clean: Tensor, people: int, lr: float) -> None:
        super().__init__()
        self.lr = lr
        self.net = load_reference().train()
        self.name = nn.Linear(self.net.feature_dim, people)
        self.imitate = nn.Linear(self.net.feature_dim, clean.shape[1])
        self.register_buffer("mean", torch.tensor([0.485, 0.456, 0.406])[:, None, None])
        self.register_buffer("std", torch.tensor([0.229, 0.224, 0.225])[:, None, None])

    def training_step(self, batch: tuple[Tensor, Tensor, Tensor], index: int) -> Tensor:
        """Identity softmax, and the cosine to the target's feature (distillation)."""
        clean, pixels, person = batch
        images = pixels.float().div(255)
        if index % 2:
            images = images.flip(3)
        feature = self.net(self._prepare(images))
        imitation = 1 - F.cosine_similarity(self.imitate(feature), clean, dim=1).mean()
        return F.cross_entropy(self.name(feature), person, label_smoothing=0.1) + imitation

    def configure_optimizers(self) -> OptimizerLRSchedulerConfig:
        """AdamW under a one-cycle schedule."""
        return one_cycle(self, self.lr, 5e-4)

    def distance(self, drawn: Tensor, real: Tensor) -> Tensor:
        """Squared gap ``(B,)`` between unit-length activations, mean over stages (LPIPS' form)."""
        with torch.no_grad():
            wanted = self._stages(real)
        gaps = [
            (F.normalize(a, dim=1) - F.normalize(b, dim=1)).square().sum(1).mean((1, 2))
            for a, b in zip(self._stages(drawn), wanted, strict=True)
        ]
        return torch.stack(gaps).mean(0)

    def predict_features(self, images: Tensor) -> Tensor:
        """Return what the target would make ``(B, D)`` of images ``(B, 3, H, W)``, roughly."""
        feature: Tensor = self.imitate(self.net(self._prepare(images)))
        return feature

    def _stages(self, images: Tensor) -> Sequence[Tensor]:
        return self.net.stages(self._prepare(images))

    def _prepare(self, images: Tensor) -> Tensor:
        resized = F.interpolate(images, self.net.input_size, mode="bilinear", antialias=True)
        return (resized - self.mean) / self.std


def train_surrogate(
    clean: Tensor,
    pixels: Tensor,
    pids: Tensor,
    *,
    epochs: int,
    lr: float,
    generator: torch.Generator,
    ctx: RunContext,
) -> Surrogate:
    """Train a surrogate on features ``clean (N, D)`` of uint8 ``pixels`` of ``pids``; freeze it."""
    people, person = pids.unique(return_inverse=True)
    surrogate = Surrogate(clean, len(people), lr)
    batches = Batches((clean, pixels, person.to(clean.device)), 64, generator)
    fit(surrogate, batches, epochs=epochs, ctx=ctx, detail="surrogate")
    return surrogate.to(ctx.device).requires_grad_(False)
