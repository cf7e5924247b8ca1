"""The record as a workbook, for who wants to sort, filter and calculate on.

Sheet after sheet of plain tables, every value through `reports.excel.cells.write_cell`. The same
record gives the same bytes.
"""

import io
import re
import zipfile
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from openpyxl import Workbook

from auditor.artifacts.atomic import write
from auditor.artifacts.personal import reveal_people
from auditor.gates import Verdict
from auditor.report import AuditReport
from reports.excel import sheets, summary_sheets

EPOCH = datetime(2000, 1, 1)


def render(
    report: AuditReport, verdicts: Sequence[Verdict], path: Path, *, root: Path, reveal: bool
) -> None:
    """Write a workbook with tidy sheets, the query → match → similarity sheet among them.

    Args:
        report: the record.
        verdicts: of the gates, from `auditor.gates.check`.
        path: the file to write, whole or not at all.
        root: the record's folder; a workbook contains no pictures.
        reveal: whether real people may be named.

    Raises:
        UsageError: if they are to be named and the table that names them is not there.
    """
    report = reveal_people(report, root) if reveal else report
    book = Workbook()
    book.remove(book.worksheets[0])
    summary_sheets.summary(book.create_sheet("Summary"), report, verdicts)
    summary_sheets.gates(book.create_sheet("Gates"), verdicts)
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


def _created(environment: Mapping[str, Any]) -> datetime:
    """When the audit ran, as the record says; the epoch if it does not say."""
    try:
        stamp = datetime.fromisoformat(str(environment.get("created")))
    except ValueError:
        return EPOCH
    return stamp.replace(tzinfo=None) if stamp.year >= EPOCH.year else EPOCH


def _repeatable(book: bytes, created: datetime) -> bytes:
    """Return the same workbook without the time of writing, which openpyxl puts into every part."""
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
