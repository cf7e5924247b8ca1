"""Reads features and what is known of each row from Parquet, npz or safetensors.

Which of them a file is follows from its content. What is stored without compression in npz, and
everything in safetensors, is mapped into memory and not read before it is asked for.
"""

import mmap
import tokenize
import zipfile
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
import safetensors
import torch
from numpy.typing import NDArray
from torch import Tensor

from auditor.console import printable
from auditor.data.rows import UNTOLD
from auditor.errors import DataError, EnvironmentUnmetError
from auditor.lazy_copies import MappedRows

FEATURES = "features"
ROLES: Mapping[str, tuple[str, ...]] = {
    FEATURES: (FEATURES, "feature", "embedding", "embeddings", "vector"),
    "pid": ("pid", "pids"),
    "camid": ("camid", "camids", "camera"),
    "path": ("path", "paths"),
    "split": ("split",),
}
"""What a column is for -> how it may be called, unless the user says otherwise."""
REQUIRED = (FEATURES, "pid")
BLOCK = 65536
"""Rows looked at together."""

Column = NDArray[Any]
DAMAGE = (
    *(OSError, ValueError, EOFError, LookupError, NotImplementedError, RuntimeError, MemoryError),
    *(zipfile.BadZipFile, zlib.error, safetensors.SafetensorError),
    *(SyntaxError, TypeError, tokenize.TokenError),  # of an array's header, which is Python text
)
"""What readers raise for a file that is damaged or none of theirs."""


@dataclass(frozen=True, eq=False)
class FeatureTable:
    """What a file contains.

    Attributes:
        path: of the file.
        form: ``parquet``, ``npz`` or ``safetensors``.
        features: ``(N, D)``, all of it finite.
        mapped: gives the same in mappings of one's own; None where they are not mapped as float32.
        texts: column -> N texts, "" where nothing is known; ``pid`` is among them, ``camid``,
            ``path`` and ``split`` may be, and all others are attributes.
    """

    path: Path
    form: str
    features: Tensor
    mapped: MappedRows | None
    texts: Mapping[str, Sequence[str]]


def read_features(path: Path, called: Mapping[str, str]) -> FeatureTable:
    """Read a file of features.

    Args:
        path: of the file.
        called: role -> what the file calls that column, as far as it differs from `ROLES`.

    Raises:
        DataError: for a file of another kind, a column that is missing or of another shape or
            kind, and rows that are not finite.
        EnvironmentUnmetError: for Parquet without pyarrow.
    """
    form = _recognise(path)
    try:
        columns = READERS[form](path)
    except DAMAGE as error:
        raise DataError(f"{path} cannot be read: {_said(error)}") from None
    columns = _name_by_role(path, columns, called)
    given = columns.pop(FEATURES)
    features = _check_features(path, given)
    texts = {
        name: _read_texts(path, name, column, len(features)) for name, column in columns.items()
    }
    return FeatureTable(path, form, features, _map_again(given), texts)


def _recognise(path: Path) -> str:
    """Return what the first bytes say a file is."""
    try:
        if not path.is_file():  # what is no file may never end
            raise DataError(f"{path} is not a file; name one with features")
        with path.open("rb") as opened:
            head = opened.read(9)
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror}") from None
    if head.startswith(b"PAR1"):
        return "parquet"
    if head.startswith(b"PK\x03\x04"):
        return "npz"
    if head[8:] == b"{":
        return "safetensors"
    raise DataError(f"{path} is not a file of features; give Parquet, npz or safetensors")


def _read_parquet(path: Path) -> dict[str, Column]:
    try:
        from auditor.data.features.parquet import read_parquet
    except ModuleNotFoundError:
        raise EnvironmentUnmetError(
            f"{path} is Parquet, which needs pyarrow: "
            'pip install "reid-privacy-auditor[parquet]", or give npz or safetensors'
        ) from None
    return read_parquet(path)


def _read_npz(path: Path) -> dict[str, Column]:
    with zipfile.ZipFile(path) as archive:
        return {
            member.filename.removesuffix(".npy"): _read_member(path, archive, member)
            for member in archive.infolist()
        }


def _read_member(path: Path, archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> Column:
    """Return an array of an npz file: mapped if it is stored as it is, else read."""
    with archive.open(member) as opened:
        shape, fortran, kind, start = _read_header(opened)
        if kind.hasobject:
            raise ValueError(f"{member.filename} contains Python objects, which would run code")
        if member.compress_type == zipfile.ZIP_STORED and shape and 0 not in shape:
            place = _find_content(path, member) + start
            order = "F" if fortran else "C"
            # copy-on-write: nothing ever reaches the file
            return np.memmap(path, kind, "c", place, shape, order)  # type: ignore[call-overload, no-any-return]
    with archive.open(member) as opened:
        return np.lib.format.read_array(opened, allow_pickle=False)


def _read_header(opened: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype[np.generic], int]:
    """Shape, order and type of an array, and where its numbers begin."""
    version = np.lib.format.read_magic(opened)
    read = {
        (1, 0): np.lib.format.read_array_header_1_0,
        (2, 0): np.lib.format.read_array_header_2_0,
    }
    if version not in read:
        raise ValueError(f"an array of version {version}")
    shape, fortran, kind = read[version](opened)
    return shape, fortran, kind, opened.tell()


def _find_content(path: Path, member: zipfile.ZipInfo) -> int:
    """Return where a member's bytes begin: behind its local header, whose lengths are its own."""
    with path.open("rb") as opened:
        opened.seek(member.header_offset + 26)
        lengths = opened.read(4)
    name, extra = int.from_bytes(lengths[:2], "little"), int.from_bytes(lengths[2:], "little")
    return member.header_offset + 30 + name + extra


def _read_safetensors(path: Path) -> dict[str, Column]:
    with safetensors.safe_open(path, "pt") as opened:
        tensors = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118
    return {
        name: (tensor.float() if tensor.dtype == torch.bfloat16 else tensor).numpy()
        for name, tensor in tensors.items()
    }


READERS: Mapping[str, Callable[[Path], dict[str, Column]]] = {
    "parquet": _read_parquet,
    "npz": _read_npz,
    "safetensors": _read_safetensors,
}


def _name_by_role(
    path: Path, columns: Mapping[str, Column], called: Mapping[str, str]
) -> dict[str, Column]:
    """Return the columns under the names of what they are for."""
    unknown = sorted(set(called) - set(ROLES))
    if unknown:
        raise DataError(
            f"features.columns: nothing is called {unknown[0]!r}; it says what the files call "
            f"{', '.join(ROLES)}"
        )
    roles: dict[str, str] = {}
    for role, names in ROLES.items():
        found = [name for name in ([called[role]] if role in called else names) if name in columns]
        if len(found) > 1:
            raise DataError(
                f"{path}: {' and '.join(map(repr, found))} may both be the {role}; say which with "
                f"features.columns.{role}"
            )
        if found:
            roles[found[0]] = role
        elif role in REQUIRED or role in called:
            held = printable(", ".join(columns) or "nothing", 200)
            raise DataError(
                f"{path}: no column {called.get(role, role)!r}; say what the file calls it with "
                f"features.columns.{role} (found: {held})"
            )
    return {roles.get(name, name): column for name, column in columns.items()}


def _check_features(path: Path, features: Column) -> Tensor:
    """Return rows of real numbers, all of them finite as float32."""
    if features.ndim != 2 or features.dtype.kind != "f" or min(features.shape) == 0:
        raise DataError(
            f"{path}: the features are {features.dtype} of shape {features.shape}; give a row of "
            "D real numbers (N, D) for each picture"
        )
    if features.shape[1] < 2:
        raise DataError(f"{path}: the features have one number a row; give two or more")
    rows = torch.from_numpy(features if features.dtype.isnative else features.astype("=f4"))
    bad = sum(int((~block.float().isfinite()).any(1).sum()) for block in rows.split(BLOCK))
    if bad:
        raise DataError(
            f"{path}: {bad} of {len(rows)} rows contain NaN, infinity or numbers beyond float32; "
            "leave those rows out or compute them again"
        )
    return rows


def _map_again(features: Column) -> MappedRows | None:
    """Return further mappings of the features, if nothing need be done to them."""
    if not isinstance(features, np.memmap) or features.dtype != "=f4" or features.flags.fnc:
        return None
    if hasattr(mmap, "MADV_DONTNEED"):
        features._mmap.madvise(mmap.MADV_DONTNEED)  # type: ignore[attr-defined]  # read, and not again
    return MappedRows.of_array(features)


def _read_texts(path: Path, name: str, column: Column, count: int) -> list[str]:
    """Return a column as texts, "" where nothing is known."""
    if column.shape != (count,):
        raise DataError(
            f"{path}: {name!r} has shape {column.shape} beside {count} rows of features; give one "
            "value for each row"
        )
    return [_text(value) for value in column.tolist()]


def _text(value: object) -> str:
    """Return what a cell says; whole numbers without a fraction.

    >>> _text(3.0), _text(b"bo"), _text(None), _text(float("nan"))
    ('3', 'bo', '', '')
    """
    if value is None:
        return ""
    if isinstance(value, bytes):
        value = value.decode(errors="replace")
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    text = str(value).strip()
    return "" if text in UNTOLD else text


def _said(error: Exception) -> str:
    return printable(str(error).splitlines()[0] if str(error) else type(error).__name__, 200)
