"""A paper's table beside its repetition, as a workbook."""

from pathlib import Path

from openpyxl import Workbook
from openpyxl.worksheet.worksheet import Worksheet

from auditor.reproduction.record import Reproduction
from reports.excel.cells import Row, write_table
from reports.excel.workbook import save

MISSING = "not measured"


def render(record: Reproduction, path: Path) -> None:
    """Write the workbook: a sheet as printed, a tidy one, and one with how it was read."""
    book = Workbook()
    book.remove(book.worksheets[0])
    _table(book.create_sheet("Table"), record)
    _tidy(book.create_sheet("Figures"), record)
    _reading(book.create_sheet("Reading"), record)
    save(book, path, record.environment)


def _table(sheet: Worksheet, record: Reproduction) -> None:
    """Write the paper's rows; per column what it prints and what was measured."""
    head, widths = ["row"], [38]
    for column in record.columns:
        head += [f"{column.label}, paper", f"{column.label}, measured"]
        widths += [14, 16]
    body: list[Row] = []
    for row in record.rows:
        values: list[tuple[float | None, str] | str] = [row.label]
        for column in record.columns:
            figure = row.figures[column.key]
            measured = figure.measured
            values.append((figure.paper, "fraction"))
            values.append((measured.value if measured else None, measured.unit if measured else ""))
        body.append(values)
    write_table(sheet, head, widths, body)


def _tidy(sheet: Worksheet, record: Reproduction) -> None:
    """One figure per line, with its interval."""
    head = ["row", "column", "paper", "measured", "low", "high", "chance", "people", "unit", "note"]
    body: list[Row] = []
    for row in record.rows:
        for column in record.columns:
            figure = row.figures[column.key]
            m, paper = figure.measured, (figure.paper, "fraction")
            if m is None:
                reason = figure.reason or MISSING
                body.append((row.label, column.label, paper, *[None] * 6, reason))
                continue
            numbers = ((x, m.unit) for x in (m.value, m.low, m.high, m.chance))
            body.append((row.label, column.label, paper, *numbers, m.n, m.unit, m.note))
    write_table(sheet, head, [38, 20, 10, 11, 10, 10, 10, 9, 10, 60], body, wrapped=["note"])


def _reading(sheet: Worksheet, record: Reproduction) -> None:
    """Write how the table was read, what every row was run with, and on what."""
    body: list[Row] = [("source", record.source), ("printed figures", record.against)]
    body += [("preset", record.preset), ("seconds", record.seconds)]
    body += [(f"data: {key}", _plain(value)) for key, value in record.data.items()]
    body += [(f"environment: {key}", _plain(value)) for key, value in record.environment.items()]
    body += [(f"column: {column.label}", column.meaning) for column in record.columns]
    for row in record.rows:
        texts = (row.setting, row.note, *row.claims)
        body += [(f"row: {row.label}", text) for text in texts if text]
    body += [("note", note) for note in record.notes]
    write_table(sheet, ["what", "value"], [42, 110], body, wrapped=["value"])


def _plain(value: object) -> str:
    return value if isinstance(value, str) else str(value)
