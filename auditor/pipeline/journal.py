"""A run is a plan of named steps; each step's result is on disk before the next one starts."""

import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from auditor.artifacts.atomic import write
from auditor.certification.proving import Controls
from auditor.config import BARE
from auditor.console import Display
from auditor.evaluation.budget import Budget
from auditor.evaluation.utility import Utility
from auditor.report import (
    Finding,
    ProbeCheck,
)
from auditor.types import Progress


def controls_of(scenario: str, attack: str) -> str:
    """Return the name of the step that certifies an attack in a scenario."""
    return f"controls/{attack}" if scenario == BARE else f"{scenario}/{attack}/controls"


Result = tuple[ProbeCheck, ...] | Utility | Controls | Finding | Budget
"""What a step may come to: plain data, so that it survives on disk."""


@dataclass(frozen=True)
class Step:
    """One named unit of work.

    Attributes:
        name: its address.
        work: does it.
        inputs: the settings that its result depends on, as plain data.
        found: what it depends on that only work brings about, such as a network's hash; asked
            anew whenever it matters, and empty as long as there is nothing.
    """

    name: str
    work: Callable[[Progress], Result]
    inputs: Mapping[str, Any] = field(default_factory=dict)
    found: Callable[[], Mapping[str, Any]] = dict

    def depends_on(self) -> dict[str, Any]:
        """Return the settings, and what was found so far."""
        return {**self.inputs, **self.found()}


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A finished step as it lies on disk."""

    step: str
    inputs: Mapping[str, Any] = field(default_factory=dict)
    seconds: float
    result: Result


_ADAPTER: TypeAdapter[Any] = TypeAdapter(Entry)


def run(
    steps: Sequence[Step],
    folder: Path,
    display: Display,
    after: Callable[[dict[str, Result]], None],
    *,
    resume: bool = False,
) -> dict[str, Result]:
    """Run the steps in order; each result is written to ``folder`` and then shown to ``after``.

    Args:
        steps: what to do.
        folder: of the journal.
        display: told of every step.
        after: called with the results so far, whenever a step was run and at the end.
        resume: whether results that lie in ``folder`` are kept, if they come from the same inputs.
            What failed is tried again, and so is what depends on something that came out otherwise
            when it had to be made anew. Otherwise the journal begins empty.

    Raises:
        EnvironmentUnmetError: if a result cannot be written.
        KeyboardInterrupt: passed on; the results so far are on disk.
    """
    if not resume:
        # or a later run could take for its own what a run of something else left here
        for path in folder.glob("*.json"):
            path.unlink()
    entries = _load_finished(folder)
    results: dict[str, Result] = {}
    ran = False
    # what was kept may turn out to be of something that a later step had to make anew
    for settled in (_settled, lambda result: True):
        for position, step in enumerate(steps, 1):
            slug = re.sub(r"[^A-Za-z0-9_.-]+", "-", step.name)
            place = folder / f"{position:02d}-{slug}.json"
            path, entry = entries.get(step.name, (place, None))
            if entry and entry.inputs == step.depends_on() and settled(entry.result):
                if step.name not in results:
                    display.keep(step.name)
                    results[step.name], ran = entry.result, False
                    entries[step.name] = path.replace(place), entry
                continue
            entry = _run(step, display)
            results[step.name], ran = entry.result, True
            write(place, _ADAPTER.dump_json(entry, indent=1))
            if path != place:
                path.unlink()
            entries[step.name] = place, entry
            after(results)
    if not ran:
        after(results)
    return results


def _run(step: Step, display: Display) -> Entry:
    began = time.monotonic()
    with display.step(step.name) as progress:
        result = step.work(progress)
    seconds = time.monotonic() - began
    return Entry(step=step.name, inputs=step.depends_on(), seconds=seconds, result=result)


def _load_finished(folder: Path) -> dict[str, tuple[Path, Entry]]:
    """Return entries of an earlier run and where they lie, by step.

    What cannot be read is not one.
    """
    found: dict[str, tuple[Path, Entry]] = {}
    for path in sorted(folder.glob("*.json")):
        try:
            entry = _ADAPTER.validate_json(path.read_bytes())
        except ValidationError:
            continue
        found[entry.step] = path, entry
    return found


def _settled(result: Result) -> bool:
    """Return whether a step came to a result, be it a refusal, rather than to a failure."""
    if isinstance(result, Finding):
        return result.status != "failed"
    if isinstance(result, Utility):
        return not result.reason
    return not isinstance(result, Controls) or all(p.outcome != "not-run" for p in result.powers)
