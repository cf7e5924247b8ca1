"""The workbook: every cell a value, no cell a program."""

import io
import math
import re
import zipfile
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from openpyxl import Workbook, load_workbook

from auditor.errors import EnvironmentUnmetError
from auditor.gates import Gate, check
from auditor.report import Adversary, AuditReport
from reports.excel import render
from reports.excel.cells import LONGEST, write_cell
from tests.records import (
    ATTRIBUTES,
    HOSTILE,
    claim,
    detailed_record,
    example_record,
    failed_record,
    hostile_record,
    over_claimed,
    pictured_record,
    powerful_record,
    private_training,
)

GATES = (
    Gate(address="*/identity/top1", limit=0.15),
    Gate(address="none/utility/rank1", limit=0.8),
)
SHEETS = ["Summary", "Gates", "Scenarios", "Measurements", "Matches", "Rank lists", "Attributes"]
SHEETS += ["Threat models", "Power", "Co-trained", "Notes", "Curves", "Subgroups", "Exposed"]
SHEETS += ["DP", "Scores", "Weights", "Compliance", "Probe"]


def written(tmp_path: Path, report: AuditReport, *gates: Gate) -> Path:
    path = tmp_path / "report.xlsx"
    render(report, check(report, gates), path, root=tmp_path, reveal=False)
    return path


@pytest.fixture
def book(tmp_path):
    return load_workbook(written(tmp_path, example_record(), *GATES))


def table(sheet) -> list[dict[str, object]]:
    """Rows as name -> value, up to the first empty row."""
    rows = list(sheet.iter_rows(values_only=True))
    filled = rows[1 : next((n for n, row in enumerate(rows) if not any(row)), len(rows))]
    return [dict(zip(rows[0], row, strict=True)) for row in filled]


SHEET = "xl/worksheets/sheet1.xml"
any_text = st.text(st.characters(exclude_categories=[]))
pieces = st.lists(st.sampled_from(HOSTILE) | any_text, max_size=3)
hostile = pieces.map(lambda parts: "".join(part[:200] for part in parts))


class TestSheets:
    def test_there_is_one_for_every_question(self, book):
        assert book.sheetnames == [*SHEETS, "Config"]
        for sheet in book:
            assert sheet.freeze_panes == "A2"
            assert sheet.auto_filter.ref.startswith("A1:")

    def test_the_summary_says_what_came_out_and_why(self, book):
        rows = table(book["Summary"])
        assert (rows[0]["what"], rows[0]["value"]) == ("verdict", "fail")
        texts = [str(row["value"]) for row in rows]
        assert texts[1] == "1 of 3 gate verdicts failed: none/identity/top1."
        assert any("not constitute a determination" in text for text in texts)
        found = {str(row["about"]): row["value"] for row in rows if row["what"] == "key finding"}
        assert "names 90% of its entries" in str(found["Singling out: fail"])
        assert any(row["what"] == "what to do next" for row in rows)
        assert any("attack family linkage" in text for text in texts)
        about = {row["about"]: row["value"] for row in rows}
        assert about["SHA-256 of the model"] == "9f2c" * 16
        assert about["seed"] == "0"
        assert "recovers too little" in about["none/inversion"]
        assert book["Summary"].conditional_formatting

    def test_gates(self, book):
        rows = table(book["Gates"])
        assert [(row["outcome"], row["gate"]) for row in rows] == [
            ("fail", "none/identity/top1"),
            ("pass", "dp_gallery/identity/top1"),
            ("pass", "none/utility/rank1"),
        ]
        assert rows[0]["observed"] == pytest.approx(0.944)
        assert book["Gates"].conditional_formatting

    def test_how_the_attacks_were_run(self, tmp_path):
        report = example_record()
        bare, noisy = report.scenarios
        adversary = Adversary(knowledge="half the names", access="the gallery", auxiliary="none")
        told = replace(bare.findings[0], adversary=adversary)
        bare = replace(bare, findings=(told, *bare.findings[1:]), notes=("poses: a silhouette",))
        own = replace(noisy.findings[2], attack="reverser")
        noisy = replace(noisy, co_trained=(replace(own, family="inversion"),))
        book = load_workbook(written(tmp_path, replace(report, scenarios=(bare, noisy))))
        first = table(book["Threat models"])[0]
        assert (first["knowledge"], first["access"]) == ("half the names", "the gallery")
        assert first["budget"] == "epochs 40, train share 0.5"
        (first, *_, last) = table(book["Power"])
        assert (first["scenarios"], first["outcome"]) == ("all", "controls passed")
        assert (first["planted leak"], first["reference"]) == (0.97, 1.0)
        assert first["efficiency"] == pytest.approx((0.97 - 1 / 80) / (1 - 1 / 80))
        assert (last["attack"], last["outcome"]) == ("inversion", "planted leak missed")
        pairs = {row["metric"]: row for row in table(book["Co-trained"])}
        assert pairs["reid_rank1"]["trained against"] == pytest.approx(0.094)
        assert pairs["reid_rank1"]["fresh attack"] == "inversion"
        notes = [(r["scenario"], r["attack"], r["note"]) for r in table(book["Notes"])]
        assert notes[0] == ("none", None, "Poses: a silhouette.")
        assert ("none", "identity", "Closed set: 80 people, 440 entries to name.") in notes

    def test_what_can_be_drawn_is_drawn(self, tmp_path):
        book = load_workbook(written(tmp_path, pictured_record()))
        charts = {sheet.title: len(sheet._charts) for sheet in book if sheet._charts}
        assert charts == {"Scenarios": 1, "Matches": 1, "Curves": 6, "Weights": 1}
        weighted = table(book["Weights"])
        assert [(row["weight of privacy"], row["none"]) for row in weighted] == [
            (0, 0.8), (1, 0.4), (2, 0.2),
        ]  # fmt: skip
        assert weighted[1]["dp_gallery"] == pytest.approx(0.6)

    def test_scenarios_stand_side_by_side_with_a_chart(self, book):
        sheet = book["Scenarios"]
        rows = {row["figure"]: row for row in table(sheet)}
        assert rows["identity: Top-1"]["none"] == pytest.approx(0.903)
        assert rows["identity: Top-1"]["dp_gallery"] == pytest.approx(0.097)
        assert rows["identity: Top-1"]["chance"] == pytest.approx(1 / 80)
        assert list(rows)[:2] == ["Rank-1", "mAP"]
        assert sheet["C2"].number_format == "0.0%"
        assert len(sheet._charts) == 1

    def test_measurements_are_tidy_and_complete(self, book):
        rows = table(book["Measurements"])
        found = {str(row["address"]): row for row in rows}
        for address, m in example_record().measurements():
            assert found[address]["value"] == pytest.approx(m.value)
            assert (found[address]["people"], found[address]["worse if"]) == (m.n, m.worse)
        assert found["none/inversion/psnr"]["unit"] == "dB"
        assert found["none/utility/map"]["chance"] == "n/a"

    def test_matches_are_query_match_similarity(self, book):
        rows = table(book["Matches"])
        assert len(rows) == 48
        assert rows[0]["query identity"] == rows[0]["matched identity"] == "100"
        assert rows[0]["correct"] == "yes"
        assert rows[23]["correct"] == "no"
        similarities = [row["similarity"] for row in rows[:24]]
        assert similarities == sorted(similarities, reverse=True)

    def test_rank_lists_name_who_was_found(self, book):
        rows = table(book["Rank lists"])
        lists = example_record().scenarios[0].rank_lists
        assert [row["matched identity"] for row in rows] == [
            match.match_id for shown in lists for match in shown.matches
        ]
        assert [(row["query"], row["place"]) for row in rows[4:7]] == [(1, 5), (2, 1), (2, 2)]
        assert [row["correct"] for row in rows[:5]] == ["no", "no", "no", "yes", "no"]
        assert (rows[0]["rank of the true match"], rows[0]["similarity"]) == (4, 0.91)

    def test_every_attribute_has_a_row_per_scenario(self, book):
        rows = table(book["Attributes"])
        assert len(rows) == 2 * len(ATTRIBUTES)
        (gender,) = [r for r in rows if (r["scenario"], r["attribute"]) == ("none", "gender")]
        assert gender["balanced accuracy"] == pytest.approx(0.912)
        assert gender["balanced accuracy, chance"] == 0.5

    def test_claims_scores_probe_and_config(self, book):
        (promise,) = table(book["DP"])
        assert promise["ε certified"] == pytest.approx(299.96)
        assert {row["score"] for row in table(book["Scores"])} >= {"URR-1", "URR-2"}
        assert not any(row["biased because"] for row in table(book["Scores"]))
        assert [row["outcome"] for row in table(book["Probe"])] == ["pass", "pass", "warn"]
        facts = {(row["part"], row["key"]): row["value"] for row in table(book["Config"])}
        assert facts["model", "card: mean"] == "0.485, 0.456, 0.406"
        assert facts["configuration", "gates: 1: limit"] == "0.1"

    def test_an_audited_claim_has_verdict_and_experiment_in_its_row(self, tmp_path):
        report = example_record()
        bare, noisy = report.scenarios
        judged = replace(report, scenarios=(bare, replace(noisy, claims=(over_claimed(), claim()))))
        found, before = table(load_workbook(written(tmp_path, judged))["DP"])
        assert found["verdict"] == "OVER-CLAIMED"
        assert found["ε claimed"] == 0.1
        assert found["ε certified"] == pytest.approx(462.31)
        assert found["ε audited, at least"] == pytest.approx(7.9048)
        assert found["ε audited, assumes Gaussian"] == pytest.approx(211.07)
        assert "two rows of one person (median), 0.713 apart: 88.1" in found["metric ε"]
        assert "at most 99.9%" in found["reconstruction bound"]
        assert "identity" in found["attacks that name people"]
        assert not before["verdict"]
        assert before["ε audited, at least"] == "n/a"

    def test_a_private_training_has_its_figures_in_one_cell(self, tmp_path):
        report = example_record()
        bare, noisy = report.scenarios
        claims = (private_training(), claim())
        judged = replace(report, scenarios=(bare, replace(noisy, claims=claims)))
        found, other = table(load_workbook(written(tmp_path, judged))["DP"])
        assert "noise multiplier: 0.61\n" in found["training"]
        assert "ε by dp-accounting (RDP): unbounded" in found["training"]
        assert not other["training"]

    def test_curves_groups_and_people_are_tidy(self, tmp_path):
        report = detailed_record()
        book = load_workbook(written(tmp_path, report))
        points = [
            point
            for scenario in report.scenarios
            for finding in scenario.findings
            for curve in finding.curves
            for point in curve.points
        ]
        curves = table(book["Curves"])
        for column, name in enumerate(("x", "value", "low", "high")):
            assert [row[name] for row in curves] == pytest.approx([p[column] for p in points])
        assert {row["curve"] for row in curves} == {"auxiliary_people", "training", "roc"}
        groups = table(book["Subgroups"])
        assert len(groups) == 10
        assert (groups[0]["metric"], groups[0]["people"]) == ("top1@gender=female", 60)
        assert groups[0]["p after Holm"] == 0.002
        assert (groups[4]["attribute value"], groups[4]["value"]) == ("yes", "n/a")
        people = table(book["Exposed"])
        assert [row["person"] for row in people] == [
            p.pseudonym for s in report.scenarios for p in s.exposure.most
        ]
        addresses = {row["address"] for row in table(book["Measurements"])}
        assert {address for address, _ in report.measurements()} <= addresses
        figures = [row["figure"] for row in table(book["Scenarios"])]
        assert figures.index("identity, strongest rung: Top-1") < figures.index(
            "identity_lda: Top-1"
        )

    @pytest.mark.parametrize(
        "report", [failed_record(), powerful_record(), AuditReport(title="", config={})]
    )
    def test_what_is_missing_breaks_nothing(self, tmp_path, report):
        load_workbook(written(tmp_path, report, *GATES))

    def test_what_is_not_finite_is_not_a_hole(self, tmp_path):
        report = example_record()
        promise = replace(claim(), epsilon_certified=math.inf, epsilon_identity=math.nan)
        bare = replace(report.scenarios[0], claims=(promise,))
        book = load_workbook(written(tmp_path, replace(report, scenarios=(bare,))))
        (row,) = table(book["DP"])
        assert (row["ε certified"], row["ε identity"]) == ("n/a", "n/a")


def assert_plain(path: Path) -> None:
    """Well-formed parts, no formulas, no text that a cell cannot hold."""
    with zipfile.ZipFile(path) as archive:
        for name in archive.namelist():
            if name.endswith((".xml", ".rels")):
                root = ElementTree.fromstring(archive.read(name))
                if "worksheets/sheet" in name:
                    assert not [e for e in root.iter() if e.tag.endswith("}f")]
    for sheet in load_workbook(path):
        for row in sheet.iter_rows():
            for cell in row:
                assert cell.data_type in {"s", "n"}
                if isinstance(cell.value, str):
                    assert len(cell.value.encode("utf-16-le")) <= 2 * LONGEST
                    assert cell.quotePrefix


class TestSafety:
    @pytest.mark.parametrize("text", HOSTILE, ids=lambda text: repr(text[:12]))
    def test_a_strangers_text_stays_text(self, tmp_path, text):
        assert_plain(written(tmp_path, hostile_record(text), *GATES))

    @settings(max_examples=10, deadline=None)
    @given(text=hostile)
    def test_any_name_stays_text_in_every_sheet_and_chart(self, text, tmp_path_factory):
        assert_plain(written(tmp_path_factory.mktemp("book"), hostile_record(text), *GATES))

    @settings(max_examples=60, deadline=None)
    @given(any_text | st.floats(-1e300, 1e300) | st.sampled_from([math.nan, math.inf, None, True]))
    def test_any_value_stays_a_value(self, value):
        book = Workbook()
        write_cell(book.worksheets[0], 1, 1, value)
        buffer = io.BytesIO()
        book.save(buffer)
        cell = load_workbook(buffer).worksheets[0]["A1"]
        assert cell.data_type in {"s", "n"}
        if isinstance(value, float) and math.isfinite(value):
            assert cell.value == pytest.approx(value)
        elif value is None or isinstance(value, float):
            assert cell.value == "n/a"
        elif isinstance(value, bool):
            assert cell.value == ("yes" if value else "no")

    @pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@A1", "#N/A", "TRUE", "2026-01-01"])
    def test_no_text_turns_into_something_else(self, text):
        cell = write_cell(Workbook().worksheets[0], 1, 1, text)
        assert (cell.value, cell.data_type, cell.quotePrefix) == (text, "s", True)

    @pytest.mark.parametrize("text", ["osnet_x1_0", "_x0041_", "_x005F_", "_x3D_1", "__x1__x1_"])
    def test_no_text_is_read_as_the_code_of_a_character(self, text):
        book = Workbook()
        write_cell(book.worksheets[0], 1, 1, text)
        buffer = io.BytesIO()
        book.save(buffer)
        assert load_workbook(buffer).worksheets[0]["A1"].value == text
        with zipfile.ZipFile(buffer) as archive:
            runs = re.findall("<t[^>]*>([^<]*)</t>", archive.read(SHEET).decode())
        assert "".join(runs) == text
        assert not [run for run in runs if re.search("_x[0-9A-Fa-f]{1,4}_", run)]

    def test_long_text_ends_in_an_ellipsis(self):
        sheet = Workbook().worksheets[0]
        for text in ("x" * 40_000, "😀" * 20_000):
            shown = write_cell(sheet, 1, 1, text).value
            assert str(shown).endswith("…")
            assert len(str(shown).encode("utf-16-le")) <= 2 * LONGEST

    def test_the_same_record_gives_the_same_bytes(self, tmp_path):
        first = written(tmp_path, example_record()).read_bytes()
        assert written(tmp_path, example_record()).read_bytes() == first

    def test_it_is_written_whole_or_not_at_all(self, tmp_path, monkeypatch):
        path = written(tmp_path, example_record())
        before = path.read_bytes()

        def refuse(*_):
            raise OSError(28, "No space left on device")

        monkeypatch.setattr("os.fsync", refuse)
        with pytest.raises(EnvironmentUnmetError, match="No space left"):
            written(tmp_path, failed_record())
        assert path.read_bytes() == before
        assert list(tmp_path.iterdir()) == [path]
