"""The workbook in LibreOffice: it opens as it is, and says the same numbers."""

import csv
import shutil
import subprocess
from pathlib import Path

import pytest
from openpyxl import load_workbook

from auditor.gates import Gate, check
from reports.excel import render
from tests.records import HOSTILE, hostile_record, pictured_record

SOFFICE = shutil.which("soffice")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(SOFFICE is None, reason="there is no LibreOffice"),
]


def convert(file: Path, kind: str, how: str = "") -> Path:
    profile = f"-env:UserInstallation={(file.parent / 'profile').as_uri()}"
    out = file.parent / kind
    command = [str(SOFFICE), "--headless", profile, "--convert-to", f"{kind}{how}"]
    command += ["--outdir", str(out), str(file)]
    subprocess.run(command, check=True, capture_output=True, timeout=300)
    return out / f"{file.stem}.{kind}"


def written(report, folder: Path) -> Path:
    gates = [Gate(address="*/identity/top1", limit=0.15)]
    render(report, check(report, gates), folder / "book.xlsx", root=folder, reveal=False)
    return folder / "book.xlsx"


def test_every_sheet_number_and_chart_survives(tmp_path):
    file = written(pictured_record(), tmp_path)
    ours, theirs = load_workbook(file), load_workbook(convert(file, "xlsx"))
    assert theirs.sheetnames == ours.sheetnames
    for sheet in ours:
        other = theirs[sheet.title]
        assert len(other._charts) == len(sheet._charts)
        for row in sheet.iter_rows():
            for cell in row:
                found = other[cell.coordinate].value
                if isinstance(cell.value, float):
                    assert found == pytest.approx(cell.value)
                else:
                    assert found == cell.value


@pytest.mark.parametrize("text", [HOSTILE[0], HOSTILE[4], HOSTILE[5], HOSTILE[8], HOSTILE[13]])
def test_a_strangers_text_is_neither_computed_nor_lost(text, tmp_path):
    file = written(hostile_record(text), tmp_path)
    comma_quote_utf8 = ":Text - txt - csv (StarCalc):44,34,76"
    with convert(file, "csv", comma_quote_utf8).open(encoding="utf-8", newline="") as lines:
        rows = list(csv.reader(lines))
    assert ["audited", load_workbook(file)["Summary"]["B4"].value, ""] in rows
