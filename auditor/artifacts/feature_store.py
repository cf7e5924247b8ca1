"""Features that outlive a run, in files named after what they were computed from.

Features are personal data: the folder and what is in it can be read by its owner alone. Several
runs may share a folder, for a file is written whole or not at all and never changed. One that is
damaged is dropped and computed anew.

Whoever can write to the folder decides what an audit finds, for a digest shows damage and not
intent. So a folder that others can write to is refused.
"""

import hashlib
import io
import json
import logging
import os
import re
import stat
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from auditor.artifacts.atomic import TEMPORARY, owners_alone, write
from auditor.artifacts.regular_file import open_regular
from auditor.console import printable
from auditor.errors import EnvironmentUnmetError, UsageError

if TYPE_CHECKING:
    import numpy as np

TAG, SIGNATURE = "CACHEDIR.TAG", "Signature: 8a477f597d28d172789f06886806bc55"
"""Marks a folder that can be thrown away (https://bford.info/cachedir); programs that back up skip
it, and nothing is deleted where it is missing."""
PART = re.compile(r"[0-9a-f]{2}")
"""A folder in the folder, named after how the keys of its files begin."""
NAME = re.compile(r"[0-9a-f]{64}\.safetensors")
HEADER = 100_000
"""Bytes of a file's header at most."""
HOUR = 3600

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
            UsageError: if it is no folder, one of something else, or others can write to it.
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
        path = self._path(key)
        try:
            rows = _load(path, key, shape)
        except FileNotFoundError:
            return None
        except Exception:  # whatever else lies there is not what was kept
            log.warning("%s is damaged; its features are computed again", path)
            with suppress(OSError):
                path.unlink()
            return None
        self.reused += len(rows)
        with suppress(OSError):  # the folder may be read-only, or another command prune it
            os.utime(path)
        return rows

    def holds(self, key: str) -> bool:
        """Whether there are features under ``key``; whether they are whole, `fetch` sees."""
        return self._path(key).is_file()

    def keep(self, key: str, rows: "np.ndarray", model: str) -> None:
        """Keep the features ``(N, D)`` float32; a full disk is said once, and harms nothing."""
        import safetensors.numpy

        if self._full:
            return
        about = {"sha256": _digest(key, rows), "model": printable(model, 60)}
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
    """Refuse a folder that is not empty and no cache, and one that others can write to.

    Raises:
        UsageError: if it is one.
        EnvironmentUnmetError: if it cannot be looked at.
    """
    try:
        if folder.is_dir():
            _check_content(folder)
        elif os.path.lexists(folder):
            raise UsageError(f"--cache {folder} is a file; name a folder")
    except OSError as error:
        raise EnvironmentUnmetError(f"--cache {folder}: {error.strerror}") from None


def _check_content(folder: Path) -> None:
    inside = [path for path in folder.iterdir() if not path.name.startswith(f".{TAG}.")]
    if inside and not _tagged(folder):
        raise UsageError(
            f"--cache {folder} contains other files and no {TAG}; "
            "name an empty folder, or a new one"
        )
    for place in (folder.resolve(), *inside):
        if not _is_owners_alone(place.lstat()):
            raise UsageError(
                f"--cache {folder}: others can write to {place.name} (or it is a link), and so "
                "decide what the audit finds; take that from them (chmod -R go-w), or name another"
            )


def _is_owners_alone(status: os.stat_result) -> bool:
    """Return whether nobody but this user, and root, can change what is there."""
    user = os.geteuid() if hasattr(os, "geteuid") else status.st_uid
    return (
        (user == 0 or status.st_uid in (0, user))
        and not stat.S_ISLNK(status.st_mode)
        and not status.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
    )


def entries(folder: Path) -> list[Entry]:
    """Return what is kept in ``folder``, the most recently used first.

    Raises:
        UsageError: if it is no cache.
        EnvironmentUnmetError: if it cannot be read.
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
        EnvironmentUnmetError: if it cannot be read, or nothing be deleted in it.
    """
    gone, total, now = [], 0, time.time()
    for entry in entries(folder):
        total += entry.size
        if (days is not None and now - entry.used > 86400 * days) or (
            size is not None and total > size
        ):
            _delete(entry.path)
            gone.append(entry)
    for path, facts in _files(folder):
        abandoned = path.name.endswith(TEMPORARY) and now - facts.st_mtime > HOUR
        if abandoned:  # of a writer that was killed
            _delete(path)
    return gone


def _delete(path: Path) -> None:
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        raise EnvironmentUnmetError(f"cannot delete {path}: {error.strerror}") from None


def _tagged(folder: Path) -> bool:
    try:
        with open_regular(folder / TAG) as file:
            return file.read(len(SIGNATURE)) == SIGNATURE.encode()
    except OSError:
        return False


def _entries(folder: Path) -> Iterator[Entry]:
    for path, facts in _files(folder):
        if not NAME.fullmatch(path.name):
            continue
        try:
            with open_regular(path) as file:
                about = _about(file)
            rows, columns = map(int, about["shape"].split("x"))
        except (OSError, ValueError):
            rows, columns, about = 0, 0, {"model": "(damaged)"}
        yield Entry(
            path=path,
            model=about.get("model", ""),
            rows=rows,
            columns=columns,
            size=facts.st_size,
            used=facts.st_mtime,
        )


def _files(folder: Path) -> Iterator[tuple[Path, os.stat_result]]:
    """Yield the files that may be a store's, and nothing behind a link."""
    try:
        inside = [path for path in folder.iterdir() if PART.fullmatch(path.name)]
        parts = [path for path in inside if path.is_dir() and not path.is_symlink()]
        paths = [path for part in parts for path in part.iterdir()]
    except OSError as error:
        raise EnvironmentUnmetError(f"cannot read {folder}: {error.strerror}") from None
    for path in paths:
        with suppress(FileNotFoundError):  # another command may prune
            facts = path.lstat()
            if stat.S_ISREG(facts.st_mode):
                yield path, facts


def _load(path: Path, key: str, shape: tuple[int, int]) -> "np.ndarray":
    """Return the features in a file.

    Raises:
        FileNotFoundError: if there is none.
        Exception: if it is not what was kept under ``key``.
    """
    import numpy as np
    import safetensors.numpy

    most = 8 + HEADER + 4 * shape[0] * shape[1]
    with open_regular(path) as file:
        content = file.read(most + 1)
    rows: np.ndarray = safetensors.numpy.load(content)["features"]
    expected = (shape, "float32", _about(io.BytesIO(content))["sha256"])
    if (rows.shape, rows.dtype.name, _digest(key, rows)) != expected:
        raise ValueError("it contains other features")
    if not np.isfinite(rows).all():
        raise ValueError("its features are not finite")
    return rows


def _digest(key: str, rows: "np.ndarray") -> str:
    """Return SHA-256 of features with their key, under whose name alone they may lie."""
    digest = hashlib.sha256(key.encode())
    digest.update(rows.tobytes())
    return digest.hexdigest()


def _about(file: BinaryIO) -> dict[str, str]:
    """Return a file's metadata, with the shape of its features as ``shape``.

    Raises:
        ValueError: if it says nothing that can be read.
    """
    length = int.from_bytes(file.read(8), "little")
    if length > HEADER:
        raise ValueError("its header is too long")
    try:
        said = json.loads(file.read(length))
        about = {str(key): str(value) for key, value in said["__metadata__"].items()}
        return about | {"shape": "x".join(map(str, said["features"]["shape"]))}
    except (KeyError, TypeError, AttributeError, RecursionError):
        raise ValueError("its header says nothing of features") from None
