"""Who is this? Closed-set identification of stored embeddings."""

from dataclasses import dataclass, replace
from typing import ClassVar, Protocol

import pytorch_lightning as pl
import torch
import torch.nn.functional as F
from pydantic import PositiveInt
from pytorch_lightning.utilities.types import OptimizerLRSchedulerConfig
from torch import Tensor, nn

from attacks import threat_models
from attacks.identity.naming import Naming
from attacks.learners.standardising import Standardise
from attacks.protocol.closed_set import (
    BLOCK,
    Sides,
    learn_some,
    put_aside,
    score_naming,
    split_gallery,
)
from auditor.embedding import stored_gallery
from auditor.plugins.declaring import checked_dataclass
from auditor.report import Adversary
from auditor.training import Batches, fit, one_cycle
from auditor.types import AttackResult, RunContext, Target

SOONER = 4
"""Training for one in so many of the epochs is tried as well."""
FIRM = 1.0
"""A weight decay as strong as this is tried as well."""


@checked_dataclass
class IdentityClassifier(Naming):
    """Names the person behind a stolen embedding with a softmax classifier.

    Threat model: has the stored gallery and knows the names behind part of each person's entries
    (from a data breach, or because they were there); may query nothing; names the remaining
    entries. This is the one closed-set attack: the same people are learned and named.

    Source: the ID figure of PEPR-Net (Kansal et al., WACV 2024, §5.2), which trains a softmax on
    held-out test features. Differences: features are standardised, the logits are scaled cosines,
    which a small number of images per person needs, and the split is half and half per person.

    Attributes:
        train_share: share of each person's images, or of the cameras, whose names are known.
        split: whether half of the images or half of the cameras is known.
        epochs: passes over them, at most; fewer where names put aside are then told better.
        batch_size: features per step.
        lr: peak learning rate of AdamW under a one-cycle schedule.
        weight_decay: of AdamW; more where names put aside are then told better.
    """

    epochs: PositiveInt = 150
    batch_size: PositiveInt = 256
    lr: float = 1e-2
    weight_decay: float = 1e-3

    adversary: ClassVar[Adversary] = threat_models.INSIDER

    def run(self, target: Target, ctx: RunContext) -> AttackResult:
        """See `auditor.types.Attack`."""
        return train_and_name(self, target, ctx, "attacks.identity")

    def network(self, dim: int, classes: int) -> nn.Module:
        """Map features ``(B, dim)`` to logits ``(B, classes)``."""
        return _CosineSoftmax(dim, classes)


class _Probing(Protocol):
    """What `train_and_name` asks of an attack beside its network; see `IdentityClassifier`."""

    @property
    def train_share(self) -> float: ...
    @property
    def split(self) -> Sides: ...
    @property
    def epochs(self) -> int: ...
    @property
    def batch_size(self) -> int: ...
    @property
    def lr(self) -> float: ...
    @property
    def weight_decay(self) -> float: ...
    def network(self, dim: int, classes: int) -> nn.Module: ...


def train_and_name(attack: _Probing, target: Target, ctx: RunContext, name: str) -> AttackResult:
    """Train the attack's network on standardised known features, and name the others.

    Randomness is drawn under ``name``.
    """
    stored, pids = stored_gallery(target, ctx), target.data.gallery.pids
    known, asked = split_gallery(target.data.gallery, attack.split, attack.train_share, ctx)
    known, notes = learn_some(known, asked, pids)
    people, labels = pids[known].unique(return_inverse=True)
    prepare = Standardise(stored)
    features = prepare(stored[known])
    course = _choose(attack, features, labels, ctx, name)
    probe = _train(attack, course, features, labels, ctx, name)
    result = score_naming(
        lambda rows: probe.score(prepare(stored[rows])), asked, people, pids[asked], attack.split
    )
    note = (
        f"trained for {course.epochs} epochs with a weight decay of {course.weight_decay:g}, "
        "chosen on known names that were held out"
    )
    return replace(result, notes=(*result.notes, *notes, note))


@dataclass(frozen=True)
class _Course:
    """How long a probe is trained, and how strongly it is held back."""

    epochs: int
    weight_decay: float


def _choose(attack: _Probing, rows: Tensor, labels: Tensor, ctx: RunContext, name: str) -> _Course:
    """Return the course by which half of the known names teach most of the other half.

    Training stops early, and is held back more strongly, where that helps: noise is learned by
    heart sooner than people are.
    """
    asked = _Course(attack.epochs, attack.weight_decay)
    kept = put_aside(labels)
    if kept.all():
        return asked
    sooner = _Course(-(-attack.epochs // SOONER), attack.weight_decay)
    firmer = _Course(attack.epochs, max(FIRM, attack.weight_decay))

    def serve(course: _Course) -> float:
        probe = _train(attack, course, rows[kept], labels[kept], ctx, f"{name}.trial")
        found = [probe.score(block).argmax(1) for block in rows[~kept].split(BLOCK)]
        return float((torch.cat(found) == labels[~kept]).double().mean())

    return max((asked, firmer, sooner), key=serve)


def _train(
    attack: _Probing, course: _Course, rows: Tensor, labels: Tensor, ctx: RunContext, name: str
) -> "_Probe":
    with ctx.randomness(name):
        probe = _Probe(attack, course, rows.shape[1], int(labels.max()) + 1)
        batches = Batches((rows, labels), attack.batch_size, ctx.generator(name))
        fit(probe, batches, epochs=course.epochs, ctx=ctx, detail="identity probe")
    return probe


class _Probe(pl.LightningModule):
    """Softmax over people."""

    def __init__(self, attack: _Probing, course: _Course, dim: int, classes: int) -> None:
        super().__init__()
        self.lr, self.weight_decay = attack.lr, course.weight_decay
        self.network = attack.network(dim, classes)

    def forward(self, features: Tensor) -> Tensor:
        """Map features ``(B, D)`` to logits ``(B, P)``."""
        logits: Tensor = self.network(features)
        return logits

    def score(self, features: Tensor) -> Tensor:
        """Return the same without a graph."""
        with torch.no_grad():
            logits: Tensor = self(features)
        return logits

    def training_step(self, batch: tuple[Tensor, Tensor], index: int) -> Tensor:
        features, labels = batch
        return F.cross_entropy(self(features), labels)

    def configure_optimizers(self) -> OptimizerLRSchedulerConfig:
        return one_cycle(self, self.lr, self.weight_decay)


class _CosineSoftmax(nn.Module):
    """Scaled cosines to one direction per person."""

    def __init__(self, dim: int, classes: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(classes, dim) / dim**0.5)
        self.scale = nn.Parameter(torch.tensor(16.0))

    def forward(self, features: Tensor) -> Tensor:
        """Map features ``(B, D)`` to logits ``(B, P)``."""
        logits: Tensor = (
            self.scale * F.normalize(features, dim=1) @ F.normalize(self.weight, dim=1).T
        )
        return logits
