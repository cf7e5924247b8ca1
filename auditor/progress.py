"""Shows how far an audit is: live bars on a terminal, plain lines anywhere else."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO

from auditor.types import Progress

HEARTBEAT = 20.0
"""Seconds between plain lines of one step, so that a log shows life without filling up."""


class Display:
    """Announces steps on ``stream``, which defaults to standard error."""

    def __init__(self, total: int, stream: TextIO | None = None) -> None:
        self.total, self.done = total, 0
        self.stream = sys.stderr if stream is None else stream
        self.started = time.monotonic()

    @contextmanager
    def step(self, name: str) -> Iterator[Progress]:
        """Show one step while it runs; yields what the step reports its progress to."""
        title = self._title(name)
        shown = self._bar(title) if self.stream.isatty() else self._lines(title)
        with shown as progress:
            yield progress

    def keep(self, name: str) -> None:
        """Say that a step was done by an earlier run."""
        self._say(f"{self._title(name)} kept")

    def _title(self, name: str) -> str:
        self.done += 1
        return f"[{self.done}/{self.total}] {name}"

    @contextmanager
    def _bar(self, title: str) -> Iterator[Progress]:
        from rich.console import Console
        from rich.progress import BarColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
        from rich.progress import Progress as RichProgress

        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.fields[detail]}"),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
        )
        with RichProgress(*columns, console=Console(file=self.stream)) as bars:
            task = bars.add_task(title, total=1.0, detail="")

            def report(fraction: float, detail: str = "") -> None:
                bars.update(task, completed=fraction, detail=detail)

            yield report
            bars.update(task, completed=1.0, detail="")

    @contextmanager
    def _lines(self, title: str) -> Iterator[Progress]:
        began = last = time.monotonic()
        self._say(f"{title} …")

        def report(fraction: float, detail: str = "") -> None:
            nonlocal last
            if time.monotonic() - last >= HEARTBEAT:
                last = time.monotonic()
                self._say(f"{title} {detail} {fraction:.0%} after {last - began:.0f} s")

        yield report
        self._say(f"{title} done in {time.monotonic() - began:.1f} s")

    def _say(self, line: str) -> None:
        self.stream.write(line + "\n")
        self.stream.flush()
