"""Who is this? Closed-set identification of stored embeddings."""

from dataclasses import dataclass
from typing import ClassVar

import pytorch_lightning as pl
import torch
import torch.nn.functional as F
from pytorch_lightning.utilities.types import OptimizerLRSchedulerConfig
from torch import Tensor, nn

from auditor.embedding import stored_gallery
from auditor.errors import UnsupportedTargetError
from auditor.metrics import measure
from auditor.training import Batches, fit, one_cycle
from auditor.types import AttackResult, RunContext, Target

MIN_IMAGES = 2
"""A person needs one image to learn from and one to be named on."""


@dataclass(frozen=True, kw_only=True)
class IdentityClassifier:
    """Names the person behind a stolen embedding with a softmax classifier.

    Threat model: holds the stored gallery and knows the names behind part of each person's entries
    (from a data breach, or because they were there); may query nothing; names the remaining
    entries. This is the one closed-set attack: the same people are learned and named.

    Source: the ID figure of PEPR-Net (Kansal et al., WACV 2024, §5.2), which trains a softmax on
    held-out test features. Differences: features are standardised, the logits are scaled cosines,
    which a small number of images per person needs, and the split is half and half per person.

    Attributes:
        train_share: share of each person's images whose names are known.
        epochs: passes over them.
        batch_size: features per step.
        lr: peak learning rate of AdamW under a one-cycle schedule.
        weight_decay: of AdamW.
    """

    train_share: float = 0.5
    epochs: int = 40
    batch_size: int = 256
    lr: float = 1e-2
    weight_decay: float = 1e-3

    family: ClassVar[str] = "identity"
    headline: ClassVar[str] = "top1"

    def run(self, target: Target, ctx: RunContext) -> AttackResult:
        """See `auditor.types.Attack`."""
        features, pids = stored_gallery(target, ctx), target.data.gallery.pids
        generator = ctx.generator("attacks.identity")
        known, asked = split_by_image(pids, self.train_share, generator)
        people, labels = pids[known].unique(return_inverse=True)
        mean, std = features[known].mean(0), features[known].std(0).clamp_min(1e-6)
        features = (features - mean) / std
        with ctx.randomness("attacks.identity"):
            probe = _Softmax(features.shape[1], len(people), self)
            batches = Batches((features[known], labels), self.batch_size, generator)
            fit(probe, batches, epochs=self.epochs, ctx=ctx, detail="identity classifier")
        with torch.no_grad():
            logits = probe(features[asked])
        return named(logits, people, pids[asked])


def named(logits: Tensor, people: Tensor, pids: Tensor) -> AttackResult:
    """Top-1 and top-5 of logits ``(M, P)`` over ``people (P,)`` for entries of ``pids (M,)``."""
    ranked = people[logits.topk(min(5, len(people)), dim=1).indices]
    hits = ranked == pids[:, None]
    classes = len(people)
    top1 = measure.rate("top1", hits[:, 0], pids, chance=1 / classes)
    top5 = measure.rate("top5", hits.any(1), pids, chance=min(1.0, 5 / classes))
    note = (
        f"closed set: {classes} people, {len(pids)} entries to name; "
        "the same people were learned from their other entries"
    )
    return AttackResult((top1, top5), notes=(note,))


def split_by_image(
    pids: Tensor, train_share: float, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Indices to learn from and indices to name, both sides holding every person.

    People with one image, and distractors (pid 0), are left out.

    Raises:
        UnsupportedTargetError: if fewer than two people have two images.
    """
    known, asked = [], []
    for pid in pids[pids > 0].unique():
        rows = (pids == pid).nonzero().flatten()
        if len(rows) < MIN_IMAGES:
            continue
        rows = rows[torch.randperm(len(rows), generator=generator)]
        cut = min(max(1, round(train_share * len(rows))), len(rows) - 1)
        known.append(rows[:cut])
        asked.append(rows[cut:])
    if len(known) < 2:
        raise UnsupportedTargetError(
            f"{len(known)} people have two gallery images; a closed-set classifier needs two people"
        )
    return torch.cat(known), torch.cat(asked)


class _Softmax(pl.LightningModule):
    """Scaled-cosine softmax over people."""

    def __init__(self, dim: int, classes: int, attack: IdentityClassifier) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(classes, dim) / dim**0.5)
        self.scale = nn.Parameter(torch.tensor(16.0))
        self.attack = attack

    def forward(self, features: Tensor) -> Tensor:
        """Features ``(B, D)`` to logits ``(B, P)``."""
        logits: Tensor = (
            self.scale * F.normalize(features, dim=1) @ F.normalize(self.weight, dim=1).T
        )
        return logits

    def training_step(self, batch: tuple[Tensor, Tensor], index: int) -> Tensor:
        features, labels = batch
        return F.cross_entropy(self(features), labels)

    def configure_optimizers(self) -> OptimizerLRSchedulerConfig:
        return one_cycle(self, self.attack.lr, self.attack.weight_decay)
