"""A run is a plan of named steps; each step's result is on disk before the next one starts."""

import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from auditor.files import write
from auditor.progress import Display
from auditor.report import (
    Curve,
    Finding,
    Match,
    Measurement,
    Place,
    Power,
    PrivacyClaim,
    ProbeCheck,
    RankList,
)
from auditor.types import Progress


@dataclass(frozen=True, kw_only=True)
class Utility:
    """What a scenario's utility step found, or why it found nothing."""

    claims: tuple[PrivacyClaim, ...] = ()
    co_trained: tuple[Finding, ...] = ()
    measurements: tuple[Measurement, ...] = ()
    matches: tuple[Match, ...] = ()
    rank_lists: tuple[RankList, ...] = ()
    embedding: tuple[Place, ...] = ()
    reason: str = ""
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class PartialCurve:
    """A budget curve without its end, which is the main run's own figure.

    Attributes:
        curve: the points below the whole budget.
        whole: the whole budget, on the same axis.
    """

    curve: Curve
    whole: float


@dataclass(frozen=True, kw_only=True)
class Budget:
    """What an attack comes to with less of everything, and which points could not be measured."""

    curves: tuple[PartialCurve, ...]
    notes: tuple[str, ...] = ()


Result = tuple[ProbeCheck, ...] | Utility | Power | Finding | Budget
"""What a step may come to: plain data, so that it survives on disk."""


@dataclass(frozen=True)
class Step:
    """One named unit of work."""

    name: str
    work: Callable[[Progress], Result]


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A finished step as it lies on disk."""

    step: str
    seconds: float
    result: Result


_ADAPTER: TypeAdapter[Any] = TypeAdapter(Entry)


def run(
    steps: Sequence[Step],
    folder: Path,
    display: Display,
    after: Callable[[dict[str, Result]], None],
) -> dict[str, Result]:
    """Run the steps in order; each result is written to ``folder`` and then shown to ``after``.

    Raises:
        EnvironmentUnmetError: if a result cannot be written.
        KeyboardInterrupt: passed on; the results so far are on disk.
    """
    results: dict[str, Result] = {}
    for position, step in enumerate(steps, 1):
        began = time.monotonic()
        with display.step(step.name) as progress:
            results[step.name] = step.work(progress)
        entry = Entry(step=step.name, seconds=time.monotonic() - began, result=results[step.name])
        slug = re.sub(r"[^A-Za-z0-9_.-]+", "-", step.name)
        write(folder / f"{position:02d}-{slug}.json", _ADAPTER.dump_json(entry, indent=1))
        after(results)
    return results
