"""Attributes of Market-1501's and DukeMTMC-reID's people, from the .mat files published for both.

A file (Lin et al., Pattern Recognition 2019) contains one structure with the parts ``train`` and
``test``; in each, ``image_index`` names the people and every other field has one number per person:
1 or 2, age 1 to 4, and 0 where nothing was annotated.
"""

import json
import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd

from auditor.data.layouts import mat_reader
from auditor.data.rows import DISTRACTOR, Rows
from auditor.errors import DataError

STRUCTURES = {"market1501": "market_attribute", "dukemtmc": "duke_attribute"}
"""Layout to the name of the structure, and of the file."""
EITHER = tuple(STRUCTURES.values())

PARTS = ("train", "test")
OTHER_PART = {"train": "test", "auxiliary": "test", "query": "train", "gallery": "train"}
"""Split to the part of the file in which its people must not be."""

PEOPLE = "image_index"
NO_YES = ("no", "yes")
VALUES = {
    "age": ("young", "teenager", "adult", "old"),
    "gender": ("male", "female"),
    "hair": ("short", "long"),
    "up": ("long", "short"),
    "down": ("long", "short"),
    "clothes": ("dress", "pants"),
    "top": ("short", "long"),
    "shoes": ("dark", "light"),
}
"""Field to what 1, 2, … stand for; all others are `NO_YES`. ``up`` is the length of the sleeves."""

MAX_BYTES = 1_000_000
"""The published files have some ten thousand; a small limit bounds what a packed one unpacks to."""

SECONDS = 60


def with_attributes(rows: Rows, file: Path | None) -> Rows:
    """Return rows with the attributes in ``file``, else in the file that lies beside the pictures.

    Raises:
        DataError: if the file cannot be followed, knows nobody here, or repeats a column; or if the
            layout has made its person numbers up.
    """
    beside = _beside(rows) if file is None else file
    if beside is None:
        return rows
    if rows.layout not in (*STRUCTURES, "manifest"):
        raise DataError(
            f"{beside}: attributes are joined by Market-1501's or DukeMTMC-reID's person numbers, "
            f"which the layout {rows.layout} does not have; leave data.attributes out"
        )
    name = STRUCTURES.get(rows.layout)
    return _join(rows, read_attributes(beside, (name,) if name else EITHER), beside)


def read_attributes(file: Path, names: Sequence[str] = EITHER) -> pd.DataFrame:
    """Return one row per person, one column of text per attribute; "" is unknown.

    Args:
        file: a .mat file in MATLAB's format 5 or 7.
        names: the structure that it holds, one of these.

    Returns:
        Indexed by part (of `PARTS`) and pid.

    Raises:
        DataError: if the file is not of the published form.
    """
    structure = _structure(file, names)
    missing = [part for part in PARTS if not isinstance(structure.get(part), dict)]
    if missing:
        raise DataError(f"{file}: no part {' and '.join(missing)}; {_expected()}")
    parts = {part: _part(structure[part], f"{file}, part {part!r}") for part in PARTS}
    table = pd.concat(parts, names=["part", "pid"]).fillna("")
    pids = table.index.get_level_values("pid")
    if pids.has_duplicates:
        twice = pids[pids.duplicated()][0]
        raise DataError(f"{file}: person {twice} is described twice; keep one")
    return table


def _beside(rows: Rows) -> Path | None:
    name = STRUCTURES.get(rows.layout)
    if name is None:
        return None
    folder = rows.source if rows.source.is_dir() else rows.source.parent
    places = [
        place / f"{name}.mat"
        for base in (rows.root, folder)
        for place in (base, base / "attribute")
    ]
    return next((place for place in places if place.is_file()), None)


def _structure(file: Path, names: Sequence[str]) -> Mapping[str, Any]:
    """Return the one structure of the file, as dictionaries, lists, numbers and texts."""
    try:
        size = file.stat().st_size
        if size > MAX_BYTES:
            raise DataError(f"{file} has {size} bytes, more than attributes take; {_expected()}")
        if not file.is_file():  # a pipe would be waited for
            raise DataError(f"{file} is not a file; {_expected()}")
        with file.open("rb"):
            pass  # so that a missing permission is told as one
    except OSError as error:
        raise DataError(f"{file} cannot be read: {error.strerror}") from None
    answer = _ask(file, names)
    if "error" in answer:
        reason = " ".join(str(answer["error"]).split())
        raise DataError(f"{file}: {reason}; {_expected()}")
    for name in names:
        if isinstance(answer["found"].get(name), dict):
            return dict(answer["found"][name])
    raise DataError(f"{file}: no structure {' or '.join(names)}; {_expected()}")


def _ask(file: Path, names: Sequence[str]) -> Mapping[str, Any]:
    """Return what `mat_reader` says, in a process whose crash is not ours."""
    command = [sys.executable, "-P", mat_reader.__file__, str(file.resolve()), *names]
    try:
        done = subprocess.run(command, capture_output=True, timeout=SECONDS, check=False)
    except subprocess.TimeoutExpired:
        return {"error": f"reading it took more than {SECONDS} seconds"}
    if done.returncode:
        return {"error": f"it is not readable: the reader ended with code {done.returncode}"}
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def _part(fields: Mapping[str, Any], where: str) -> pd.DataFrame:
    people = [str(person) for person in _listed(fields.get(PEOPLE, []))]
    wrong = [person for person in people if not re.fullmatch(r"[0-9]{1,18}", person)]
    if wrong or not people:
        raise DataError(
            f"{where}: {PEOPLE} names {repr(wrong[0]) if wrong else 'nobody'}; it contains numbers "
            "of people, such as '0002'"
        )
    columns = {
        name: _named(name, _listed(values), len(people), where)
        for name, values in fields.items()
        if name != PEOPLE
    }
    return pd.DataFrame(columns, index=[int(person) for person in people])


def _listed(value: Any) -> list[Any]:
    """Return a field of one person is no list."""
    return value if isinstance(value, list) else [value]


def _named(name: str, values: list[Any], people: int, where: str) -> list[str]:
    """Return the names of the values of one attribute."""
    names = ("", *VALUES.get(name, NO_YES))
    if len(values) != people or not all(isinstance(value, int | float) for value in values):
        raise DataError(f"{where}: {name} is not one number for each of the {people} people")
    wrong = [value for value in values if value not in range(len(names))]
    if wrong:
        raise DataError(
            f"{where}: {name} is {wrong[0]} for somebody; it goes from 1 to {len(names) - 1}, "
            "and 0 where nothing is annotated"
        )
    return [names[int(value)] for value in values]


def _join(rows: Rows, people: pd.DataFrame, file: Path) -> Rows:
    both = [name for name in people if name in rows.attributes]
    if both:
        raise DataError(
            f"{file}: the manifest has a column {both[0]!r} already; delete it there or leave "
            "data.attributes out"
        )
    pids = rows.table["pid"]
    shown = set(pids[pids > DISTRACTOR])
    described = people.droplevel("part")
    unknown = shown - set(described.index)
    if unknown == shown:
        raise DataError(f"{file} describes none of the people here; is it of another dataset?")
    joined = described.reindex(pids, fill_value="").set_axis(rows.table.index)
    notices = [*rows.notices, *_note_swaps(rows, people, file)]
    if unknown:
        notices.append(f"{len(unknown)} of {len(shown)} people have no attributes in {file.name}.")
    return replace(
        rows,
        attributes=pd.concat([rows.attributes, joined], axis=1),
        notices=tuple(notices),
    )


def _note_swaps(rows: Rows, people: pd.DataFrame, file: Path) -> list[str]:
    """Return a notice if training people here are test people in the file, or vice versa."""
    described = set(people.index)
    here = zip(rows.table["split"].map(OTHER_PART), rows.table["pid"], strict=True)
    swapped = set(here) & described
    if not swapped:
        return []
    return [
        f"{len(swapped)} people are among the training people here and among the test people in "
        f"{file.name}, or the other way round: if the people were renumbered, the attributes are "
        "somebody else's."
    ]


def _expected() -> str:
    names = " or ".join(f"{name}.mat" for name in EITHER)
    return f"give {names} as published"
