"""Differentially private gradient descent: Poisson samples, cut gradients, Gaussian noise.

Opacus is used directly. Lightning moves optimizers, loaders and steps about behind the scenes, and
a training that thereby forwards through the unwrapped network, or samples shuffled batches, still
runs and still reports an ε; Opacus' own Lightning example had that fault (its issue 313). Its
privacy engine is left out, for it has no place for noise and samples from a secret.
"""

import math
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from opacus import GradSampleModule
from opacus.accountants import RDPAccountant
from opacus.data_loader import wrap_collate_with_empty
from opacus.optimizers import DPOptimizer
from opacus.utils.batch_memory_manager import BatchMemoryManager
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, default_collate

from auditor.models.extractor import CardedExtractor
from auditor.training import Recipe
from auditor.training.augment import augment
from auditor.training.sampler import Pictures
from auditor.types import RunContext
from defenses.dp_sgd.accounting import Steps
from defenses.dp_sgd.canaries import Canaries, WithCanaries
from defenses.dp_sgd.randomness import SecretOptimizer, SecretSampler, SecretStream
from defenses.dp_sgd.student import Student

CHANGES = Recipe(recolour=0.0, erase=0.0)
"""Pictures are mirrored, scaled and shifted, each by itself."""


@dataclass(frozen=True, eq=False)
class Units(Dataset[tuple[Tensor, Tensor]]):
    """What is sampled, cut and protected as one: a picture, or a person.

    Attributes:
        shown: the pictures.
        rows: per unit the rows of its pictures.
        views: how many of them are looked at per step, drawn anew each time.
        generator: draws them.
    """

    shown: Pictures
    rows: Sequence[Tensor]
    views: int
    generator: torch.Generator

    @classmethod
    def images(cls, shown: Pictures, generator: torch.Generator) -> "Units":
        """Return every picture is a unit."""
        return cls(shown, torch.arange(len(shown)).split(1), 1, generator)

    @classmethod
    def people(cls, shown: Pictures, views: int, generator: torch.Generator) -> "Units":
        """Return every person is a unit."""
        order = shown.classes.argsort(stable=True)
        return cls(shown, order.split(shown.classes.bincount().tolist()), views, generator)

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, unit: int) -> tuple[Tensor, Tensor]:
        """Return pictures ``(views, 3, H, W)`` and their class ``()``."""
        rows = self.rows[unit]
        rows = rows[torch.randperm(len(rows), generator=self.generator)]
        rows = rows.repeat(-(-self.views // len(rows)))[: self.views]
        images = self.shown.split.images.load(rows.tolist(), self.shown.size)
        return images, self.shown.classes[rows[0]]


@dataclass(frozen=True)
class Settings:
    """How the noisy gradients are followed.

    Attributes:
        epochs: each is as many steps as show every unit once on average.
        batch: units per step, on average.
        chunk: units whose gradients are in memory at once.
        lr: of AdamW, which only sees noisy gradients, so that it costs no privacy.
        clip: L2 norm at which a unit's gradient is cut.
        noise_multiplier: deviation of the noise over ``clip``.
    """

    epochs: int
    batch: int
    chunk: int
    lr: float
    clip: float
    noise_multiplier: float

    def rate(self, units: int) -> float:
        """Chance that a unit takes part in a step: a pass is so many whole steps."""
        return 1 / math.ceil(units / min(self.batch, units))


@dataclass(frozen=True, eq=False)
class Private:
    """The parts of a private training.

    Attributes:
        forward: what pictures must go through, so that gradients are kept apart.
        optimizer: cuts and adds noise.
        loader: samples each unit independently.
        accountant: counts the steps that were made.
    """

    forward: GradSampleModule
    optimizer: DPOptimizer
    loader: DataLoader[tuple[Tensor, Tensor]]
    accountant: RDPAccountant


def private(
    student: Student,
    units: Units,
    settings: Settings,
    stream: SecretStream,
    canaries: Canaries | None = None,
) -> Private:
    """Wrap a training, with Poisson sampling and noise from ``stream``.

    The sampling rate counts all canaries, so that it does not tell which ones are trained on.
    """
    known = len(units) + (len(canaries) if canaries else 0)
    sampled = WithCanaries(units, len(units), canaries) if canaries else units
    rate = settings.rate(known)
    forward = GradSampleModule(student)
    forward.forbid_grad_accumulation()
    learning = [p for p in student.parameters() if p.requires_grad]
    optimizer = SecretOptimizer(
        stream,
        torch.optim.AdamW(learning, settings.lr, weight_decay=0.0),
        noise_multiplier=settings.noise_multiplier,
        max_grad_norm=settings.clip,
        expected_batch_size=int(known * rate),
    )
    accountant = RDPAccountant()
    optimizer.attach_step_hook(accountant.get_optimizer_hook_fn(sample_rate=rate))
    one = units[0]
    loader = DataLoader(
        sampled,
        batch_sampler=SecretSampler(stream, len(sampled), rate),
        collate_fn=wrap_collate_with_empty(
            collate_fn=default_collate,
            sample_empty_shapes=[(0, *part.shape) for part in one],
            dtypes=[part.dtype for part in one],
        ),
    )
    return Private(forward, optimizer, loader, accountant)


def learn(
    student: Student,
    extractor: CardedExtractor,
    units: Units,
    settings: Settings,
    stream: SecretStream,
    ctx: RunContext,
    canaries: Canaries | None = None,
) -> Steps:
    """Train ``student`` in place; what was done, as the accountant counted it."""
    parts = private(student, units, settings, stream, canaries)
    draw = ctx.generator("defenses.dp_sgd.augment")
    with (
        _silence_advice(),
        BatchMemoryManager(
            data_loader=parts.loader,
            max_physical_batch_size=settings.chunk,
            optimizer=parts.optimizer,
        ) as loader,
    ):
        for epoch in range(settings.epochs):
            for images, classes in loader:
                parts.optimizer.zero_grad()
                if len(classes):
                    flat = augment(images.flatten(0, 1).to(ctx.device), CHANGES, draw)
                    _gradients(parts, extractor.prepare(flat), classes.to(ctx.device))
                else:
                    _no_gradients(parts.optimizer)
                parts.optimizer.step()
            ctx.progress((epoch + 1) / settings.epochs, "dp_sgd")
    parts.optimizer.zero_grad(set_to_none=True)
    parts.forward.to_standard_module()
    return read_history(parts.accountant)


def read_history(accountant: RDPAccountant) -> Steps:
    """Return what the accountant saw."""
    ((noise, rate, count),) = accountant.history
    return Steps(float(noise), float(rate), int(count))


def _gradients(parts: Private, prepared: Tensor, classes: Tensor) -> None:
    """Per unit the gradient of the mean loss over its views, left where Opacus looks for it."""
    views = len(prepared) // len(classes)
    wanted = classes.repeat_interleave(views)
    losses = [
        F.cross_entropy(logits, wanted, label_smoothing=CHANGES.smoothing)
        for logits in parts.forward(prepared)
    ]
    torch.stack(losses).mean().backward()
    if views > 1:
        # no layer mixes pictures, so a person's gradient is the mean of its pictures' gradients
        for weight in parts.optimizer.params:
            apart: Tensor = weight.grad_sample
            weight.grad_sample = apart.unflatten(0, (-1, views)).mean(1)


def _no_gradients(optimizer: DPOptimizer) -> None:
    """Nobody was sampled: the step is noise alone, and must be made, for it was accounted."""
    for weight in optimizer.params:
        weight.grad_sample = weight.new_zeros((0, *weight.shape))


@contextmanager
def _silence_advice() -> Iterator[None]:
    with warnings.catch_warnings():
        # pictures need no gradient of their own
        warnings.filterwarnings("ignore", message="Full backward hook is firing")
        yield
