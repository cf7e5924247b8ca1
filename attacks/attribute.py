"""What are they like? Attributes of people whom the adversary has never seen."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pytorch_lightning as pl
import torch
import torch.nn.functional as F
from pytorch_lightning.utilities.types import OptimizerLRSchedulerConfig
from torch import Tensor, nn

from auditor.embedding import features_of, stored_gallery
from auditor.errors import UnsupportedTargetError
from auditor.metrics import leakage, measure
from auditor.report import Measurement
from auditor.training import Batches, fit, one_cycle
from auditor.types import MISSING, AttackResult, Release, RunContext, Split, Target


@dataclass(frozen=True, kw_only=True)
class AttributeClassifier:
    """Reads annotated attributes (sex, age, clothing, bags) off stored embeddings.

    Threat model: holds the stored gallery and own annotated pictures of other people; may query the
    extractor on those and knows how the gallery is released (it trains through fresh draws of the
    same release); infers each attribute of every stored entry. People learned from and people
    attacked are disjoint.

    Source: the attribute attack of PIS (SCIS 69(1), 2026, §4.1), which reports F1. Differences:
    features instead of images are attacked, one multi-head network serves all attributes, and
    balanced accuracy is the headline, because F1 rises with the share of the positive class.

    Attributes:
        hidden: width of the shared hidden layer.
        dropout: on features and hidden units.
        epochs: passes over the auxiliary people.
        batch_size: features per step.
        lr: peak learning rate of AdamW under a one-cycle schedule.
        weight_decay: of AdamW.
        min_people: an attribute value carried by fewer people on either side is not attacked.
    """

    hidden: int = 256
    dropout: float = 0.6
    epochs: int = 30
    batch_size: int = 256
    lr: float = 3e-3
    weight_decay: float = 1e-2
    min_people: int = 5

    family: ClassVar[str] = "attribute"
    headline: ClassVar[str] = "mean_balanced_accuracy"

    def run(self, target: Target, ctx: RunContext) -> AttackResult:
        """See `auditor.types.Attack`."""
        auxiliary, gallery = target.data.auxiliary, target.data.gallery
        codes = attackable(auxiliary, gallery, self.min_people)
        clean = features_of(target.extractor, auxiliary, ctx)
        stored = stored_gallery(target, ctx)
        labels = recode(auxiliary, codes)
        generator = ctx.generator("attacks.attribute")
        with ctx.randomness("attacks.attribute"):
            network = _MultiHead(self, clean, labels, codes, target.release, generator)
            batches = Batches((clean, labels), self.batch_size, generator)
            fit(network, batches, epochs=self.epochs, ctx=ctx, detail="attribute classifier")
        with torch.no_grad():
            guesses = torch.stack([head.argmax(1) for head in network(stored)], dim=1)
        return inferred(guesses, gallery, codes)


def inferred(guesses: Tensor, gallery: Split, codes: Mapping[str, list[int]]) -> AttackResult:
    """All figures of guesses ``(N, A)``, given as positions in ``codes``."""
    truth = recode(gallery, codes)
    tables, each = [], []
    for column, (name, values) in enumerate(codes.items()):
        table = leakage.confusion_by_person(
            guesses[:, column], truth[:, column], gallery.pids, len(values)
        )
        tables.append(table)
        each += attribute_measurements(name, table[table.sum(1) > 0], len(values))
    means = _means(tables, [len(values) for values in codes.values()])
    left_out = sorted(set(gallery.attributes) - set(codes))
    notes = [f"{len(codes)} attributes of people who are disjoint from those learned from"]
    if left_out:
        notes.append(f"not attacked, too few people per value: {', '.join(left_out)}")
    return AttackResult((*means, *each), notes=tuple(notes))


def attackable(auxiliary: Split, gallery: Split, min_people: int) -> dict[str, list[int]]:
    """Attribute -> the codes that at least ``min_people`` people carry on both sides, if two do.

    Raises:
        UnsupportedTargetError: if no attribute is left.
    """
    codes = {}
    for name in sorted(set(auxiliary.attributes) & set(gallery.attributes)):
        sides = [_carried(split, name, min_people) for split in (auxiliary, gallery)]
        common = sorted(sides[0] & sides[1])
        if len(common) >= 2:
            codes[name] = common
    if not codes:
        raise UnsupportedTargetError(
            f"no attribute is annotated with two values that {min_people} people carry "
            "on both sides; add columns to the manifest"
        )
    return codes


def _carried(split: Split, name: str, min_people: int) -> set[int]:
    column = split.attributes[name]
    annotated = (column != MISSING) & (split.pids > 0)
    pairs = torch.stack([column[annotated], split.pids[annotated]], dim=1).unique(dim=0)
    values, people = pairs[:, 0].unique(return_counts=True)
    return set(values[people >= min_people].tolist())


def recode(split: Split, codes: Mapping[str, list[int]]) -> Tensor:
    """Labels ``(N, A)``: positions in ``codes``, −1 for other or missing values."""
    columns = []
    for name, values in codes.items():
        position = torch.full_like(split.pids, MISSING)
        for place, value in enumerate(values):
            position[(split.attributes[name] == value) & (split.pids > 0)] = place
        columns.append(position)
    return torch.stack(columns, dim=1)


def attribute_measurements(name: str, table: np.ndarray, classes: int) -> list[Measurement]:
    """Balanced accuracy, F1 and accuracy from ``table (num_persons, classes²)``."""
    shares = table.sum(0).reshape(classes, classes).sum(1) / table.sum()
    rows = (
        ("balanced_accuracy", leakage.balanced_accuracy, 1 / classes),
        ("f1", leakage.f1, leakage.blind_f1(shares)),
        ("accuracy", leakage.accuracy, float(shares.max())),
    )
    return [
        measure.statistic(f"{name}.{metric}", table, formula(classes), chance=chance)
        for metric, formula, chance in rows
    ]


def _means(tables: list[np.ndarray], sizes: list[int]) -> list[Measurement]:
    """Mean balanced accuracy and mean F1 over attributes, resampling all of them together."""
    joint = np.concatenate(tables, axis=1)
    joint = joint[joint.sum(1) > 0]
    shares = [
        table.sum(0).reshape(k, k).sum(1) / table.sum()
        for table, k in zip(tables, sizes, strict=True)
    ]
    return [
        measure.statistic(
            "mean_balanced_accuracy",
            joint,
            leakage.mean_over(leakage.balanced_accuracy, sizes),
            chance=float(np.mean([1 / k for k in sizes])),
        ),
        measure.statistic(
            "mean_f1",
            joint,
            leakage.mean_over(leakage.f1, sizes),
            chance=float(np.mean([leakage.blind_f1(share) for share in shares])),
            note="chance is the best guess without features",
        ),
    ]


class _MultiHead(pl.LightningModule):
    """One hidden layer, one linear head per attribute, class-balanced losses."""

    mean: Tensor
    std: Tensor

    def __init__(
        self,
        attack: AttributeClassifier,
        clean: Tensor,
        labels: Tensor,
        codes: Mapping[str, list[int]],
        release: Release,
        generator: torch.Generator,
    ) -> None:
        super().__init__()
        self.attack, self.release, self.generator = attack, release, generator
        released = release(clean, generator)
        self.register_buffer("mean", released.mean(0))
        self.register_buffer("std", released.std(0).clamp_min(1e-6))
        self.trunk = nn.Sequential(
            nn.Dropout(attack.dropout),
            nn.Linear(clean.shape[1], attack.hidden),
            nn.ReLU(),
            nn.Dropout(attack.dropout),
        )
        self.heads = nn.ModuleList(nn.Linear(attack.hidden, len(v)) for v in codes.values())
        for column, values in enumerate(codes.values()):
            present = labels[:, column]
            counts = present[present != MISSING].bincount(minlength=len(values)).float()
            self.register_buffer(f"balance{column}", counts.sum() / (len(values) * counts))

    def forward(self, features: Tensor) -> list[Tensor]:
        """Released features ``(B, D)`` to logits ``(B, values)`` for each attribute."""
        hidden = self.trunk((features - self.mean) / self.std)
        return [head(hidden) for head in self.heads]

    def training_step(self, batch: tuple[Tensor, Tensor], index: int) -> Tensor:
        clean, labels = batch
        logits = self(self.release(clean, self.generator))
        losses = []
        for column, output in enumerate(logits):
            wanted = labels[:, column]
            if (wanted != MISSING).any():
                weight = self.get_buffer(f"balance{column}")
                losses.append(F.cross_entropy(output, wanted, weight, ignore_index=MISSING))
        return torch.stack(losses).mean() if losses else logits[0].sum() * 0

    def configure_optimizers(self) -> OptimizerLRSchedulerConfig:
        return one_cycle(self, self.attack.lr, self.attack.weight_decay)
