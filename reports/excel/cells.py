"""Writes cells of a workbook; the one place through which every value goes.

A workbook is a program to whoever opens it: a text that begins with ``=`` would run as a formula.
Texts are therefore stored as texts and marked as such, so that they stay so when edited.
"""

import math
import re
from collections.abc import Iterable, Mapping, Sequence

from openpyxl.cell import Cell
from openpyxl.cell.rich_text import CellRichText
from openpyxl.formatting.rule import Rule
from openpyxl.styles import Alignment, Font, PatternFill
from openpyxl.styles.differential import DifferentialStyle
from openpyxl.utils import get_column_letter
from openpyxl.worksheet.properties import PageSetupProperties
from openpyxl.worksheet.worksheet import Worksheet

from auditor.report import Measurement
from reports.content.wording import ABSENT
from reports.redaction.sanitize import clean

LONGEST = 32_767
"""UTF-16 units that one cell may hold."""
LAST_ROW = 1_048_576
OUTCOMES = {
    "pass": ("E6F3EB", "14653A"),
    "fail": ("FBE9E7", "9C2117"),
    "inconclusive": ("FBF1DC", "764900"),
    "warn": ("FBF1DC", "764900"),
    "waived": ("ECECEC", "3D3D3D"),
}
"""Outcome -> colours of the cell and of its text."""
FORMATS = {
    "fraction": "0.0%",
    "dB": '0.00" dB"',
    "distance": "0.000",
    "ratio": "0.000",
    "people": "0",
}

Value = str | float | int | bool | None
Row = Sequence[Value | tuple[Value, str]]
"""Values of one row; a number with a unit is a pair."""

FACE = "Calibri"
_CODE = re.compile("(?<=_)(?=x[0-9A-Fa-f]{1,4}_)")
"""Inside what spreadsheets read as the code of a character, as in ``osnet_x1_0``.

A text cut there into two runs reads the same everywhere; the format's own way to escape it would
show in whatever reads workbooks without knowing it, pandas for one.
"""
_HEAD = Font(name=FACE, bold=True, color="FFFFFF")
_HEAD_FILL = PatternFill("solid", fgColor="0E5F70")
_TEXT = Alignment(vertical="top", indent=1)
_WRAPPED = Alignment(vertical="top", indent=1, wrap_text=True)
_NUMBER = Alignment(vertical="top", horizontal="right")


def ends(m: Measurement | None) -> list[tuple[float | None, str]]:
    """Cells of a figure and the ends of its interval."""
    return [(number, m.unit) for number in (m.value, m.low, m.high)] if m else [(None, "")] * 3


def write_cell(
    sheet: Worksheet, row: int, column: int, value: Value, unit: str = "", *, wrap: bool = False
) -> Cell:
    """Put ``value`` into a cell: never a formula, never a hole, never more than a cell holds.

    Args:
        sheet: where.
        row: from 1.
        column: from 1.
        value: a text stays a text; None and what is not finite become ``n/a``.
        unit: of a number, for its format.
        wrap: whether long text breaks over several lines.
    """
    cell = sheet.cell(row, column)
    assert isinstance(cell, Cell)
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        value = ABSENT
    if isinstance(value, bool):
        value = "yes" if value else "no"
    if value == "":
        return cell  # an empty text would be stored as a malformed one
    if isinstance(value, str):
        runs = _CODE.split(fit(value))
        cell.value = CellRichText(runs) if len(runs) > 1 else runs[0]
        cell.data_type = "s"
        cell.quotePrefix = True
        cell.alignment = _WRAPPED if wrap else _TEXT
    else:
        cell.value = value
        cell.number_format = FORMATS.get(unit, "General")
        cell.alignment = _NUMBER
    return cell


def fit(text: str) -> str:
    """Return ``text`` cleaned and cut with an ellipsis to what a cell holds.

    >>> len(fit("x" * 40_000)), fit("x" * 40_000)[-1]
    (32767, '…')
    """
    shown = clean(text, LONGEST)
    units = shown.encode("utf-16-le")
    if len(units) <= 2 * LONGEST:
        return shown
    return units[: 2 * (LONGEST - 1)].decode("utf-16-le", errors="ignore") + "…"


def write_table(
    sheet: Worksheet,
    head: Sequence[str],
    widths: Sequence[int],
    body: Iterable[Row],
    wrapped: Sequence[str] = (),
) -> int:
    """Fill ``sheet`` with one table: frozen head, filters, widths. Returns its last row.

    Args:
        sheet: an empty sheet.
        head: names of the columns.
        widths: of the columns, in characters.
        body: the rows below the head.
        wrapped: the columns whose long text breaks over lines.
    """
    for column, (name, width) in enumerate(zip(head, widths, strict=True), start=1):
        cell = write_cell(sheet, 1, column, name)
        cell.font, cell.fill = _HEAD, _HEAD_FILL
        sheet.column_dimensions[get_column_letter(column)].width = width
    last = 1
    for row, values in enumerate(body, start=2):
        if row == LAST_ROW:
            write_cell(sheet, row, 1, "… more rows than a sheet can hold; see report.json")
            last = row
            break
        for column, value in enumerate(values, start=1):
            plain, unit = value if isinstance(value, tuple) else (value, "")
            write_cell(sheet, row, column, plain, unit, wrap=head[column - 1] in wrapped)
        last = row
    sheet.freeze_panes = "A2"
    sheet.print_title_rows = "1:1"
    sheet.page_setup.orientation = "landscape"
    sheet.page_setup.fitToHeight = 0
    sheet.sheet_properties.pageSetUpPr = PageSetupProperties(fitToPage=True)
    sheet.auto_filter.ref = f"A1:{get_column_letter(len(head))}{last}"
    return last


def colour_outcomes(sheet: Worksheet, cells: str, words: Mapping[str, str] | None = None) -> None:
    """Let the cells of a range take the colour of the outcome they hold, or of the word for one."""
    for outcome, shown_as in (words or {name: name for name in OUTCOMES}).items():
        background, text = OUTCOMES[shown_as]
        style = DifferentialStyle(
            fill=PatternFill("solid", bgColor=background), font=Font(color=text, bold=True)
        )
        rule = Rule(type="cellIs", operator="equal", formula=[f'"{outcome}"'], dxf=style)
        sheet.conditional_formatting.add(cells, rule)
