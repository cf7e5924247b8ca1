"""Writing a file whole or not at all."""

import csv
import io
import json
import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from auditor.errors import EnvironmentUnmetError, UsageError

if TYPE_CHECKING:
    from PIL.Image import Image

TEMPORARY = ".audit-tmp"
"""Ends the name of a file that is being written; one that stays was cut short."""


def write(path: Path, content: bytes, *, mode: int = 0o644) -> None:
    """Write a file whole or not at all.

    Args:
        path: of the file; its folder is made if it is missing.
        content: of the file.
        mode: who may read it, under the user's umask; 0o600 for a secret, which nobody else can
            read at any moment.

    Raises:
        EnvironmentUnmetError: if the disk refuses; nothing half-written stays behind.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(TEMPORARY, f".{path.name}.", path.parent)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            Path(temporary).chmod(mode & ~_umask())
            Path(temporary).replace(path)
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise
    except OSError as error:
        raise EnvironmentUnmetError(f"cannot write {path}: {error.strerror}") from None


def json_bytes(content: Any) -> bytes:
    """Plain data as strict JSON, a line per entry; what JSON does not know becomes its text."""
    text = json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False, default=str)
    return (text + "\n").encode()


def refuse_existing(place: Path, *, overwrite: bool) -> None:
    """Refuse to replace what lies at ``place``, unless told to.

    Raises:
        UsageError: if it exists.
    """
    if place.exists() and not overwrite:
        raise UsageError(f"{place} exists; name another --out or pass --overwrite")


def write_picture(path: Path, picture: "Image", *, mode: int = 0o644) -> None:
    """Write a PNG whole or not at all; see `write`."""
    content = io.BytesIO()
    picture.save(content, "PNG")
    write(path, content.getvalue(), mode=mode)


def _umask() -> int:
    """Return what the user takes away from every new file; it can be read by setting it alone."""
    mask = os.umask(0o077)
    os.umask(mask)
    return mask


@contextmanager
def owners_alone() -> Iterator[None]:
    """Inside, whatever is written can be read by its owner alone."""
    mask = os.umask(0o077)
    try:
        yield
    finally:
        os.umask(mask)


def table(names: Sequence[str], rows: Sequence[Sequence[Any]]) -> bytes:
    """Return a CSV file's content, the same on every system."""
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(names)
    writer.writerows(rows)
    return text.getvalue().encode()
