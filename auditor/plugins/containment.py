"""Code of others that tries to end the program fails at what it was asked for, and no more.

A plug-in or a network that calls `sys.exit`, raises `KeyboardInterrupt` or any other exception that
is not meant to be caught must not end an audit, least of all with success.
"""

import io
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout
from time import monotonic
from types import FrameType

import typer

from auditor.console import printable
from auditor.errors import StrangerExitError

SPOKEN = 100
"""Lines of what some code prints that are shown."""
REPEATED = 2.0
"""Seconds within which the same request to stop, sent once more, is the same request."""


class _Stop:
    """The signal that asked this process to stop, if one did."""

    number = 0
    at = 0.0
    watched = False


def nobody() -> None:
    """Whom to tell of a signal where there is nobody."""


@contextmanager
def signals_heeded(heard: Callable[[], None] = nobody) -> Iterator[None]:
    """Inside, Ctrl-C and SIGTERM alike raise `KeyboardInterrupt` and are remembered.

    A terminal, `timeout` and a supervisor may each pass the same request on, so that what comes
    within `REPEATED` seconds is taken for one.

    Args:
        heard: called when one has arrived.
    """

    def stop(number: int, frame: FrameType | None) -> None:
        again = _Stop.number and monotonic() - _Stop.at < REPEATED
        _Stop.number, _Stop.at = _Stop.number or number, monotonic()
        heard()
        if not again:
            raise KeyboardInterrupt  # like Ctrl-C: what is finished stays readable

    _Stop.number, _Stop.watched = 0, True
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    for number, handler in before.items():
        if handler != signal.SIG_IGN:  # whoever started it in the background may have said so
            signal.signal(number, stop)
    try:
        yield
    finally:
        _Stop.watched = False
        for number, handler in before.items():
            signal.signal(number, handler)


def stopped_by() -> int:
    """Return the number of the signal that asked this process to stop; 0 if none did."""
    return _Stop.number


def interrupted(error: BaseException) -> bool:
    """Whether ``error`` is somebody's wish to stop, rather than an exception made up by code."""
    return isinstance(error, KeyboardInterrupt) and (not _Stop.watched or bool(_Stop.number))


@contextmanager
def contain(what: str = "it") -> Iterator[None]:
    """Let everything that would end the program come out as an ordinary exception.

    What is printed inside goes to standard error, marked as theirs: standard output has nothing
    but what the audit says.

    Args:
        what: whose code runs inside, for the message.

    Raises:
        StrangerExitError: in place of `SystemExit`, `GeneratorExit`, a `KeyboardInterrupt` that
            nobody sent, a command's own way to exit, and whatever else is no `Exception`.
    """
    spoken = _Quoted(what)
    try:
        with redirect_stdout(spoken):
            yield
    except (typer.Exit, typer.Abort, SystemExit) as error:
        code = getattr(error, "exit_code", getattr(error, "code", None))
        said = "" if code is None else f" ({printable(str(code), 40)})"
        raise StrangerExitError(f"{what} tried to end the program{said}") from error
    except Exception:
        raise
    except BaseException as error:
        if interrupted(error):
            raise
        raise StrangerExitError(f"{what} raised {type(error).__name__}") from error
    finally:
        spoken.end()


class _Quoted(io.TextIOBase):
    """Takes what some code prints, and repeats it on standard error as said by ``what``."""

    def __init__(self, what: str) -> None:
        self._what, self._begun, self._lines = what, "", 0

    def writable(self) -> bool:
        """As an output is."""
        return True

    def write(self, text: str) -> int:
        """Repeat every line that ends in ``text``."""
        *lines, self._begun = (self._begun + text).split("\n")
        for line in lines:
            self._say(line)
        self._begun = self._begun[:2000]
        return len(text)

    def end(self) -> None:
        """Repeat what did not end in a new line."""
        if self._begun:
            self._say(self._begun)
            self._begun = ""

    def _say(self, line: str) -> None:
        self._lines += 1
        if self._lines <= SPOKEN:
            sys.stderr.write(f"{self._what} prints: {printable(line)}\n")
        elif self._lines == SPOKEN + 1:
            sys.stderr.write(f"{self._what} prints more than {SPOKEN} lines\n")
