"""What became of a run, told from its folder alone; needs no torch and changes nothing."""

import json
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from auditor.artifacts import progress
from auditor.artifacts.manifest import MANIFEST, OCCASION, PURGES, STEPS
from auditor.artifacts.ownership import is_held, made_by_audit
from auditor.artifacts.progress import State
from auditor.artifacts.regular_file import read_regular
from auditor.errors import UsageError
from auditor.report import AuditReport, load

LONGEST = 1e9
"""Seconds that a step may be said to have taken."""
RunState = Literal["running", "finished", "interrupted", "purged"]


@dataclass(frozen=True, kw_only=True)
class StepStatus:
    """How far one step is.

    Attributes:
        seconds: how long it took, or has been running; None if nobody knows.
    """

    name: str
    state: State
    seconds: float | None = None


@dataclass(frozen=True, kw_only=True)
class RunStatus:
    """How far a run is.

    Attributes:
        title: what it is of; empty before its first step has ended.
        outcome: ``running`` while a command is at work in the folder, ``finished`` once the record
            is complete and rendered, ``purged`` if its journal was removed, else ``interrupted``.
        pid: of the command that was last at work; None if it was by an earlier version.
        began: when its first command was given, in UTC; empty if nobody knows.
        seconds: that its finished steps took together.
        steps: in order.
        next: the command to give next.
    """

    folder: str
    title: str
    outcome: RunState
    pid: int | None
    alive: bool
    began: str
    seconds: float
    steps: tuple[StepStatus, ...]
    next: str

    def count(self, state: State) -> int:
        """Return how many steps are in ``state``."""
        return sum(step.state == state for step in self.steps)


def look(folder: Path) -> RunStatus:
    """Return how far the run in ``folder`` is.

    Raises:
        UsageError: if there is none.
    """
    if not made_by_audit(folder):
        raise UsageError(f"{folder} contains no run; name the folder that --out named")
    alive = is_held(folder)
    said, record, (began, command) = progress.read(folder), _record(folder), _occasion(folder)
    if not (said or record or began or alive):
        raise UsageError(f"{folder} contains no run; nothing was begun in it, or it was cleared")
    outcome = _outcome(folder, record, alive=alive)
    steps = _steps(said, _journal(folder), alive=alive)
    return RunStatus(
        folder=str(folder),
        title=record.title if record else "",
        outcome=outcome,
        pid=said.pid if said else None,
        alive=alive,
        began=began,
        seconds=sum(step.seconds or 0 for step in steps if step.state == "done"),
        steps=steps,
        next=_next(folder, outcome, command),
    )


def _outcome(folder: Path, record: AuditReport | None, *, alive: bool) -> RunState:
    if alive:
        return "running"
    if (folder / PURGES).exists():
        return "purged"
    rendered = (folder / MANIFEST).exists()
    return "finished" if record and record.complete and rendered else "interrupted"


def _steps(
    said: progress.Progress | None, took: Mapping[str, float], *, alive: bool
) -> tuple[StepStatus, ...]:
    """Return the planned steps, or those in the journal if no plan is known."""
    if said is None:
        return tuple(StepStatus(name=n, state="done", seconds=took[n]) for n in took)
    found = []
    for name, state in said.steps.items():
        seconds = took.get(name)
        if state == "running" and alive:
            seconds = max(0.0, (datetime.now(UTC) - said.since).total_seconds())
        elif state == "running":  # it ended with the command, or just before
            state = "done" if seconds is not None else "missing"
        found.append(StepStatus(name=name, state=state, seconds=seconds))
    return tuple(found)


def _journal(folder: Path) -> dict[str, float]:
    """Finished step -> the seconds that it took."""
    found = {}
    for path in sorted((folder / STEPS).glob("*.json")):
        try:
            entry = json.loads(read_regular(path))
            name, seconds = str(entry["step"]), float(entry["seconds"])
        except (OSError, ValueError, OverflowError, KeyError, TypeError, RecursionError):
            continue  # the audit, too, takes it for none
        found[name] = seconds if 0 <= seconds < LONGEST else 0.0
    return found


def _record(folder: Path) -> AuditReport | None:
    try:
        return load(folder / "report.json")
    except UsageError:
        return None


def _occasion(folder: Path) -> tuple[str, str]:
    """Return when the first command was given, and the last one; empty if that cannot be read."""
    try:
        last = json.loads(read_regular(folder / OCCASION))
        first = [*last.get("earlier", []), last][0]
        # quoted anew, for it is there to be copied, and anybody may have written it
        words = shlex.split(str(last.get("command", "")))
        return str(first["created"]), shlex.join(words) if words[:1] == ["audit"] else ""
    except (OSError, ValueError, RecursionError, KeyError, TypeError, AttributeError):
        return "", ""


def _next(folder: Path, outcome: RunState, command: str) -> str:
    if outcome == "running":
        return shlex.join(["audit", "status", str(folder)])
    if outcome == "interrupted":
        return command or "the command that began it"
    return shlex.join(["audit", "gate", str(folder / "report.json")])
