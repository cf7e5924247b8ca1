"""A run is a plan of named steps; each step's result is on disk before the next one starts."""

import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from pydantic import TypeAdapter, ValidationError

from auditor.allocator import return_freed_memory
from auditor.artifacts.atomic import write
from auditor.artifacts.regular_file import read_regular
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


Kind = Literal["probe", "utility", "controls", "attack", "budget"]


@dataclass(frozen=True)
class Step:
    """One named unit of work.

    Attributes:
        name: its address.
        work: does it.
        inputs: the settings that its result depends on, as plain data.
        found: what it depends on that only work brings about, such as a network's hash; asked
            anew whenever it matters, and empty as long as there is nothing.
        kind: what it does.
        scenario: in which scenario.
        attack: with which attack; empty if with none.
    """

    name: str
    work: Callable[[Progress], Result]
    inputs: Mapping[str, Any] = field(default_factory=dict)
    found: Callable[[], Mapping[str, Any]] = dict
    kind: Kind = "probe"
    scenario: str = BARE
    attack: str = ""

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


class Journal:
    """The entries of a run, on disk and as far as they are settled.

    Attributes:
        results: step -> what it came to, of steps that were kept or run.
    """

    def __init__(self, steps: Sequence[Step], folder: Path, *, resume: bool) -> None:
        """Begin with the entries in ``folder``, or with none, so that no later run takes them."""
        if not resume:
            for path in folder.glob("*.json"):
                path.unlink()
        names = {step.name: re.sub(r"[^A-Za-z0-9_.-]+", "-", step.name) for step in steps}
        self._places = {
            name: folder / f"{position:02d}-{slug}.json"
            for position, (name, slug) in enumerate(names.items(), 1)
        }
        self._entries = _load_finished(folder)
        self._fresh: set[str] = set()
        self.results: dict[str, Result] = {}

    def has(self, step: Step, *, failures: bool = False) -> bool:
        """Return whether the step was done, from the inputs that it has now.

        Args:
            step: the step.
            failures: whether one that failed in an earlier run counts.
        """
        if step.name not in self._entries:
            return False
        _, entry = self._entries[step.name]
        if entry.inputs != step.depends_on():
            return False
        return failures or step.name in self._fresh or _settled(entry.result)

    def keep(self, step: Step) -> None:
        """Take over the step's result."""
        path, entry = self._entries[step.name]
        place = self._places[step.name]
        self._entries[step.name] = path.replace(place), entry
        self.results[step.name] = entry.result

    def seconds(self, step: Step) -> float:
        """Return how long the step took."""
        return self._entries[step.name][1].seconds

    def add(self, entry: Entry) -> None:
        """Write the entry of a step that was run; what it came to then stands in this run.

        Raises:
            EnvironmentUnmetError: if it cannot be written.
        """
        place = self._places[entry.step]
        write(place, _ADAPTER.dump_json(entry, indent=1))
        before, _ = self._entries.get(entry.step, (place, entry))
        if before != place:
            before.unlink()
        self._entries[entry.step] = place, entry
        self._fresh.add(entry.step)
        self.results[entry.step] = entry.result


Elsewhere = Callable[[Sequence[Step], Journal], None]
"""Works on steps that are not done, and adds what comes of them to the journal."""


def run(
    steps: Sequence[Step],
    folder: Path,
    display: Display,
    after: Callable[[dict[str, Result]], None],
    *,
    resume: bool = False,
    elsewhere: Elsewhere | None = None,
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
        elsewhere: works on all but the probe beforehand; what it leaves is run here.

    Raises:
        EnvironmentUnmetError: if a result cannot be written.
        KeyboardInterrupt: passed on; the results so far are on disk.
    """
    journal, ran = Journal(steps, folder, resume=resume), False

    def settle(step: Step, *, failures: bool) -> None:
        nonlocal ran
        if journal.has(step, failures=failures):
            if step.name not in journal.results:
                display.keep(step.name)
                journal.keep(step)
                ran = False
            return
        with display.step(step.name) as progress:
            entry = work(step, progress)
        journal.add(entry)
        ran = True
        after(journal.results)

    if elsewhere is not None:
        for step in steps:
            if step.kind == "probe" or journal.has(step):
                settle(step, failures=False)
        elsewhere([step for step in steps if not journal.has(step)], journal)
        ran = False
    # what was kept may turn out to be of something that a later step had to make anew
    for failures in (False, True):
        for step in steps:
            settle(step, failures=failures)
    if not ran:
        after(journal.results)
    return journal.results


def kept_steps(steps: Sequence[Step], folder: Path) -> dict[str, float]:
    """Return the steps that a run resumed in ``folder`` keeps -> the seconds they took."""
    journal = Journal(steps, folder, resume=True)
    return {step.name: journal.seconds(step) for step in steps if journal.has(step)}


def work(step: Step, progress: Progress) -> Entry:
    """Return the entry of a step, which is done for it."""
    began = time.monotonic()
    result = step.work(progress)
    seconds = time.monotonic() - began
    return_freed_memory()
    return Entry(step=step.name, inputs=step.depends_on(), seconds=seconds, result=result)


def _load_finished(folder: Path) -> dict[str, tuple[Path, Entry]]:
    """Return entries of an earlier run and where they lie, by step.

    What cannot be read is not one.
    """
    found: dict[str, tuple[Path, Entry]] = {}
    for path in sorted(folder.glob("*.json")):
        try:
            entry = _ADAPTER.validate_json(read_regular(path))
        except (OSError, ValidationError):
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
