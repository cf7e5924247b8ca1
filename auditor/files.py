"""Writing a file whole or not at all."""

import csv
import io
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from auditor.errors import EnvironmentUnmetError


def write(path: Path, content: bytes, *, mode: int = 0o644) -> None:
    """Write a file whole or not at all.

    Args:
        path: of the file; its folder is made if it is missing.
        content: of the file.
        mode: who may read it; 0o600 for a secret, which nobody else can read at any moment.

    Raises:
        EnvironmentUnmetError: if the disk refuses; nothing half-written stays behind.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            Path(temporary).chmod(mode)
            Path(temporary).replace(path)
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise
    except OSError as error:
        raise EnvironmentUnmetError(f"cannot write {path}: {error.strerror}") from None


def table(names: Sequence[str], rows: Sequence[Sequence[Any]]) -> bytes:
    """A CSV file's content, the same on every system."""
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(names)
    writer.writerows(rows)
    return text.getvalue().encode()
