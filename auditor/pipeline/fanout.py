"""Steps that are worked on elsewhere, several at a time, before the run picks up their results.

Whoever works on a step has a world of their own, made of the same configuration, and sends back the
journal's entry and the files that belong to it. They are written here, under the same names as if
this process had done the work. So the run that follows finds steps that are done, and does itself
whatever is missing: nothing depends on a worker that was lost.

A scenario's utility comes first, for with it its defenses learn; all else of the scenario follows,
side by side.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import torch

from auditor.artifacts import personal
from auditor.artifacts.atomic import write
from auditor.artifacts.progress import Followed
from auditor.config import AuditConfig
from auditor.pipeline.journal import Entry, Journal, Result, Step
from auditor.pipeline.steps import RETRAINED

TRIES = 3
"""How often a step is given to a worker; what is lost each time is left to the run itself."""


class LostWorkerError(Exception):
    """A worker ended before the step was done: it was killed, or its machine is gone."""


@dataclass(frozen=True, kw_only=True)
class AuditJob:
    """What a worker needs to know to work on the steps of a run.

    Attributes:
        key: tells runs apart.
        config: of the audit.
        folder: that relative paths start at.
        threads: of each step; figures repeat exactly with as many.
    """

    key: str
    config: AuditConfig
    folder: str
    threads: int = field(default_factory=torch.get_num_threads)


@dataclass(frozen=True, kw_only=True)
class StepOutcome:
    """What came of a step.

    Attributes:
        entry: of the journal.
        files: path below the run's folder -> content.
    """

    entry: Entry
    files: Mapping[str, bytes]


class Engine(Protocol):
    """Where steps are worked on.

    Attributes:
        workers: how many at a time.
    """

    workers: int

    def submit(self, job: AuditJob, step: str, learned: Mapping[str, bytes]) -> Future[StepOutcome]:
        """Begin a step.

        Args:
            job: the run.
            step: name of the step.
            learned: path -> content of what defenses have learned so far.

        Returns:
            What will come of it, or the error it raised: a `LostWorkerError` if its worker ended.
        """
        ...

    def close(self) -> None:
        """End all workers, also those at work."""
        ...


def fan_out(
    engine: Engine,
    job: AuditJob,
    steps: Sequence[Step],
    out: Path,
    journal: Journal,
    display: Followed,
    after: Callable[[dict[str, Result]], None],
) -> None:
    """Have ``steps`` worked on; those that are done are in ``journal`` when this returns.

    Args:
        engine: where.
        job: the run.
        steps: of it that are not done.
        out: folder of the run.
        journal: of the run.
        display: told of steps that are done and of workers that are lost.
        after: called with the results so far, whenever a step is done.

    Raises:
        AuditError: that a step raised.
        EnvironmentUnmetError: if a result cannot be written.
    """
    waiting, running = list(steps), dict[Future[StepOutcome], Step]()
    lost: Counter[str] = Counter()
    while waiting or running:
        for step in _ready(waiting, running.values())[: engine.workers - len(running)]:
            waiting.remove(step)
            display.begin(step.name)
            running[engine.submit(job, step.name, _learned(out))] = step
        for future in wait(running, return_when=FIRST_COMPLETED).done:
            step = running.pop(future)
            try:
                outcome = future.result()
            except LostWorkerError as error:
                lost[step.name] += 1
                again = lost[step.name] < TRIES
                then = "it is tried again" if again else "it is left to this process"
                display.tell(f"a worker was lost at {step.name} ({error}); {then}")
                waiting += [step] if again else []
                continue
            for name, content in outcome.files.items():
                write(out / name, content, mode=0o600)
            personal.lock(out)
            journal.add(outcome.entry)
            display.finish(step.name, outcome.entry.seconds)
            after(journal.results)


def _ready(waiting: Sequence[Step], running: Iterable[Step]) -> list[Step]:
    """Return the steps that wait for no other: their scenario's utility is done, or they are it."""
    open_ = {step.scenario for step in (*waiting, *running) if step.kind == "utility"}
    return [step for step in waiting if step.kind == "utility" or step.scenario not in open_]


def _learned(out: Path) -> dict[str, bytes]:
    """Return what defenses have learned so far: path below ``out`` -> content."""
    folder = out / personal.PERSONAL / RETRAINED
    return {path.relative_to(out).as_posix(): path.read_bytes() for path in folder.glob("*")}
