"""`audit train`: from a dataset and an architecture to a file of weights that describes itself."""

import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
import typer

from auditor.console import Display
from auditor.data import open_dataset
from auditor.errors import EnvironmentUnmetError, UsageError
from auditor.evaluation.utility import measurements, search
from auditor.models import open_model
from auditor.models.architectures.registry import build
from auditor.models.card import Card
from auditor.models.described import Description, save
from auditor.models.extractor import CardedExtractor
from auditor.models.tiers import names_code
from auditor.report import Measurement
from auditor.training.checkpointing import check_files, checkpoint_of
from auditor.training.recipe import Recipe
from auditor.training.reid import train_reid
from auditor.training.sampler import rank
from auditor.types import ReIDDataset, RunContext, Target

SHOWN = ("rank1", "map", "minp")


@dataclass(frozen=True, kw_only=True)
class TrainingJob:
    """What `audit train` is asked for.

    Attributes:
        data: dataset folder or manifest.
        out: the safetensors file to write.
        arch: architecture's name; None is an error that says what fits ``start``.
        card: how to feed the network.
        start: weights to fine-tune; None: from scratch.
        recipe: how to train.
        seed: of everything random.
        device: where.
        devices: how many of them.
        num_nodes: how many machines take part, each with as many devices.
        resume: go on with an interrupted training.
        overwrite: replace ``out``, and drop an interrupted training.
    """

    data: Path
    out: Path
    arch: str | None = None
    card: Card = field(default_factory=Card)
    start: Path | None = None
    recipe: Recipe = field(default_factory=Recipe)
    seed: int = 0
    device: torch.device = torch.device("cpu")
    devices: int = 1
    num_nodes: int = 1
    resume: bool = False
    overwrite: bool = False

    @property
    def checkpoint(self) -> Path:
        """Where an interrupted training waits to be resumed."""
        return checkpoint_of(self.out)

    @property
    def steps(self) -> int:
        """How many steps `train` announces."""
        return 2 if self.start is None else 3


@dataclass(frozen=True)
class TrainingResult:
    """What was written, and how well it finds people it was not trained on.

    Attributes:
        path: the weights.
        arch: of what network.
        people: persons trained on.
        before: utility of ``start``; empty from scratch.
        after: utility of what was written.
        notes: what a reader must know.
    """

    path: Path
    arch: str
    people: int
    before: tuple[Measurement, ...]
    after: tuple[Measurement, ...]
    notes: tuple[str, ...]


def train(job: TrainingJob, display: Display) -> TrainingResult:
    """Train, measure on query and gallery, and write.

    Raises:
        AuditError: if something named cannot be opened or written; nothing half-written stays.
        KeyboardInterrupt: if the user interrupts; the last finished epoch waits in a checkpoint.
    """
    check_files(job.out, resume=job.resume, overwrite=job.overwrite)
    _check_devices(job)
    data = open_dataset(job.data)
    ctx = RunContext(seed=job.seed, device=job.device, workdir=job.out.parent)
    arch, extractor = start(job, ctx)
    before: tuple[Measurement, ...] = ()
    if job.start is not None:
        with display.step("utility before") as progress:
            before = utility(extractor, data, replace(ctx, progress=progress))
    with display.step(f"training {arch} on {data.name}") as progress:
        trained = train_reid(
            extractor,
            data.train,
            job.recipe,
            replace(ctx, progress=progress),
            checkpoint=job.checkpoint,
            devices=job.devices,
            num_nodes=job.num_nodes,
        )
    if rank():
        raise typer.Exit  # one of the processes that shared the batches; the first one writes
    with display.step("utility after") as progress:
        after = utility(trained.extractor, data, replace(ctx, progress=progress))
    facts = {
        "data": data.name,
        "people": trained.classes,
        "seed": job.seed,
        "recipe": asdict(job.recipe),
        "history": [dict(epoch) for epoch in trained.history],
        "utility": {m.metric: m.value for m in after},
    }
    description = Description(arch=arch, card=extractor.card, facts=facts)
    save(job.out, trained.extractor.network, description)
    job.checkpoint.unlink(missing_ok=True)
    return TrainingResult(job.out, arch, trained.classes, before, after, _notes(data, after))


def utility(
    extractor: CardedExtractor, data: ReIDDataset, ctx: RunContext
) -> tuple[Measurement, ...]:
    """rank1, map and minp of finding the query people in the gallery."""
    target = Target(extractor, data)
    figures = measurements(search(target, ctx, extractor.card.distance), target)
    return tuple(m for m in figures if m.metric in SHOWN)


def _check_devices(job: TrainingJob) -> None:
    """Find out whether there are as many devices, and somebody to bring the machines together."""
    there = torch.cuda.device_count() if job.device.type == "cuda" else job.devices
    if job.devices > there:
        raise EnvironmentUnmetError(
            f"--devices {job.devices}: this machine has {there} GPU{'s' * (there != 1)}; "
            f"pass --devices {there}"
        )
    if job.num_nodes > 1 and not {"MASTER_ADDR", "SLURM_JOB_ID"} & os.environ.keys():
        raise UsageError(
            f"--num-nodes {job.num_nodes}: start the command on each machine by torchrun or SLURM, "
            "or set MASTER_ADDR, MASTER_PORT and NODE_RANK there"
        )


def start(job: TrainingJob, ctx: RunContext, draw: str = "weights") -> tuple[str, CardedExtractor]:
    """Return the architecture's name, and on ``ctx.device`` the network to begin with.

    Args:
        job: says whether to fine-tune or to begin from scratch, and with which card.
        ctx: its device and seed.
        draw: names the randomness of weights from scratch.

    Raises:
        AuditError: if the weights cannot be opened, or nothing says what network they are of.
    """
    if job.start is not None:
        # whoever names code to be trained wants it run here
        own = job.arch is not None and names_code(job.arch)
        model = open_model(
            job.start,
            arch=job.arch,
            card=job.card,
            device=ctx.device,
            isolation="none" if own else "auto",
        )
        if job.arch is None:
            raise UsageError(
                f"--weights {job.start} is {model.facts['format']}, a finished program; "
                "give a state dict and its --arch to train it further"
            )
        return job.arch, model.extractor
    if job.arch is None:
        raise UsageError("give --arch, such as osnet_x0_25, or --weights to fine-tune")
    size = (job.card.height, job.card.width)
    network = build(job.arch, size, ctx.seed_for(draw)).to(ctx.device)
    return job.arch, CardedExtractor(network, job.card, ctx.device)


def _notes(data: ReIDDataset, after: Sequence[Measurement]) -> tuple[str, ...]:
    attacked: set[int] = {*data.query.pids.tolist(), *data.gallery.pids.tolist()}
    both = attacked & set(data.train.pids.tolist()) - {0}
    notes: list[str] = []
    if both:
        notes.append(f"People both trained on and measured: {len(both)}, which flatters.")
    if data.train is data.auxiliary:
        notes.append("Trained on the people that an audit of the same data calls auxiliary.")
    notes += [
        f"Its {m.metric} is not shown to be above chance ({m.chance:.1%}): the training "
        "was too short or has collapsed; try more --epochs, or a lower --lr."
        for m in after
        if m.chance is not None and m.low <= m.chance
    ]
    return tuple(notes)


def lines(outcome: TrainingResult) -> Sequence[str]:
    """Return what to print."""
    said: dict[str, Any] = {m.metric: m for m in outcome.before}
    result = [f"wrote {outcome.path}, trained on {outcome.people} people"]
    for m in outcome.after:
        was = f"{said[m.metric].value:.1%} -> " if m.metric in said else ""
        result.append(f"{m.metric}: {was}{m.value:.1%} ({m.low:.1%} to {m.high:.1%}, {m.n} people)")
    own = f" --arch {outcome.arch}" if names_code(outcome.arch) else ""
    again = f"audit it with: audit run --model {outcome.path}{own} --data DIR"
    return [*result, *outcome.notes, again]
