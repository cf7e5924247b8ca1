"""Rows of a manifest: what every layout is turned into before it becomes a dataset.

A row is a picture's path below the dataset's folder, its person, its camera and its split; further
columns are attributes. A new layout is one function that returns `Rows`.
"""

import hashlib
import json
import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from auditor.errors import DataError
from auditor.types import MISSING

COLUMNS = ("path", "pid", "camid", "split")
SPLITS = ("train", "auxiliary", "query", "gallery")
SUFFIXES = frozenset({".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".bmp", ".webp"})
UNREAD = frozenset(
    {".tif", ".tiff", ".gif", ".avif", ".heic", ".heif", ".jp2", ".j2k", ".jxl"}
    | {".ppm", ".pgm", ".pbm", ".pnm", ".tga", ".dng", ".raw", ".svg"}
)
"""Endings of pictures whose decoders no stranger's file may reach."""
KEPT = frozenset({"track", "tracklet", "trackid", "sequence", "time", "timestamp", "frame"})
"""Columns that are kept beside the pictures and are no attribute of a person."""
UNTOLD = ("nan", "NaN", "None", "NA", "N/A", "<NA>", "null", "NULL")
"""How other programs write that nothing is known; here that is an empty cell."""
JUNK, DISTRACTOR = -1, 0

DEEPEST = 4
"""Folders that contain nothing but the next one, in which a layout is looked for."""

MAX_VALUES = 32
"""A column with more distinct values is a note or a number, not something to classify."""


@dataclass(frozen=True, eq=False)
class Rows:
    """One row per picture, as the layout has them: nothing dropped, nothing decided.

    Attributes:
        layout: a name from `auditor.data.layouts`.
        source: what the user named, for messages.
        root: the resolved folder all pictures lie below.
        table: N rows of path (text, below root), pid (int64), camid (text, "" unknown) and split
            (text, "" undecided), indexed 0..N-1.
        files: N resolved paths, in the table's order.
        attributes: N rows of text, one column per attribute; "" where not annotated.
        facts: what this layout alone has to say.
        notices: sentences for the report.
        outside: why links lead out of ``root``; empty if none does.
    """

    layout: str
    source: Path
    root: Path
    table: pd.DataFrame
    files: Sequence[Path]
    attributes: pd.DataFrame
    facts: Mapping[str, Any] = field(default_factory=dict)
    notices: tuple[str, ...] = ()
    outside: str = ""


def scan_pictures(
    layout: str,
    source: Path,
    root: Path,
    records: Iterable[Sequence[object]],
    where: Callable[[int], str] | None = None,
) -> Rows:
    """`Rows` without attributes from (path, pid, camid, split) records found below ``root``.

    Args:
        layout: its name.
        source: what the user named.
        root: resolved.
        records: one per picture.
        where: record -> where it stands, for messages; ``source`` if left out.

    Raises:
        DataError: for a link to a picture already there.
    """
    table = pd.DataFrame(list(records), columns=list(COLUMNS))
    table = table.astype({"path": str, "pid": np.int64, "camid": str, "split": str})
    files, outside = locate(root, table["path"], where or (lambda _: str(source)))
    attributes = pd.DataFrame(index=table.index)
    return Rows(layout, source, root, table, files, attributes, outside=outside)


def locate(root: Path, paths: Iterable[str], where: Callable[[int], str]) -> tuple[list[Path], str]:
    """Resolve ``paths`` below the resolved ``root``; also return a link that leads out of it.

    A manifest may come from a stranger; it must not make the report show a picture from elsewhere.
    So a link out of the folder is followed only where the user says so (`read_rows`), and a path
    that is written to lead out never.

    Raises:
        DataError: starting with ``where(row)``, for a path that is absolute, leads out of ``root``,
            or names a picture that another row has already.
    """
    files: dict[Path, int] = {}
    outside = ""
    for row, path in enumerate(paths):
        if Path(path).is_absolute():
            raise DataError(f"{where(row)}: {path!r} is absolute; give it relative to the folder")
        try:
            file = (root / path).resolve()
        except (OSError, ValueError, RuntimeError) as error:
            raise DataError(f"{where(row)}: {path!r} is not a path: {error}") from None
        if root not in file.parents:
            said = f"{where(row)}: {path!r} leads out of the dataset's folder; "
            if root not in Path(os.path.normpath(root / path)).parents:
                raise DataError(f"{said}name pictures within it")
            outside = outside or (
                f"{said}copy the picture into the folder instead of linking to it, or set "
                "data.follow_links if the link is your own"
            )
        if file in files:
            raise DataError(
                f"{where(row)}: {path!r} is the same picture as in {where(files[file])}; "
                "name every picture once, or a query finds itself in the gallery"
            )
        files[file] = row
    return list(files), outside


def list_pictures(folder: Path) -> list[Path]:
    """Return the picture files directly in ``folder``, sorted by name; hidden ones are left out."""
    return sorted(
        file
        for file in folder.iterdir()
        if file.suffix.lower() in SUFFIXES and not file.name.startswith(".") and not file.is_dir()
    )


def list_folders(folder: Path) -> list[Path]:
    """Return the folders directly in ``folder``, sorted by name; hidden ones are left out."""
    return sorted(
        child for child in folder.iterdir() if child.is_dir() and not child.name.startswith(".")
    )


def within(root: Path, has: Callable[[Path], bool]) -> Path | None:
    """``root`` or the one folder in it that a layout is recognised in; None if there is none.

    Where an archive was unpacked into a folder of its own name, and that into another, the only
    folder of a folder is looked into.

    Raises:
        DataError: if several folders in ``root`` are of that layout.
    """
    for _ in range(DEEPEST):
        if has(root):
            return root
        folders = list_folders(root)
        nested = [folder for folder in folders if has(folder)]
        if len(nested) > 1:
            names = ", ".join(folder.name for folder in nested)
            raise DataError(f"{root} contains several datasets ({names}); name one of them")
        if nested:
            return nested[0]
        if len(folders) != 1:
            return None
        root = folders[0]
    return None


def list_lines(file: Path) -> list[tuple[str, str]]:
    """(where it stands, line) of the lines of a published list that are not blank.

    Raises:
        DataError: if it is no text.
    """
    try:
        lines = file.read_text(encoding="utf-8-sig").splitlines()
    except UnicodeDecodeError:
        raise DataError(f"{file} is not text in UTF-8; take the published list") from None
    numbered = enumerate(lines, start=1)
    return [(f"{file}, line {number}", line.strip()) for number, line in numbered if line.strip()]


def number_people(people: Sequence[str]) -> tuple[list[int], tuple[str, ...]]:
    """Numbers of people, and a notice if they were given here because their names are text.

    >>> number_people(["0002", "3.0"]), number_people(["bo", "al", "bo"])[0]
    (([2, 3], ()), [2, 1, 2])

    Raises:
        DataError: if some are numbers and some are not.
    """
    whole = [re.fullmatch(r"(-1|[0-9]{1,18})(\.0+)?", text) for text in people]
    if all(whole):
        return [int(match[1]) for match in whole if match], ()
    if any(whole) or "" in people:
        odd = next(text for text, match in zip(people, whole, strict=True) if not match)
        raise DataError(f"some people have numbers and {odd[:80]!r} is not one; number all or none")
    code = {name: pid for pid, name in enumerate(sorted(set(people)), start=1)}
    notice = "People are numbered from 1 in the sorted order of their names."
    return [code[text] for text in people], (notice,)


def digest(table: pd.DataFrame) -> str:
    """SHA-256 over the sorted (path, pid, camid, split) rows, whatever order they came in."""
    columns = [table[name].tolist() for name in COLUMNS]
    rows = sorted(json.dumps(row) for row in zip(*columns, strict=True))
    return hashlib.sha256("\n".join(rows).encode()).hexdigest()


def encode(texts: Sequence[str]) -> tuple[NDArray[np.int64], tuple[str, ...]]:
    """Return codes ``(N,)`` of the texts, `MISSING` for "", and the name of each code.

    >>> encode(["10", "9", "", "10"])
    (array([ 1,  0, -1,  1]), ('9', '10'))
    """
    names = in_order(set(texts) - {""})
    code = {name: number for number, name in enumerate(names)} | {"": MISSING}
    return np.array([code[text] for text in texts], dtype=np.int64), names


def in_order(names: Iterable[str]) -> tuple[str, ...]:
    """Sorted by value if all are numbers, else as text."""
    texts = sorted(names)
    if all(re.fullmatch(r"-?[0-9]+(\.[0-9]+)?", text) for text in texts):
        texts.sort(key=float)
    return tuple(texts)


def why_ignored(name: str, values: set[str]) -> str:
    """Say why a column with these ``values`` is no attribute; "" if it is one."""
    if not re.fullmatch(r"[\w -]+", name):
        return "its name has characters other than letters, digits, blank, _ and -"
    if len(values) < 2:
        return "it has fewer than two distinct values, so there is nothing to find out"
    if len(values) > MAX_VALUES:
        return f"it has {len(values)} distinct values, more than {MAX_VALUES}"
    return ""
