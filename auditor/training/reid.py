"""Runs the training of a re-ID network: whom it sees, in which batches, with which precision."""

import os
from collections.abc import Callable, Mapping
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

from auditor.models.extractor import CardedExtractor
from auditor.models.hastening import multiplies_bf16
from auditor.training.learner import Learner
from auditor.training.loop import Precision, fit
from auditor.training.recipe import Recipe
from auditor.training.sampler import PeopleSampler, Pictures, pictures
from auditor.types import RunContext, Split

WORKERS = min(8, os.cpu_count() or 1)
"""Processes that decode pictures for a GPU; on a processor they would compete with the training."""


@dataclass(frozen=True, eq=False)
class Trained:
    """What came out of a training.

    Attributes:
        extractor: in evaluation mode, on the device it was trained on.
        classes: persons it learned to tell apart.
        history: per epoch its number, mean losses and training accuracy (``top1``).
        classifiers: of the identity views, on the extractor's device.
    """

    extractor: CardedExtractor
    classes: int
    history: tuple[Mapping[str, float], ...]
    classifiers: nn.ModuleList


def train_reid(
    extractor: CardedExtractor,
    split: Split,
    recipe: Recipe,
    ctx: RunContext,
    *,
    name: str = "train",
    terms: Mapping[str, nn.Module] | None = None,
    classifiers: nn.ModuleList | None = None,
    checkpoint: Path | None = None,
    devices: int = 1,
    num_nodes: int = 1,
) -> Trained:
    """Train a copy of ``extractor`` on the people of ``split``; the given one stays as it is.

    Args:
        extractor: network and card; fresh, or trained already and to be fine-tuned.
        split: whom to learn to tell apart; distractors are left out.
        recipe: how.
        ctx: its device, seed and progress.
        name: of this training, for its randomness and its progress.
        terms: name -> further loss that learns along; see `auditor.training.learner.Term`.
        classifiers: of an earlier training on the same people, to go on from; left as they are.
        checkpoint: a ``.ckpt`` file kept up to date after every epoch, and resumed from if it is
            already there.
        devices: GPUs, or processes, that share the batches (distributed data parallel).
        num_nodes: machines that do, each with as many devices.

    Raises:
        DataError: if fewer than two people are there.
        UsageError: if ``checkpoint`` belongs to another training.
        KeyboardInterrupt: if the user interrupts the training.
    """
    shown = pictures(split, extractor.input_size)
    student = deepcopy(extractor)
    with ctx.randomness(f"{name}/start"):
        module = Learner(student, shown, recipe, dict(terms or {}), _seeds(ctx, name))
        if classifiers is not None:
            module.classifiers.load_state_dict(classifiers.state_dict())
        # an opened model is in evaluation mode, and Lightning leaves modes as they are
        module.train().to(memory_format=torch.channels_last)
        fit(
            module,
            _loader(shown, recipe, ctx, name),
            epochs=recipe.epochs,
            ctx=ctx,
            detail=name,
            checkpoint=checkpoint,
            devices=devices,
            num_nodes=num_nodes,
            precision=_precision(recipe, ctx.device),
        )
    student.to(memory_format=torch.contiguous_format)
    return Trained(
        student.to(ctx.device).eval(),
        shown.people,
        tuple(module.history),
        module.classifiers.to(ctx.device),
    )


def _seeds(ctx: RunContext, name: str) -> Callable[[str], int]:
    return lambda draw: ctx.seed_for(f"{name}/{draw}")


def _loader(
    shown: Pictures, recipe: Recipe, ctx: RunContext, name: str
) -> DataLoader[tuple[Tensor, int]]:
    sampler = PeopleSampler(
        shown.classes,
        shown.split.camids,
        recipe.people,
        recipe.views,
        recipe.steps or max(1, round(len(shown) / (recipe.people * recipe.views))),
        ctx.seed_for(f"{name}/people"),
    )
    gpu = ctx.device.type == "cuda"
    return DataLoader(
        shown,
        batch_size=sampler.batch,
        sampler=sampler,
        num_workers=WORKERS if gpu else 0,
        persistent_workers=gpu,
        pin_memory=gpu,
    )


def _precision(recipe: Recipe, device: torch.device) -> Precision:
    half = recipe.precision == "bf16" or (recipe.precision == "auto" and multiplies_bf16(device))
    return "bf16-mixed" if half else "32-true"
