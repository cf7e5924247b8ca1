"""How far an audit is, written down before and after every step for whoever asks from outside."""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pydantic import AwareDatetime, TypeAdapter, ValidationError

from auditor.artifacts.atomic import json_bytes, write
from auditor.artifacts.manifest import PROGRESS
from auditor.artifacts.regular_file import read_regular
from auditor.console import Display

if TYPE_CHECKING:
    from auditor import types

State = Literal["done", "running", "missing"]


@dataclass(frozen=True, kw_only=True)
class Progress:
    """What a command at work in a folder has said of itself last.

    Attributes:
        basis: digest of what every step depends on; see `auditor.pipeline.resume`.
        pid: of the command's process.
        since: when the last step began or ended, in UTC.
        steps: name -> state, in order.
    """

    basis: str
    pid: int
    since: AwareDatetime
    steps: dict[str, State]


_ADAPTER = TypeAdapter(Progress)


def read(folder: Path) -> Progress | None:
    """Return the progress of the run in ``folder``; None where there is none that can be read."""
    try:
        return _ADAPTER.validate_json(read_regular(folder / PROGRESS))
    except (OSError, ValidationError):
        return None


class Followed(Display):
    """A display whose steps are written down as well.

    Args:
        display: what else is told of them.
        folder: of the run.
        basis: see `Progress`.
        steps: the names of all steps, in order.
    """

    def __init__(self, display: Display, folder: Path, basis: str, steps: Sequence[str]) -> None:
        self.display, self.folder, self.basis = display, folder, basis
        self.states: dict[str, State] = dict.fromkeys(steps, "missing")
        self._elsewhere: set[str] = set()
        self._save()

    @contextmanager
    def step(self, name: str) -> Iterator["types.Progress"]:
        """Show a step; it is done once the next one begins, for then its result is on disk."""
        self._settle()
        self.states[name] = "running"
        self._save()
        with self.display.step(name) as progress:
            yield progress

    def keep(self, name: str) -> None:
        """Say that a step was done by an earlier run."""
        self._settle()
        self.states[name] = "done"
        self.display.keep(name)

    def begin(self, name: str) -> None:
        """Say that a step is worked on elsewhere, beside others."""
        self._settle()
        self.states[name] = "running"
        self._elsewhere.add(name)
        self._save()

    def finish(self, name: str, seconds: float) -> None:
        """Say that a step was done elsewhere."""
        self.states[name] = "done"
        self._elsewhere.discard(name)
        self._save()
        self.display.finish(name, seconds)

    def tell(self, line: str) -> None:
        """Say something about the run as a whole."""
        self.display.tell(line)

    def end(self) -> None:
        """Say that no step follows."""
        self._settle()
        self._save()

    def _settle(self) -> None:
        for name, state in self.states.items():
            if state == "running" and name not in self._elsewhere:
                self.states[name] = "done"

    def _save(self) -> None:
        at = datetime.now(UTC)
        said = Progress(basis=self.basis, pid=os.getpid(), since=at, steps=self.states)
        write(self.folder / PROGRESS, json_bytes(_ADAPTER.dump_python(said, mode="json")))
