"""What every protocol needs: the plan, the people, and the models it starts from."""

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from pydantic import TypeAdapter

from auditor.artifacts.atomic import json_bytes, write
from auditor.console import Display
from auditor.errors import EnvironmentUnmetError, UsageError
from auditor.models.card import card_from
from auditor.models.described import read_description
from auditor.models.reference import WEIGHTS
from auditor.report import Measurement
from auditor.reproduction.plan import Preset, TablePlan
from auditor.training.job import TrainingJob, train
from auditor.training.recipe import Recipe, recipe_from
from auditor.types import ReIDDataset

SHIPPED = "shipped"
"""As a model's ``weights``: start from the extractor that comes with the auditor."""


@dataclass(frozen=True, kw_only=True)
class RowResult:
    """What became of a row.

    Attributes:
        figures: column key -> measurement.
        reason: why something is missing.
        notes: for the reader.
        claims: what the protection promises, a sentence each.
    """

    figures: Mapping[str, Measurement] = field(default_factory=dict)
    reason: str = ""
    notes: tuple[str, ...] = ()
    claims: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Scene:
    """A table about to be run.

    Attributes:
        plan: the table.
        preset: its size.
        folder: for everything it leaves behind.
        path: where the people are.
        data: the people.
        weights: folder with pretrained weights, if the user has one.
        seed: of everything random.
        device: where.
        say: told what is going on.
    """

    plan: TablePlan
    preset: Preset
    folder: Path
    path: Path
    data: ReIDDataset
    weights: Path | None
    seed: int
    device: torch.device
    say: Callable[[str], None]

    def model(self, name: str) -> Path:
        """Return the weights of the preset's model ``name``, trained now if they are not there yet.

        Raises:
            UsageError: if the folder contains weights of another training.
        """
        job = self.training(name)
        if (said := read_description(job.out)) is not None:
            if said.facts.get("recipe") != asdict(job.recipe) or said.arch != job.arch:
                raise UsageError(f"{job.out} was trained in another way; use another --out")
            return job.out
        self.say(f"training {name}")
        train(job, Display(job.steps))
        return job.out

    def training(self, name: str) -> TrainingJob:
        """Return what `audit train` is asked for to get the model ``name``."""
        block = dict(self.preset.models[name])
        size, start = block.pop("size", None), block.pop("weights", None)
        overrides: dict[str, Any] = {"l2_norm": True}
        if size:
            height, width = (int(part) for part in str(size).split("x"))
            overrides |= {"height": height, "width": width}
        out = self.folder / "models" / f"{name}.safetensors"
        return TrainingJob(
            data=self.path,
            out=out,
            arch=block.pop("arch"),
            card=card_from("torchreid", overrides),
            start=self._find_pretrained(start),
            recipe=recipe_from(Recipe, block, f"model {name!r}"),
            seed=self.seed,
            device=self.device,
            resume=out.with_suffix(".ckpt").exists(),
        )

    def _find_pretrained(self, file: str | None) -> Path | None:
        """Return the weights to start from, where the user has them; else from scratch."""
        if file == SHIPPED:
            return WEIGHTS
        if file is None or self.weights is None:
            return None
        path = self.weights / file
        if not path.is_file():
            raise EnvironmentUnmetError(f"--weights: there is no {path}; leave --weights out to "
                                        "train from scratch")  # fmt: skip
        return path


def keep_outcome(
    scene: Scene, name: str, block: Mapping[str, Any], work: Callable[[], RowResult]
) -> RowResult:
    """Return a row's outcome, read back if it was finished before with the same settings.

    Args:
        scene: the table.
        name: of the row.
        block: its protection with all parameters; empty for the row without one.
        work: gives the row's outcome.
    """
    file = scene.folder / "rows" / f"{name}.json"
    preset = scene.preset.model_dump(mode="json", exclude={"defenses"})
    settings = {
        "preset": preset,
        "protection": block,
        "columns": {key: column.address for key, column in scene.plan.columns.items()},
        "seed": scene.seed,
        "data": scene.data.facts,
    }
    asked = json.loads(json.dumps(settings, default=str))
    if file.is_file():
        lying = json.loads(file.read_bytes())
        if lying["settings"] == asked:
            return _OUTCOME.validate_python(lying["outcome"])
    outcome = work()
    if not outcome.reason:
        plain = {"settings": asked, "outcome": _OUTCOME.dump_python(outcome, mode="json")}
        write(file, json_bytes(plain))
    return outcome


_OUTCOME = TypeAdapter(RowResult)
