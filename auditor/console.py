"""What a terminal is shown: text from outside, made harmless, and how far an audit is."""

import importlib.util
import io
import re
import sys
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TextIO

if TYPE_CHECKING:
    from auditor.types import Progress

_NAME = r"[^\s\\/'\":;,]"
_FOLDERS = re.compile(rf"(?<![\w.…/:])(?:[A-Za-z]:)?(?:[\\/]{_NAME}+)*[\\/](?={_NAME})")

REPLACEMENT = "\ufffd"


def printable(text: str, longest: int = 1000) -> str:
    r"""``text`` on one line, without anything that a terminal would obey, cut with an ellipsis.

    >>> printable("none/\x1b[2Jidentity\n"), printable("x" * 9, 5)
    ('none/�[2Jidentity�', 'xxxx…')
    """
    shown = "".join(sign if sign.isprintable() else REPLACEMENT for sign in text[: longest + 1])
    return shown if len(shown) <= longest else shown[: longest - 1] + "…"


def trace(longest: int = 8000) -> str:
    """Return the traceback of the exception at hand: its last lines, each of them `printable`."""
    lines = traceback.format_exc().splitlines()
    return "\n".join(printable(line) for line in lines)[-longest:]


def pathless(text: str) -> str:
    """Return ``text`` without the folders of absolute paths, which name users and machines.

    >>> pathless("cannot read '/home/ada/market/0007_c1.jpg'; --out=/srv/x see docs/a.md and 1/2")
    "cannot read '…/0007_c1.jpg'; --out=…/x see docs/a.md and 1/2"
    """
    return _FOLDERS.sub("…/", text)


class PatientStream:
    """A text stream whose reader may go away; what is written after that is lost, nothing else.

    Attributes:
        lost: why something was not written, other than that its reader had read enough.
    """

    def __init__(self, stream: Any) -> None:
        self._stream = stream
        self.lost = ""

    def write(self, text: str) -> int:
        """Write, or lose, ``text``."""
        try:
            self._stream.write(text)
        except (OSError, ValueError) as error:
            self._lose(error)
        return len(text)

    def flush(self) -> None:
        """Flush what can be."""
        try:
            self._stream.flush()
        except (OSError, ValueError) as error:
            self._lose(error)

    def _lose(self, error: Exception) -> None:
        if not isinstance(error, BrokenPipeError):
            self.lost = getattr(error, "strerror", None) or str(error)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


@contextmanager
def patient_output() -> Iterator[PatientStream]:
    """Inside, a reader who leaves (``| head``) takes no exit code away."""
    before = sys.stdout
    if before is None:  # closed from the start
        yield PatientStream(io.StringIO())
        return
    sys.stdout = stream = PatientStream(before)
    try:
        yield stream
        stream.flush()
    finally:
        sys.stdout = before


HEARTBEAT = 20.0
"""Seconds between plain lines of one step, so that a log shows life without filling up."""


class Display:
    """Announces steps on ``stream``, which defaults to standard error."""

    def __init__(self, total: int, stream: TextIO | None = None) -> None:
        self.total, self.done = total, 0
        self.stream = sys.stderr if stream is None else stream

    @contextmanager
    def step(self, name: str) -> Iterator["Progress"]:
        """Show one step while it runs; yields what the step reports its progress to."""
        title = self._title(name)
        live = self.stream.isatty() or (self.stream is sys.stderr and in_notebook())
        shown = self._bar(title) if live else self._lines(title)
        with shown as progress:
            yield progress

    def keep(self, name: str) -> None:
        """Say that a step was done by an earlier run."""
        self._say(f"{self._title(name)} kept")

    def finish(self, name: str, seconds: float) -> None:
        """Say that a step was done elsewhere."""
        self._say(f"{self._title(name)} done in {seconds:.1f} s")

    def tell(self, line: str) -> None:
        """Say something about the run as a whole."""
        self._say(line)

    def _title(self, name: str) -> str:
        self.done += 1
        return f"[{self.done}/{self.total}] {name}"

    @contextmanager
    def _bar(self, title: str) -> Iterator["Progress"]:
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
                # a part that is finished is not the step: until the step ends, the bar then pulses
                total = 1.0 if fraction < 1 else None
                bars.update(task, total=total, completed=fraction, detail=detail)

            yield report
            bars.update(task, total=1.0, completed=1.0, detail="")

    @contextmanager
    def _lines(self, title: str) -> Iterator["Progress"]:
        began = last = time.monotonic()
        self._say(f"{title} …")

        def report(fraction: float, detail: str = "") -> None:
            nonlocal last
            if time.monotonic() - last >= HEARTBEAT:
                last = time.monotonic()
                share = f"{fraction:.0%}" if fraction < 1 else "finished, the step goes on"
                self._say(f"{title} {detail} {share} after {last - began:.0f} s")

        yield report
        self._say(f"{title} done in {time.monotonic() - began:.1f} s")

    def _say(self, line: str) -> None:
        self.stream.write(line + "\n")
        self.stream.flush()


class Quiet(Display):
    """Announces nothing."""

    @contextmanager
    def step(self, name: str) -> Iterator["Progress"]:
        """Run one step unseen."""
        yield lambda fraction, detail="": None

    def keep(self, name: str) -> None:
        """Say nothing."""

    def finish(self, name: str, seconds: float) -> None:
        """Say nothing."""

    def tell(self, line: str) -> None:
        """Say nothing."""


def in_notebook() -> bool:
    """Return whether this is a notebook that can show a progress bar."""
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    if type(shell).__name__ != "ZMQInteractiveShell":
        return False
    return importlib.util.find_spec("ipywidgets") is not None  # or rich would warn at every step
