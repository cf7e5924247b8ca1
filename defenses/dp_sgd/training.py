"""Differentially private gradient descent: Poisson samples, cut gradients, Gaussian noise.

Opacus is used directly. Lightning moves optimizers, loaders and steps about behind the scenes, and
a training that thereby forwards through the unwrapped network, or samples shuffled batches, still
runs and still reports an ε; Opacus' own Lightning example had that fault (its issue 313).
"""

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from opacus import GradSampleModule, PrivacyEngine
from opacus.data_loader import DPDataLoader
from opacus.optimizers import DPOptimizer
from opacus.utils.batch_memory_manager import BatchMemoryManager
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from auditor.models.extractor import CardedExtractor
from auditor.reid.augment import augment
from auditor.reid.people import Pictures
from auditor.reid.recipe import Recipe
from auditor.types import RunContext
from defenses.dp_sgd.accounting import Steps
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
        """Every picture is a unit."""
        return cls(shown, torch.arange(len(shown)).split(1), 1, generator)

    @classmethod
    def people(cls, shown: Pictures, views: int, generator: torch.Generator) -> "Units":
        """Every person is a unit."""
        order = shown.classes.argsort(stable=True)
        return cls(shown, order.split(shown.classes.bincount().tolist()), views, generator)

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, unit: int) -> tuple[Tensor, Tensor]:
        """Pictures ``(views, 3, H, W)`` and their class ``()``."""
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
        nth: of the trainings of this network that are private.
    """

    epochs: int
    batch: int
    chunk: int
    lr: float
    clip: float
    noise_multiplier: float
    nth: int = 0


@dataclass(frozen=True, eq=False)
class Private:
    """The parts of a private training, as Opacus wrapped them.

    Attributes:
        forward: what pictures must go through, so that gradients are kept apart.
        optimizer: cuts and adds noise.
        loader: samples each unit independently.
        engine: its accountant counts the steps that were made.
    """

    forward: GradSampleModule
    optimizer: DPOptimizer
    loader: DPDataLoader
    engine: PrivacyEngine


def private(student: Student, units: Units, settings: Settings, ctx: RunContext) -> Private:
    """Wrap a training, with Poisson sampling and noise from seeded generators."""
    optimizer = torch.optim.AdamW(
        [p for p in student.parameters() if p.requires_grad], settings.lr, weight_decay=0.0
    )
    # two trainings with the same noise would cancel it in their difference
    unique = ctx.seed_for(f"defenses.dp_sgd.noise {settings} {len(units)} {units.views}")
    noise = torch.Generator(ctx.device).manual_seed(unique)
    with _without_advice():
        engine = PrivacyEngine(accountant="rdp")
        forward, noisy, loader = engine.make_private(
            module=student,
            optimizer=optimizer,
            data_loader=DataLoader(
                units,
                batch_size=min(settings.batch, len(units)),
                generator=ctx.generator("defenses.dp_sgd.sample"),
            ),
            noise_multiplier=settings.noise_multiplier,
            max_grad_norm=settings.clip,
            poisson_sampling=True,
            noise_generator=noise,
        )
    return Private(forward, noisy, loader, engine)


def learn(
    student: Student, extractor: CardedExtractor, units: Units, settings: Settings, ctx: RunContext
) -> Steps:
    """Train ``student`` in place; what was done, as the accountant counted it."""
    parts = private(student, units, settings, ctx)
    draw = ctx.generator("defenses.dp_sgd.augment")
    with (
        _without_advice(),
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
    return counted(parts.engine)


def counted(engine: PrivacyEngine) -> Steps:
    """What the engine's accountant saw."""
    ((noise, rate, count),) = engine.accountant.history
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
def _without_advice() -> Iterator[None]:
    with warnings.catch_warnings():
        # the noise is drawn from a seed, which the claim says
        warnings.filterwarnings("ignore", message="Secure RNG turned off")
        # pictures need no gradient of their own
        warnings.filterwarnings("ignore", message="Full backward hook is firing")
        yield
