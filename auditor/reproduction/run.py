"""`audit reproduce`: open or draw the people, run a table's protocol, keep the record."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from auditor.artifacts.atomic import write
from auditor.config.blocks import links_of
from auditor.data import open_dataset
from auditor.data.synthetic import make_world
from auditor.data.synthetic.world import save_world
from auditor.errors import UsageError
from auditor.pipeline.environment import describe, occasion
from auditor.reproduction import audits, publications
from auditor.reproduction.plan import (
    Block,
    Preset,
    RowPlan,
    TablePlan,
    block_of,
    datasets,
    printed,
    table,
)
from auditor.reproduction.record import Column, Figure, Reproduction, Row, dumps
from auditor.reproduction.scene import RowResult, Scene
from auditor.types import ReIDDataset

DRAWN_SEED = 40
"""Of the people drawn where no data are given; the shipped extractor was trained on others."""

PROTOCOLS: Mapping[str, Callable[[Scene], Mapping[str, RowResult]]] = {
    "audit": audits.run,
    "publication": publications.run,
}


@dataclass(frozen=True, kw_only=True)
class ReproductionJob:
    """What `audit reproduce` is asked for.

    Attributes:
        table: its name.
        out: folder for the record, the models and the audits behind the figures.
        data: dataset folder or manifest; None: synthetic people.
        preset: quick or full.
        against: dataset whose printed figures to show; empty: the table's first.
        weights: folder with pretrained weights to start from; a model's ``weights`` is a file
            name in it.
        seed: of everything random.
        device: where.
        say: told what is going on.
    """

    table: str
    out: Path
    data: Path | None = None
    preset: str = "quick"
    against: str = ""
    weights: Path | None = None
    seed: int = 0
    device: torch.device = torch.device("cpu")
    say: Callable[[str], None] = print


def reproduce(job: ReproductionJob) -> Reproduction:
    """Run a table's protocol; ``reproduction.json`` is in ``job.out`` afterwards.

    Raises:
        UsageError: for an unknown table, preset or dataset.
        AuditError: if something named cannot be opened, or a model does not train.
    """
    plan = table(job.table)
    preset, against = _choose(plan, job)
    began = time.monotonic()
    path, data = _people(job, preset)
    scene = Scene(
        plan=plan,
        preset=preset,
        folder=job.out,
        path=path,
        data=data,
        weights=job.weights,
        seed=job.seed,
        device=job.device,
        say=job.say,
    )
    outcomes = PROTOCOLS[plan.protocol](scene)
    columns = tuple(_column(key, plan) for key in plan.columns)
    rows = tuple(
        _row(name, row, preset, outcomes.get(name, RowResult()), columns, against)
        for name, row in plan.rows.items()
    )
    record = Reproduction(
        table=job.table,
        title=plan.title,
        source=plan.source,
        against=against,
        columns=columns,
        rows=rows,
        notes=tuple(plan.notes),
        preset=job.preset,
        data={**data.facts, "name": data.name, "real_people": data.real_people},
        environment=describe(job.device) | occasion(),
        seconds=round(time.monotonic() - began, 1),
        complete=set(outcomes) >= set(plan.rows),
    )
    write(job.out / "reproduction.json", dumps(record).encode())
    return record


def _choose(plan: TablePlan, job: ReproductionJob) -> tuple[Preset, str]:
    if job.preset not in plan.presets:
        raise UsageError(f"{job.table} has no preset {job.preset!r}; "
                         f"there are {', '.join(plan.presets)}")  # fmt: skip
    known = datasets(plan)
    against = job.against or (known[0] if known else "")
    if known and against not in known:
        raise UsageError(f"{job.table} prints no figures for {against!r}; "
                         f"it does for {', '.join(known)}")  # fmt: skip
    return plan.presets[job.preset], against


def _people(job: ReproductionJob, preset: Preset) -> tuple[Path, ReIDDataset]:
    """Return the folder with the people, drawn into the output folder where none are given."""
    if job.data is not None:
        return job.data, open_dataset(job.data)
    if not preset.people:
        raise UsageError(
            f"the preset {job.preset!r} of {job.table} is for real people; give --data"
        )
    folder = job.out / "drawn"
    if not folder.exists():
        save_world(_make_people(preset.people), folder)
    return folder, replace(open_dataset(folder), name="synthetic people", real_people=False)


def _model(row: RowPlan, preset: Preset) -> str:
    """Return what stands for the row's model, for tables that compare models."""
    if row.model not in preset.models:
        return ""
    model = preset.models[row.model]
    return " at ".join(str(model[key]) for key in ("arch", "size") if key in model)


def _setting(name: str, block: Block) -> str:
    """Return what was run, link by link."""
    links = [
        f"{plugin} ({', '.join(f'{key}={value}' for key, value in params.items())})"
        if params
        else plugin
        for plugin, params in links_of(name, block)
    ]
    return ", then ".join(links)


def _make_people(people: Mapping[str, int]) -> ReIDDataset:
    return make_world(
        identities=people["identities"],
        auxiliary=people["auxiliary"],
        cameras=people["cameras"],
        images_per_camera=people["images_per_camera"],
        seed=DRAWN_SEED,
    )


def _column(key: str, plan: TablePlan) -> Column:
    column = plan.columns[key]
    return Column(
        key=key,
        label=column.label,
        better=column.better,
        ours=column.ours,
        meaning=column.meaning,
    )


def _row(
    name: str,
    row: RowPlan,
    preset: Preset,
    outcome: RowResult,
    columns: tuple[Column, ...],
    against: str,
) -> Row:
    paper = printed(row, against)
    figures = {
        column.key: Figure(
            paper=paper.get(column.key),
            measured=outcome.figures.get(column.key),
            reason=outcome.reason,
        )
        for column in columns
    }
    block = block_of(row, preset)
    parts = [_model(row, preset), _setting(name, block) if block else row.attack]
    setting = ", then ".join(part for part in parts if part)
    note = " ".join(part for part in (row.note, *outcome.notes) if part)
    return Row(
        label=row.label,
        figures=figures,
        setting=setting,
        note=note,
        claims=outcome.claims,
        ours=row.ours,
    )
