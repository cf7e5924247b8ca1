"""The record as a workbook, for who wants to sort, filter and calculate on.

Sheet after sheet of plain tables, every value through `reports.cells.write_cell`. The same record
gives the same bytes.
"""

import io
import re
import zipfile
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from openpyxl import Workbook
from openpyxl.styles import Font
from openpyxl.worksheet.worksheet import Worksheet

from auditor.files import write
from auditor.gates import Verdict
from auditor.personal import revealed
from auditor.report import AuditReport
from reports import sheets, tables
from reports.caveats import caveats
from reports.cells import FACE, Row, colour_outcomes, write_cell, write_table

EPOCH = datetime(2000, 1, 1)


def render(
    report: AuditReport, verdicts: Sequence[Verdict], path: Path, *, root: Path, reveal: bool
) -> None:
    """A workbook with tidy sheets, the query → match → similarity sheet among them.

    Args:
        report: the record.
        verdicts: of the gates, from `auditor.gates.check`.
        path: the file to write, whole or not at all.
        root: the record's folder; a workbook holds no pictures.
        reveal: whether real people may be named.

    Raises:
        UsageError: if they are to be named and the table that names them is not there.
    """
    report = revealed(report, root) if reveal else report
    book = Workbook()
    book.remove(book.worksheets[0])
    _verdict(book.create_sheet("Verdict"), report, verdicts)
    for name, fill in sheets.SHEETS.items():
        fill(book.create_sheet(name), report)
    save(book, path, report.environment)


def save(book: Workbook, path: Path, environment: Mapping[str, Any]) -> None:
    """Write a workbook, whole or not at all; the same one gives the same bytes.

    Args:
        book: filled.
        path: the file to write.
        environment: of the record, for when it was made.
    """
    created = _created(environment)
    book.properties.creator = "privacy audit"
    book.properties.created = created
    buffer = io.BytesIO()
    book.save(buffer)
    write(path, _repeatable(buffer.getvalue(), created))


def _verdict(sheet: Worksheet, report: AuditReport, verdicts: Sequence[Verdict]) -> None:
    """The gates as a table; below it the ruling, what was not shown, and the limitations."""
    head = ["Outcome", "Gate", "Limit", "Observed", "Level", "Judged by", "Reason", "Cites"]
    body: list[Row] = [
        (
            v.standing,
            v.address,
            v.gate.limit,
            v.observed,
            v.gate.level,
            v.gate.judge,
            v.reason,
            v.gate.cites,
        )
        for v in verdicts
    ]
    widths = [16, 44, 10, 14, 9, 13, 80, 60]
    last = write_table(sheet, head, widths, body, wrapped=["Reason", "Cites"])
    colour_outcomes(sheet, f"A2:A{max(last, 2)}")
    ruling = tables.verdict_of(report, verdicts)
    row = last + 2
    write_cell(sheet, row, 1, ruling.outcome).font = Font(name=FACE, bold=True, size=14)
    write_cell(sheet, row, 2, ruling.sentence)
    colour_outcomes(sheet, f"A{row}")
    for place, reason in ruling.doubts:
        row += 1
        write_cell(sheet, row, 1, "not shown")
        write_cell(sheet, row, 2, place)
        write_cell(sheet, row, 3, reason)
    row += 1
    for text in caveats(report):
        row += 1
        write_cell(sheet, row, 1, "limitation")
        write_cell(sheet, row, 2, text)


def _created(environment: Mapping[str, Any]) -> datetime:
    """When the audit ran, as the record says; the epoch if it does not say."""
    try:
        stamp = datetime.fromisoformat(str(environment.get("created")))
    except ValueError:
        return EPOCH
    return stamp.replace(tzinfo=None) if stamp.year >= EPOCH.year else EPOCH


def _repeatable(book: bytes, created: datetime) -> bytes:
    """The same workbook without the time of writing, which openpyxl puts into every part."""
    stamp = f"{created.replace(microsecond=0).isoformat()}Z".encode()
    buffer = io.BytesIO()
    with (
        zipfile.ZipFile(io.BytesIO(book)) as source,
        zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as target,
    ):
        for name in source.namelist():
            content = source.read(name)
            if name == "docProps/core.xml":
                content = re.sub(rb"(<dcterms:modified[^>]*>)[^<]*", rb"\g<1>" + stamp, content)
            info = zipfile.ZipInfo(name, created.timetuple()[:6])
            info.compress_type = zipfile.ZIP_DEFLATED
            target.writestr(info, content)
    return buffer.getvalue()
