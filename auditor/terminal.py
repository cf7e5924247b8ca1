"""Text from outside on a terminal, which obeys what it is sent, and a terminal that goes away."""

import io
import re
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

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
    """The traceback of the exception at hand: its last lines, each of them `printable`."""
    lines = traceback.format_exc().splitlines()
    return "\n".join(printable(line) for line in lines)[-longest:]


def pathless(text: str) -> str:
    """``text`` without the folders of absolute paths, which name users and machines.

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
