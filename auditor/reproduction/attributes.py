"""The pedestrian attribute attack of PIS: binary classifiers on pictures, judged by F1.

Trained end to end on original pictures of the adversary's own people (Sec. 4.1); the published
pictures are then judged by what their originals show. Training on original pictures is the paper's
protocol and the weaker attack: an adversary who knows the protection trains on protected ones.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pytorch_lightning as pl
import torch
import torch.nn.functional as F
from pytorch_lightning.utilities.types import OptimizerLRSchedulerConfig
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from auditor.errors import DataError
from auditor.metrics import measure
from auditor.models.extractor import CardedExtractor
from auditor.report import Measurement
from auditor.statistics.intervals import unseen_images
from auditor.training import Recipe, fit, one_cycle
from auditor.training.augment import augment
from auditor.types import ReIDDataset, RunContext, Split

BATCH = 64
THRESHOLD = 0.5


@dataclass(frozen=True, eq=False)
class Labelled(Dataset[tuple[Tensor, Tensor]]):
    """Pictures of a split with ``targets (N, A)``: 1 yes, 0 no, −1 not annotated."""

    split: Split
    size: tuple[int, int]
    targets: Tensor

    def __len__(self) -> int:
        return len(self.split)

    def __getitem__(self, row: int) -> tuple[Tensor, Tensor]:
        """Return one picture ``(3, H, W)`` and its answers ``(A,)``."""
        return self.split.images.load([row], self.size)[0], self.targets[row]


class _Reading(pl.LightningModule):
    """A network with a yes-or-no question per attribute."""

    def __init__(self, extractor: CardedExtractor, questions: int, recipe: Recipe) -> None:
        super().__init__()
        self.extractor, self.recipe = extractor, recipe
        self.answers = nn.Linear(extractor.feature_dim, questions)
        self.draw = torch.Generator().manual_seed(0)

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.answers(self.extractor.network(self.extractor.prepare(images)))
        return logits

    def training_step(self, batch: tuple[Tensor, Tensor], index: int) -> Tensor:
        images, targets = batch
        logits = self(augment(images, self.recipe, self.draw))
        known = targets >= 0
        return F.binary_cross_entropy_with_logits(logits[known], targets[known].float())

    def configure_optimizers(self) -> OptimizerLRSchedulerConfig:
        return one_cycle(self, self.recipe.lr, self.recipe.weight_decay)


@dataclass(frozen=True, kw_only=True, eq=False)
class Reader:
    """Reads attributes off pictures.

    Attributes:
        module: the trained network.
        wanted: label -> (attribute, code of the value that counts as yes).
    """

    module: _Reading
    wanted: Mapping[str, tuple[str, int]]

    def f1(self, shown: Split, original: Split, ctx: RunContext) -> dict[str, Measurement]:
        """F1 of every attribute, and their mean, on pictures ``shown`` of who is in ``original``.

        Args:
            shown: published pictures.
            original: the same rows before any protection; their attributes are the truth.
            ctx: its device.
        """
        targets = _targets(original, self.wanted)
        guesses = self._guesses(shown, ctx)
        counts = _counts(guesses, targets, original.pids)
        found = {
            f"attributes/{label}": measure.statistic(
                label, counts[:, :, a], _f1, _unseen(counts[:, :, a : a + 1])
            )
            for a, label in enumerate(self.wanted)
        }
        flat = counts.reshape(len(counts), -1)
        mean = measure.statistic(
            "mean_f1", flat, lambda sums: _mean_f1(sums, len(self.wanted)), _unseen(counts)
        )
        return {**found, "attributes/mean": mean}

    def _guesses(self, shown: Split, ctx: RunContext) -> Tensor:
        """Return ``(N, A)`` whether each question is answered with yes."""
        size = self.module.extractor.input_size
        parts = []
        for start in range(0, len(shown), BATCH):
            rows = range(start, min(start + BATCH, len(shown)))
            with torch.no_grad():
                logits = self.module(shown.images.load(rows, size).to(ctx.device))
            parts.append((logits.sigmoid() > THRESHOLD).cpu())
        return torch.cat(parts)


def train_reader(
    extractor: CardedExtractor,
    owner: ReIDDataset,
    wanted: Mapping[str, str],
    recipe: Recipe,
    ctx: RunContext,
) -> Reader:
    """Train on the original pictures of the adversary's own people.

    Args:
        extractor: a fresh network; trained in place.
        owner: its ``auxiliary`` people are the adversary's.
        wanted: label -> ``attribute=value``.
        recipe: epochs, rate and augmentation.
        ctx: its device and seed.

    Raises:
        DataError: if an attribute or a value is not annotated.
    """
    codes = {label: _code(owner, text) for label, text in wanted.items()}
    split = owner.auxiliary
    with ctx.randomness("reproduction/reader"):
        module = _Reading(extractor, len(codes), recipe).train()
        shown = Labelled(split, extractor.input_size, _targets(split, codes))
        loader = DataLoader(shown, batch_size=BATCH, shuffle=True, drop_last=len(split) > BATCH)
        fit(module, loader, epochs=recipe.epochs, ctx=ctx, detail="attributes")
    return Reader(module=module.to(ctx.device), wanted=codes)


def _code(data: ReIDDataset, text: str) -> tuple[str, int]:
    attribute, _, value = text.partition("=")
    values = data.attribute_values.get(attribute)
    if values is None or value not in values:
        known = ", ".join(f"{a}={v}" for a, vs in data.attribute_values.items() for v in vs)
        raise DataError(f"the people are not annotated with {text}; there are {known or 'none'}")
    return attribute, values.index(value)


def _targets(split: Split, wanted: Mapping[str, tuple[str, int]]) -> Tensor:
    """Return ``(N, A)``: 1 yes, 0 no, −1 not annotated."""
    columns = []
    for attribute, code in wanted.values():
        given = split.attributes[attribute]
        columns.append(torch.where(given < 0, -1, (given == code).long()))
    return torch.stack(columns, 1)


def _counts(guesses: Tensor, targets: Tensor, pids: Tensor) -> np.ndarray:
    """``(persons, 3, A)``: true positives, false positives and false negatives of each person."""
    people, index = pids.unique(return_inverse=True)
    known = targets >= 0
    yes = targets == 1
    cells = torch.stack([guesses & yes, guesses & ~yes & known, ~guesses & yes], 1).double()
    counts = torch.zeros(len(people), 3, targets.shape[1], dtype=torch.double)
    counts.index_add_(0, index, cells)
    return counts.numpy()


def _unseen(counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """One more person who is wrongly said to be everything, and one who is and is not said to be.

    Against them stands one of whom all is right. Images: those of the average image's owner.
    """
    images = [unseen_images(each) for each in counts.sum(1).T]
    cell = np.eye(3)[:, :, None] * np.array(images)  # (which of three, cell, question)
    return cell[1:].reshape(2, -1), cell[:1].reshape(1, -1)


def _f1(sums: np.ndarray) -> np.ndarray:
    """F1 from ``(…, 3)`` sums of true positives, false positives and false negatives."""
    hit, false, missed = sums[..., 0], sums[..., 1], sums[..., 2]
    scored: np.ndarray = 2 * hit / np.maximum(2 * hit + false + missed, 1e-12)
    return scored


def _mean_f1(sums: np.ndarray, questions: int) -> np.ndarray:
    apart = sums.reshape(*sums.shape[:-1], 3, questions)
    mean: np.ndarray = _f1(np.moveaxis(apart, -1, -2)).mean(-1)
    return mean
