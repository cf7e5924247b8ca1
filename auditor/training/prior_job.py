"""`audit prior train`: from pictures of people to a file of what people look like."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import torch

from auditor.console import Display
from auditor.data import open_dataset
from auditor.data.images import load_pixels
from auditor.data.synthetic import make_world
from auditor.errors import DataError, UsageError
from auditor.metrics.perceptual import psnr
from auditor.models.prior import CATALOGUE, load_prior, save_prior
from auditor.training.checkpointing import check_files, checkpoint_of
from auditor.training.prior import RECIPES, PriorRecipe, train_prior
from auditor.training.recipe import recipe_from
from auditor.types import RunContext, Split

SYNTHETIC_SEED = 90_003
"""A world nobody draws by chance; demos and tests count from 0."""
CAMERAS = 10
"""That see each synthetic person, twice each."""
MEASURED = 256
"""Pictures on which what was written is measured."""


@dataclass(frozen=True, kw_only=True)
class PriorJob:
    """What `audit prior train` is asked for.

    Attributes:
        out: the safetensors file to write.
        data: dataset folder or manifest; None for synthetic people.
        synthetic: how many of those; None for a dataset.
        preset: a name in `auditor.models.prior.CATALOGUE`.
        recipe: how to train.
        seed: of everything random.
        device: where.
        resume: go on with an interrupted training.
        overwrite: replace ``out``, and drop an interrupted training.
    """

    out: Path
    data: Path | None = None
    synthetic: int | None = None
    preset: str = "small"
    recipe: PriorRecipe = field(default_factory=PriorRecipe)
    seed: int = 0
    device: torch.device = torch.device("cpu")
    resume: bool = False
    overwrite: bool = False


@dataclass(frozen=True, kw_only=True)
class PriorResult:
    """What was written.

    Attributes:
        pictures: how many it was trained on.
        people: of so many persons.
        psnr: mean in dB of pictures that were encoded and decoded again.
        address: hash of pictures, preset, recipe and seed.
    """

    pictures: int
    people: int
    psnr: float
    address: str


def recipe_for(preset: str, settings: Mapping[str, Any]) -> PriorRecipe:
    """Return the preset's recipe with some fields replaced by plain data.

    Raises:
        UsageError: for an unknown field, or a value that does not fit.
    """
    return recipe_from(PriorRecipe, {**asdict(RECIPES[preset]), **settings}, "the prior")


def train(job: PriorJob, display: Display) -> PriorResult:
    """Train, write, and measure what was written.

    Raises:
        AuditError: if something named cannot be opened or written; nothing half-written stays.
        KeyboardInterrupt: if the user interrupts; the last finished epoch waits in a checkpoint.
    """
    check_files(job.out, resume=job.resume, overwrite=job.overwrite)
    size = CATALOGUE[job.preset].size
    with display.step("pictures"):
        name, split = _people(job, size)
        pixels = load_pixels(split.images, size)
    settings = {"preset": job.preset, "recipe": asdict(job.recipe), "seed": job.seed}
    pictures = hashlib.sha256(pixels.numpy().tobytes()).hexdigest()
    text = json.dumps({"pictures_sha256": pictures, **settings}, sort_keys=True)
    address = hashlib.sha256(text.encode()).hexdigest()
    ctx = RunContext(seed=job.seed, device=job.device, workdir=job.out.parent)
    with display.step(f"training the prior {job.preset} on {name}") as progress:
        prior = train_prior(
            pixels,
            job.preset,
            job.recipe,
            replace(ctx, progress=progress),
            checkpoint=checkpoint_of(job.out),
            address=address,
        )
    people = len(split.pids[split.pids > 0].unique())
    facts = {"data": name, "people": people, "pictures": len(pixels)}
    facts |= {"pictures_sha256": pictures, "address": address, **settings}
    save_prior(job.out, prior, job.preset, facts)
    checkpoint_of(job.out).unlink(missing_ok=True)
    return PriorResult(
        pictures=len(pixels), people=people, psnr=_fidelity(job.out, pixels), address=address
    )


def lines(job: PriorJob, outcome: PriorResult) -> Sequence[str]:
    """Say what was written and how to use it."""
    return [
        f"wrote {job.out} ({job.out.stat().st_size / 1e6:.1f} MB), trained on {outcome.pictures} "
        f"pictures of {outcome.people} people; address {outcome.address[:12]}",
        f"pictures encoded and decoded again: {outcome.psnr:.1f} dB (mean PSNR)",
        f'use it with: audit run --set "attacks={{prior_inversion: {{prior: {job.out}}}}}" …',
    ]


def _people(job: PriorJob, size: tuple[int, int]) -> tuple[str, Split]:
    """Find of whom to learn, and what they are called."""
    if (job.data is None) == (job.synthetic is None):
        raise UsageError("give --data DIR, or --synthetic N for people who do not exist")
    if job.data is None:
        world = make_world(identities=1, auxiliary=job.synthetic or 0, cameras=CAMERAS,
                           images_per_camera=2, seed=SYNTHETIC_SEED, size=size)  # fmt: skip
        return "synthetic people", world.auxiliary
    data = open_dataset(job.data)
    if not len(data.auxiliary):
        raise DataError(
            f"{job.data} has no auxiliary people to learn of; label some as 'auxiliary', or make "
            "a split with: audit data split DIR --out manifest.csv"
        )
    return data.name, data.auxiliary


def _fidelity(path: Path, pixels: torch.Tensor) -> float:
    """Measure the mean PSNR of some of the pictures after the prior in ``path``."""
    prior, _ = load_prior(path)
    some = pixels[:: max(1, len(pixels) // MEASURED)][:MEASURED].float() / 255
    return float(psnr(prior.decode(prior.encode(some)), some).mean())
