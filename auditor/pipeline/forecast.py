"""What a run has before it: its steps, what is there already, and about how long it takes.

An estimate multiplies how fast this machine is (`auditor.pipeline.calibration`) with what each
plug-in took on synthetic people (``presets/costs.yaml``, by ``benchmarks/costs.py``): so much time
and so many questions to the model per picture. It grows with the people, with the training and with
the size of the pictures, and is off by a factor of `SPREAD` now and then, which is why it is a
range. What has no figure is named and left out.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

import yaml

from auditor import plugins
from auditor.certification.proving import FULL, SMALL
from auditor.config import BARE
from auditor.data.features.rows import StoredFeatures
from auditor.data.tracklets import pictures_of
from auditor.evaluation.budget import cost_of
from auditor.pipeline.calibration import Speed, calibrate
from auditor.pipeline.fanout import Engine
from auditor.pipeline.journal import Step, kept_steps
from auditor.pipeline.steps import World
from auditor.types import Split

SPREAD = 3.0
"""An estimate is divided and multiplied by this."""
GROWTH = {
    **dict.fromkeys(("epochs", "steps", "iterations", "queries", "releases", "rounds"), 1),
    **dict.fromkeys(("candidates", "samples", "shadows", "image_size"), 1),
    **dict.fromkeys(("images", "people", "restarts"), 1),
    "width": 2,
}
"""Hyper-parameters with which an attack or defense takes longer, and to which power."""
COPYING = {"queries": 1, "copy_epochs": 1}
"""Those with which an attack that begins with a copy of the model takes longer to make it."""
UTILITY = 2.0
"""Seconds of a scenario's utility beside the ranking."""
RANKINGS = 3
"""How often a utility multiplies queries with the gallery."""
WORKING = 3 * 2**30
"""Bytes that an attack may hold at most, beside features and pictures."""
COPIES = (2, 8)
"""Of all features, that are held at least and at most."""
LONG = 120.0
"""Seconds from which on a run says beforehand how long it takes."""
AT_MOST = 20.0
"""A GPU multiplies matrices so much faster than a processor, but does not take an attack so far."""


@dataclass(frozen=True, kw_only=True)
class PlannedStep:
    """One step of a run.

    Attributes:
        scenario: whose step it is; all others of a scenario wait for its utility.
        kind: of work.
        kept: whether its result is there already.
        seconds: that it took, or about that it will take; None if nobody knows.
    """

    name: str
    scenario: str
    kind: str
    kept: bool
    seconds: float | None


@dataclass(frozen=True, kw_only=True)
class Embedding:
    """The features of one split.

    Attributes:
        kept: whether they are in the cache.
        seconds: that they will take.
    """

    split: str
    rows: int
    kept: bool
    seconds: float


@dataclass(frozen=True, kw_only=True)
class Forecast:
    """What a run has before it.

    Attributes:
        steps: all of them, in order.
        features: of the bare scenario, by split.
        unknown: plug-ins without a figure.
        speed: of this machine.
        memory: bytes, at least and at most, of all workers.
        workers: how many steps are worked on at a time.
    """

    title: str
    steps: tuple[PlannedStep, ...]
    features: tuple[Embedding, ...]
    unknown: tuple[str, ...]
    speed: Speed
    memory: tuple[int, int]
    workers: int = 1

    @property
    def seconds(self) -> float:
        """About how long what is left takes; each worker computes the features it needs."""
        left = [step for step in self.steps if not step.kept]
        if not left:
            return 0.0
        took = [step.seconds or 0.0 for step in left]
        first = {step.scenario: step.seconds or 0.0 for step in left if step.kind == "utility"}
        waits = [0.0 if step.kind == "utility" else first.get(step.scenario, 0.0) for step in left]
        longest = max(wait + own for wait, own in zip(waits, took, strict=True))
        embedding = sum(features.seconds for features in self.features)
        return embedding + max(sum(took) / self.workers, longest)

    @property
    def kept(self) -> int:
        """How many steps are there already."""
        return sum(step.kept for step in self.steps)

    @property
    def summary(self) -> str:
        """The estimate in a line."""
        if self.kept == len(self.steps):
            return f"all {self.kept} steps are done"
        low, high = (f"{part / 2**30:.1f}" for part in self.memory)
        missing = f", without {', '.join(self.unknown)} (no figure)" if self.unknown else ""
        left = len(self.steps) - self.kept
        at_once = f", {self.workers} at a time" if self.workers > 1 else ""
        return (
            f"{left} of {len(self.steps)} steps to do{at_once}: "
            f"{about(self.seconds)}{missing}; "
            f"{low} to {high} GB of memory"
        )


def about(seconds: float) -> str:
    """Return an estimate for a sentence.

    >>> about(600.0), about(0.2)
    ('about 3 to 30 minutes', 'under a second')
    """
    said = span(seconds)
    return f"about {said}" if said[0].isdigit() else said


def span(seconds: float) -> str:
    """Return an estimate as the range it stands for.

    >>> span(600.0), span(30.0), span(40_000.0), span(1.0), span(0.2)
    ('3 to 30 minutes', '10 to 90 seconds', '3.7 to 33 hours', 'up to 3 seconds', 'under a second')
    """
    low, high = seconds / SPREAD, seconds * SPREAD
    if high < 1:
        return "under a second"
    if low < 0.5:
        return f"up to {high:.0f} seconds"
    for unit, name, above in ((3600, "hours", 4 * 3600), (60, "minutes", 120), (1, "seconds", 0)):
        if high >= above:
            digits = 1 if unit > 60 and low < 10 * unit else 0
            return f"{low / unit:.{digits}f} to {high / unit:.0f} {name}"
    raise AssertionError


def foresee(
    world: World,
    steps: Sequence[Step],
    folder: Path | None,
    speed: Speed | None = None,
    *,
    workers: int = 1,
) -> Forecast:
    """Return what the run of ``steps`` has before it.

    Args:
        world: what is audited.
        steps: all of them.
        folder: of the journal that is gone on with; None: there is none.
        speed: of this machine, as `calibrate` finds it; None: it is tried.
        workers: how many steps are worked on at a time.
    """
    speed = measure_speed(world) if speed is None else speed
    took = {} if folder is None else kept_steps(steps, folder)
    planned = tuple(
        PlannedStep(
            name=step.name,
            scenario=step.scenario,
            kind=step.kind,
            kept=step.name in took,
            seconds=took.get(step.name, _estimate(world, step, speed)),
        )
        for step in steps
    )
    return Forecast(
        title=world.head.title,
        steps=planned,
        features=tuple(_embeddings(world, speed)),
        unknown=_unknown(world),
        speed=speed,
        memory=_memory(world, speed, workers),
        workers=workers,
    )


def warn_of_length(
    world: World, steps: Sequence[Step], folder: Path | None, engine: Engine | None = None
) -> str:
    """Return the estimate in a line if the run will be long; an empty string if it will not."""
    usual = Speed(pictures=_costs()["rate"], gflops=_costs()["gflops"], memory=0)
    # trying the machine takes seconds, which a short run has better use for
    if sum(_estimate(world, step, usual) or 0.0 for step in steps) < LONG:
        return ""
    found = foresee(world, steps, folder, workers=engine.workers if engine else 1)
    return found.summary if found.seconds >= LONG else ""


def measure_speed(world: World) -> Speed:
    """Return how fast this machine is; a model that counts its questions is not asked."""
    extractor = world.target.extractor
    ask = not world.metered and not isinstance(extractor, StoredFeatures)
    return calibrate(extractor if ask else None, world.target.data.query, world.ctx.device)


@cache
def _costs() -> Mapping[str, Any]:
    text = resources.files("auditor").joinpath("presets/costs.yaml").read_text()
    found: dict[str, Any] = yaml.safe_load(text)
    return found


def _embeddings(world: World, speed: Speed) -> Iterator[Embedding]:
    """Yield the features of the bare scenario, if a model has to give them."""
    extractor = world.target.extractor
    if isinstance(extractor, StoredFeatures):
        return
    for name, split in _splits(world).items():
        pictures = pictures_of(split)
        kept = world.ctx.cache.holds(extractor, pictures)
        rate = speed.pictures
        seconds = 0.0 if kept or rate is None else len(pictures) / rate
        yield Embedding(split=name, rows=len(pictures), kept=kept, seconds=seconds)


def _splits(world: World) -> dict[str, Split]:
    data = world.target.data
    return {"query": data.query, "gallery": data.gallery, "auxiliary": data.auxiliary}


def _estimate(world: World, step: Step, speed: Speed) -> float | None:
    """Return about how many seconds a step takes; None where a plug-in has no figure."""
    pictures = sum(map(len, _splits(world).values()))
    if step.kind == "probe":
        return 0.0
    if step.kind == "utility":
        return _utility(world, step.scenario, pictures, speed)
    attack = world.config.attacks[step.attack]
    whole = _cost("attacks", attack, pictures, speed)
    if whole is None or step.kind == "attack":
        return whole
    if step.kind == "budget":
        return 2 * sum(world.config.budget) * whole
    size = SMALL if plugins.describe(attack).slow else FULL
    plant = min(pictures, size.pictures * (size.attacked + size.auxiliary))
    # the null is as large as the people, and is tried once
    return (_cost("attacks", attack, plant, speed) or 0.0) + whole * (step.scenario == BARE)


def _utility(world: World, scenario: str, pictures: int, speed: Speed) -> float | None:
    data, dim = world.target.data, world.target.extractor.feature_dim
    ranking = 2e-9 * len(data.query) * len(data.gallery) * dim / speed.gflops
    chain = () if scenario == BARE else world.config.defenses[scenario]
    parts = [_cost("defenses", defense, pictures, speed) for defense in chain]
    if None in parts:
        return None
    return UTILITY + RANKINGS * ranking + sum(part or 0.0 for part in parts)


def _cost(kind: plugins.Kind, plugin: object, pictures: int, speed: Speed) -> float | None:
    """Return about how many seconds a plug-in takes at ``pictures``; None if it has no figure."""
    costs, name = _costs(), plugins.name_of(kind, plugin)
    measured = costs[kind].get(name)
    if measured is None:
        return None
    before = plugins.build(kind, name, measured["params"])
    training, copy = cost_of(plugin), measured.get("copy", {})
    apart = COPYING if copy else {}
    work = _growth(before, plugin, {k: v for k, v in GROWTH.items() if k not in apart})
    # of what it took, so much does not come again with each pass of its training
    rest = work / _growth(before, plugin, {training: 1}) if training else work
    once = measured.get("once", {})
    copying = _growth(before, plugin, apart)
    # what an attack does may be set by its parameters, however many people there are
    people = 1.0 if measured.get("fixed") else pictures / costs["pictures"]

    def grow(part: str) -> float:
        whole, single = float(measured[part]), float(once.get(part, 0))
        copied = copying * float(copy.get(part, 0))
        return people * (work * (whole - single) + rest * single) + copied

    asking = grow("asked") / speed.pictures if speed.pictures else 0.0
    faster: float = min(AT_MOST, speed.gflops / costs["gflops"])
    return grow("seconds") / faster + asking


def _growth(before: object, now: object, powers: Mapping[str, int]) -> float:
    """Return by how much more a plug-in works than one of the same kind, by its parameters.

    Args:
        before: the plug-in that was measured.
        now: the one that will run.
        powers: hyper-parameters, and to which power work grows with them.
    """
    factor = 1.0
    for name, power in powers.items():
        small, large = (_amount(getattr(plugin, name, None)) for plugin in (before, now))
        if small and large:
            factor *= (large / small) ** power
    return factor


def _amount(value: object) -> float:
    """Return a number as it is, a size as its area, and 0 for whatever else."""
    if isinstance(value, tuple | list):
        return math.prod(value)
    return float(value) if isinstance(value, int | float) else 0.0


def _unknown(world: World) -> tuple[str, ...]:
    """Return what has no figure."""
    config, known = world.config, _costs()
    attacks = {plugins.name_of("attacks", attack) for attack in config.attacks.values()}
    links = [link for chain in config.defenses.values() for link in chain]
    defenses = {plugins.name_of("defenses", link) for link in links}
    missing = sorted(attacks - known["attacks"].keys() | defenses - known["defenses"].keys())
    return (*missing, *(["the service's answers"] if world.metered else []))


def _memory(world: World, speed: Speed, workers: int) -> tuple[int, int]:
    splits = _splits(world).values()
    rows = sum(map(len, splits))
    features = 4 * rows * world.target.extractor.feature_dim
    sizes = [_amount(getattr(a, "image_size", None)) for a in world.config.attacks.values()]
    pictures = int(4 * 3 * rows * max(sizes, default=0))
    low, high = (speed.memory + copies * features for copies in COPIES)
    return workers * low, workers * (high + 2 * pictures + WORKING)
