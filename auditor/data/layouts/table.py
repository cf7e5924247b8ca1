"""The canonical layout: a CSV file ``path,pid,camid,split`` with one further column per attribute.

Paths are relative to the CSV's folder, or absolute and below it. ``pid`` is −1 for junk, 0 for a
distractor; people may also have names, all of them. ``camid`` may be empty; ``split`` is train,
auxiliary, query or gallery, or the whole column is empty or left out. Other names of the columns
can be told, and those of Open Metric Learning are known. Commas, semicolons, tabs or bars separate.
"""

import os
import re
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from auditor.artifacts.atomic import write
from auditor.data.rows import COLUMNS, SPLITS, UNTOLD, Rows, locate, number_people
from auditor.errors import DataError

REQUIRED = ("path", "pid", "camid")
UNKNOWN_CAMERA = frozenset({"", "-1", "unknown"})


def read_table(file: Path, columns: Mapping[str, str] | None = None) -> Rows:
    """Return the rows of the CSV ``file``, every cell checked.

    Args:
        file: of the table.
        columns: path, pid, camid or split to what the table calls it.

    Raises:
        DataError: one line per column that has a fault: row, value and the way out.
    """
    cells = _name_columns(file, _read_cells(file), columns or {})
    root = file.resolve().parent
    cells["path"] = [_below(root, path) for path in cells["path"]]
    notices = _number(cells)
    _check_values(file, cells)
    rows = cells.index.tolist()
    where = lambda row: f"{file}, row {rows[row]}, column 'path'"  # noqa: E731
    files, outside = locate(root, cells["path"], where)
    cells = cells.reset_index(drop=True)
    table = cells[list(COLUMNS)].astype({"pid": np.int64})
    table["camid"] = table["camid"].map(_camera)
    further = cells.drop(columns=list(COLUMNS))
    return Rows("manifest", file, root, table, files, further, notices=notices, outside=outside)


def _below(root: Path, path: str) -> str:
    """Return a path relative to the folder, also if it is absolute or has backslashes."""
    if "\\" in path and not os.path.exists(root / path):  # noqa: PTH110 (never raises)
        path = path.replace("\\", "/")
    if Path(path).is_absolute() and root in Path(os.path.normpath(path)).parents:
        return Path(os.path.normpath(path)).relative_to(root).as_posix()
    return path


def _number(cells: pd.DataFrame) -> tuple[str, ...]:
    """Let people with names have numbers, and write whole numbers whole."""
    people = cells["pid"].tolist()
    whole = [re.fullmatch(r"(-1|[0-9]{1,18})\.0+", text) for text in people]
    cells["pid"] = [match[1] if match else text for match, text in zip(whole, people, strict=True)]
    if "" in people or any(map(_is_pid, cells["pid"])):
        return ()  # a number among names is a mistake to point at
    pids, notices = number_people(people)
    cells["pid"] = [str(pid) for pid in pids]
    return notices


def write_table(rows: Rows, file: Path, *, overwrite: bool = False) -> None:
    """Write ``rows`` as a manifest, whole or not at all; paths start at its folder.

    Args:
        rows: of any layout.
        file: a CSV file in the folder of the pictures or above.
        overwrite: whether an existing file may be replaced.

    Raises:
        DataError: if it lies elsewhere, exists, or could not be read back.
        EnvironmentUnmetError: if the disk refuses.
    """
    folder = file.resolve().parent
    if folder not in (rows.root, *rows.root.parents):
        raise DataError(
            f"{file}: a manifest's paths start at its own folder, and the pictures lie in "
            f"{rows.root}; write it there or above"
        )
    if file.suffix.lower() != ".csv":
        raise DataError(f"{file} is not called .csv, so it would not be taken for a manifest")
    if file.is_dir() or (file.exists() and not overwrite):
        raise DataError(f"{file} exists; pass --overwrite or name another file")
    inner = rows.root.relative_to(folder)
    paths = [(inner / path).as_posix() for path in rows.table["path"]]
    unkept = [path for path in paths if path != path.strip() or not path.isprintable()]
    if unkept:
        raise DataError(f"{unkept[0]!r} has characters that a table does not keep; rename it")
    cells = pd.concat([rows.table[list(COLUMNS)].assign(path=paths), rows.attributes], axis=1)
    write(file, cells.to_csv(index=False, lineterminator="\n").encode())


def _yes(table: pd.DataFrame, name: str) -> "pd.Series[bool]":
    """Return which rows say yes in a column; none if there is no such column."""
    answers = table[name] if name in table else pd.Series("", index=table.index)
    return answers.str.lower().isin(("true", "1", "1.0"))


def _read_cells(file: Path) -> pd.DataFrame:
    """Return all cells as text, indexed by the row number a spreadsheet shows.

    The header is row 1.
    """
    separator = _separator(file)
    try:
        # The header is read as a row: pandas would rename doubled columns, and take the first
        # column for row labels where rows are longer than the header.
        cells = pd.read_csv(
            file,
            header=None,
            sep=separator,
            dtype=str,
            keep_default_na=False,
            na_filter=False,
            skip_blank_lines=False,
            encoding="utf-8-sig",
        )
    except UnicodeDecodeError as error:
        raise DataError(
            f"{file}: not a comma-separated table in UTF-8: {error}; save it as CSV in UTF-8, "
            "not in an encoding such as UTF-16 or cp1252"
        ) from None
    except (OSError, ValueError, OverflowError) as error:
        reason = str(error).strip()
        raise DataError(f"{file}: not a comma-separated table in UTF-8: {reason}") from None
    cells.index = pd.RangeIndex(1, len(cells) + 1)
    for column in cells:
        cells[column] = cells[column].str.strip()
    filled = (cells != "").any(axis=1)
    return cells[filled]


SEPARATORS = (",", ";", "\t", "|")


def _separator(file: Path) -> str:
    """Return the header's separator: a comma, unless there is none and another sign is there."""
    try:
        with file.open(encoding="utf-8-sig", errors="replace") as opened:
            header = opened.readline(10_000)
    except OSError:
        return ","  # whoever reads it says what is wrong
    return next((sign for sign in SEPARATORS if sign in header), ",")


def _name_columns(file: Path, cells: pd.DataFrame, columns: Mapping[str, str]) -> pd.DataFrame:
    """Return the rows below the header, under the header's names."""
    header = [str(text) for text in cells.iloc[0]] if len(cells) else []
    unknown = sorted(set(columns) - set(COLUMNS))
    absent = sorted(set(columns.values()) - set(header))
    if unknown or absent:
        wrong = f"no column {absent[0]!r}" if absent else f"nothing is called {unknown[0]!r}"
        raise DataError(
            f"{file}: {wrong}; data.columns says what the table calls {', '.join(COLUMNS)} "
            f"(found: {', '.join(header)[:200]})"
        )
    called = {theirs: mine for mine, theirs in columns.items()}
    names = [called.get(text, _column_name(text)) for text in header]
    oml = "label" in names and "pid" not in names
    if oml:  # Open Metric Learning's
        names = ["pid" if name == "label" else name for name in names]
    _check_names(file, names)
    required = REQUIRED[:2] if oml or columns else REQUIRED
    missing = [name for name in required if name not in names]
    if missing:
        raise DataError(
            f"{file}: no column {', '.join(missing)}; a manifest starts with the line "
            f"{','.join(COLUMNS)}, or data.columns says what they are called "
            f"(found: {', '.join(names)[:200] or 'nothing'})"
        )
    table = cells.iloc[1:].copy()
    table.columns = pd.Index(names)
    told = table.columns.difference(["path", "pid"])
    table[told] = table[told].mask(table[told].isin(UNTOLD), "")
    if table.empty:
        raise DataError(f"{file}: no rows below the header; write one row per picture")
    for name in ("camid", "split"):
        if name not in table:
            table[name] = ""
    return _split_as_oml(table) if oml and "is_query" in table else table


def _check_names(file: Path, names: list[str]) -> None:
    for position, name in enumerate(names, start=1):
        if not name:
            raise DataError(
                f"{file}: column {position} has no name; name it or delete it "
                "(pandas writes such a column unless told index=False)"
            )
        if names.count(name) > 1:
            raise DataError(f"{file}: {names.count(name)} columns are called {name!r}; keep one")


def _split_as_oml(table: pd.DataFrame) -> pd.DataFrame:
    """Return the splits by ``is_query`` and ``is_gallery``.

    Where every picture is both, they are yet to be divided; where some are, those are gallery.
    """
    query, gallery = (_yes(table, name) for name in ("is_query", "is_gallery"))
    table["split"] = "train"
    table.loc[query, "split"] = "query"
    table.loc[gallery, "split"] = "" if query.equals(gallery) else "gallery"
    return table.drop(columns=[name for name in ("is_query", "is_gallery") if name in table])


def _column_name(text: str) -> str:
    return text.lower() if text.lower() in COLUMNS else text


def _check_values(file: Path, cells: pd.DataFrame) -> None:
    """Look through the four columns one by one and report the first fault of each."""
    some_split = bool((~cells["split"].isin(["", "train"])).any())
    allowed = (*SPLITS, "") if not some_split else SPLITS
    faults = {
        "path": (cells["path"] == "", "give the picture's path below the manifest's folder"),
        "pid": (
            ~cells["pid"].map(_is_pid),
            "give the person's number, 0 for a distractor, -1 for junk",
        ),
        "split": (
            ~cells["split"].isin(allowed),
            f"write {', '.join(SPLITS)}, or leave the whole column empty",
        ),
    }
    lines = []
    for column, (faulty, way_out) in faults.items():
        rows = cells.index[faulty]
        if len(rows):
            value = str(cells.at[rows[0], column])[:80]
            more = f" (and {len(rows) - 1} more rows)" if len(rows) > 1 else ""
            lines.append(f"{file}, row {rows[0]}, column {column!r}: {value!r}{more}; {way_out}")
    if lines:
        raise DataError("\n".join(lines))


def _is_pid(text: str) -> bool:
    """Eighteen digits always fit into int64."""
    return re.fullmatch(r"-1|[0-9]{1,18}", text) is not None


def _camera(text: str) -> str:
    """Cameras "01" and "1" are one camera."""
    if text.lower() in UNKNOWN_CAMERA:
        return ""
    return str(int(text)) if re.fullmatch(r"[0-9]{1,18}", text) else text
