"""A table that was run again: plain data, JSON in and out, no torch.

Figures are fractions, in the paper's column as well as in ours.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from pydantic import TypeAdapter

from auditor.report import Measurement


@dataclass(frozen=True, kw_only=True)
class Column:
    """One quantity of a table.

    Attributes:
        key: name within the rows.
        label: as the paper heads it.
        better: the direction the paper wants.
        ours: whether the paper has no such column: what it should have asked.
        meaning: how it is measured here.
    """

    key: str
    label: str
    better: Literal["higher", "lower", ""] = ""
    ours: bool = False
    meaning: str = ""


@dataclass(frozen=True, kw_only=True)
class Figure:
    """One cell: what the paper prints, and what was measured.

    Attributes:
        paper: fraction; None where it prints nothing.
        measured: None where nothing could be measured.
        reason: why nothing was.
    """

    paper: float | None = None
    measured: Measurement | None = None
    reason: str = ""


@dataclass(frozen=True, kw_only=True)
class Row:
    """One variant of a table.

    Attributes:
        label: as the paper calls it.
        figures: column key -> cell.
        setting: what was run here.
        note: what a reader must know about this row.
        claims: what the protection promises, a sentence each.
        ours: whether the paper has no such row.
    """

    label: str
    figures: Mapping[str, Figure]
    setting: str = ""
    note: str = ""
    claims: tuple[str, ...] = ()
    ours: bool = False


@dataclass(frozen=True, kw_only=True)
class Reproduction:
    """A paper's table beside its repetition.

    Attributes:
        table: its name on the command line.
        title: what it is about.
        source: the paper.
        against: the dataset whose printed figures are shown.
        columns: in the paper's order.
        rows: likewise.
        notes: how the protocol was read, where the paper leaves it open.
        preset: quick or full.
        data: facts about the people measured on.
        environment: versions, device, command.
        seconds: it took.
        complete: whether every row was run.
    """

    table: str
    title: str
    source: str
    against: str
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    notes: tuple[str, ...] = ()
    preset: str = ""
    data: Mapping[str, Any] = field(default_factory=dict)
    environment: Mapping[str, Any] = field(default_factory=dict)
    seconds: float = 0.0
    complete: bool = True

    def measured_columns(self) -> tuple[Column, ...]:
        """Return the columns in which at least one row was measured."""
        return tuple(
            column
            for column in self.columns
            if any(row.figures[column.key].measured for row in self.rows)
        )


_ADAPTER = TypeAdapter(Reproduction)


def dumps(reproduction: Reproduction) -> str:
    """Return the record as strict JSON, keys in the order of the fields."""
    plain = _ADAPTER.dump_python(reproduction, mode="json")
    return json.dumps(plain, indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def load(path: Path) -> Reproduction:
    """Read a record back.

    Raises:
        OSError: if the file cannot be read.
        pydantic.ValidationError: if it is no such record.
    """
    return _ADAPTER.validate_json(path.read_bytes())
