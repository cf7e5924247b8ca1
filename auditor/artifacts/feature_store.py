"""Features that outlive a run, in files named after what they were computed from.

Features are personal data: the folder and what is in it can be read by its owner alone. Several
runs may share a folder, for a file is written whole or not at all and never changed. One that is
damaged is dropped and computed anew.
"""

import hashlib
import json
import logging
import os
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from auditor.artifacts.atomic import TEMPORARY, owners_alone, write
from auditor.errors import EnvironmentUnmetError, UsageError

if TYPE_CHECKING:
    import numpy as np

TAG, SIGNATURE = "CACHEDIR.TAG", "Signature: 8a477f597d28d172789f06886806bc55"
"""Marks a folder that can be thrown away (https://bford.info/cachedir); programs that back up skip
it, and nothing is deleted where it is missing."""
NAME = re.compile(r"[0-9a-f]{64}\.safetensors")
HEADER = 100_000
"""Bytes of a file's header at most."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One file of features.

    Attributes:
        path: of the file.
        model: file name of the model that gave them.
        rows: pictures.
        columns: length of a feature.
        size: in bytes.
        used: seconds since the epoch at which it was last written or read.
    """

    path: Path
    model: str
    rows: int
    columns: int
    size: int
    used: float


class FeatureStore:
    """Features by key.

    Attributes:
        folder: where they lie.
        reused: how many rows were taken from it so far.
    """

    def __init__(self, folder: Path) -> None:
        """Open ``folder``, which is made if it is missing.

        Raises:
            UsageError: if it is no folder, or one of something else.
            EnvironmentUnmetError: if it cannot be made.
        """
        self.folder, self.reused, self._full = folder, 0, False
        check_folder(folder)
        with owners_alone():
            try:
                folder.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise EnvironmentUnmetError(f"--cache {folder}: {error.strerror}") from None
            if not (folder / TAG).exists():
                write(folder / TAG, f"{SIGNATURE}\n".encode(), mode=0o600)

    def fetch(self, key: str, shape: tuple[int, int]) -> "np.ndarray | None":
        """Return the features ``(N, D)`` float32 kept under ``key``; None if there are none."""
        import safetensors.numpy

        path = self._path(key)
        try:
            content = path.read_bytes()
        except OSError:
            return None
        try:
            rows = safetensors.numpy.load(content)["features"]
            whole = _header(path)["sha256"] == hashlib.sha256(rows.tobytes()).hexdigest()
        except Exception:
            whole = False
        if not whole or rows.shape != shape or rows.dtype.name != "float32":
            log.warning("%s is damaged; its features are computed again", path)
            path.unlink(missing_ok=True)
            return None
        self.reused += len(rows)
        os.utime(path)
        return rows

    def keep(self, key: str, rows: "np.ndarray", model: str) -> None:
        """Keep the features ``(N, D)`` float32; a full disk is said once, and harms nothing."""
        import safetensors.numpy

        if self._full:
            return
        about = {"sha256": hashlib.sha256(rows.tobytes()).hexdigest(), "model": model}
        try:
            with owners_alone():
                content = safetensors.numpy.save({"features": rows}, about)
                write(self._path(key), content, mode=0o600)
        except EnvironmentUnmetError as error:
            self._full = True
            log.warning("%s; this run keeps no more features", error)

    def _path(self, key: str) -> Path:
        return self.folder / key[:2] / f"{key}.safetensors"


def check_folder(folder: Path) -> None:
    """Refuse a folder that is not empty and no cache.

    Raises:
        UsageError: if it is one.
    """
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"--cache {folder} is a file; name a folder")
    if folder.is_dir() and any(folder.iterdir()) and not _tagged(folder):
        raise UsageError(
            f"--cache {folder} contains other files and no {TAG}; "
            "name an empty folder, or a new one"
        )


def entries(folder: Path) -> list[Entry]:
    """Return what is kept in ``folder``, the most recently used first.

    Raises:
        UsageError: if it is no cache.
    """
    if not _tagged(folder):
        raise UsageError(f"{folder} is not a cache of features: it contains no {TAG}")
    return sorted(_entries(folder), key=lambda entry: -entry.used)


def prune(folder: Path, *, days: float | None = None, size: int | None = None) -> list[Entry]:
    """Delete what was not used for ``days``, and the least recently used beyond ``size`` bytes.

    Returns:
        What was deleted.

    Raises:
        UsageError: if ``folder`` is no cache.
    """
    gone, total, now = [], 0, time.time()
    for entry in entries(folder):
        total += entry.size
        if (days is not None and now - entry.used > 86400 * days) or (
            size is not None and total > size
        ):
            entry.path.unlink(missing_ok=True)
            gone.append(entry)
    for left in folder.glob(f"??/.*{TEMPORARY}"):  # of a writer that was killed
        if now - left.stat().st_mtime > 3600:
            left.unlink(missing_ok=True)
    return gone


def _tagged(folder: Path) -> bool:
    try:
        return (folder / TAG).read_text(errors="replace").startswith(SIGNATURE)
    except OSError:
        return False


def _entries(folder: Path) -> Iterator[Entry]:
    for path in folder.glob("??/*.safetensors"):
        if not NAME.fullmatch(path.name) or path.is_symlink():
            continue
        try:
            header, facts = _header(path), path.stat()
            rows, columns = map(int, header["shape"].split("x"))
        except (OSError, ValueError, KeyError):
            rows, columns, header, facts = 0, 0, {"model": "(damaged)"}, path.lstat()
        yield Entry(
            path=path,
            model=header.get("model", ""),
            rows=rows,
            columns=columns,
            size=facts.st_size,
            used=facts.st_mtime,
        )


def _header(path: Path) -> dict[str, str]:
    """Return a file's metadata, with the shape of its features as ``shape``.

    Raises:
        ValueError: if it says nothing that can be read.
    """
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if length > HEADER:
            raise ValueError("its header is too long")
        said = json.loads(file.read(length))
    try:
        about = {str(key): str(value) for key, value in said["__metadata__"].items()}
        return about | {"shape": "x".join(map(str, said["features"]["shape"]))}
    except (KeyError, TypeError, AttributeError):
        raise ValueError("its header says nothing of features") from None
