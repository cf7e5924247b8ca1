"""What a report says in a script and in a notebook. No model is needed for any of it."""

import html
import json
import re
from dataclasses import replace

import pandas as pd
import pytest

from auditor import Gate, Measurement, Report, VerdictError
from auditor.errors import AuditError, EnvironmentUnmetError, UsageError
from auditor.report import dumps
from tests.records import (
    detailed_record,
    example_record,
    failed_record,
    hostile_record,
    pictured_record,
    powerful_record,
)

TOP1 = Gate(address="*/identity/top1", limit=0.1)


@pytest.fixture
def report():
    return Report(example_record())


def test_a_figure_has_an_address(report):
    figure = report["none/identity/top1"]
    assert isinstance(figure, Measurement)
    assert figure == dict(report.record.measurements())["none/identity/top1"]
    assert "none/identity/top1" in report
    assert "none/identity/top7" not in report
    assert set(report.addresses) == dict(report.record.measurements()).keys()
    with pytest.raises(KeyError, match="did you mean 'none/identity/top1'"):
        report["none/identty/top1"]
    with pytest.raises(KeyError, match=r"report\.addresses"):
        report["?"]


def test_the_frame_is_tidy(report):
    frame = report.to_frame()
    assert list(frame) == [
        "scenario", "attack", "metric", "value", "low", "high", "chance", "people", "certified",
    ]  # fmt: skip
    assert len(frame) == len(report.addresses)
    for row in frame.itertuples():
        figure = report[f"{row.scenario}/{row.attack}/{row.metric}"]
        assert (row.value, row.low, row.high, row.people) == (
            figure.value, figure.low, figure.high, figure.n,
        )  # fmt: skip
        assert pd.isna(row.chance) if figure.chance is None else row.chance == figure.chance
        assert pd.isna(row.certified) == (row.attack in ("utility", "scores"))


@pytest.mark.parametrize("record", [example_record(), detailed_record(), failed_record()])
def test_certified_says_what_a_gate_goes_by(record):
    report = Report(record)
    frame = report.to_frame().dropna(subset="certified")
    rows = frame[~frame["attack"].isin(["ladder"])]
    for row in rows.itertuples():
        power = record.finding(row.scenario, row.attack).power(row.metric)
        assert row.certified == (power is not None and power.shown)
    for row in frame[frame["attack"] == "ladder"].itertuples():
        assert row.certified == record.scenario(row.scenario).ladder(row.metric).shown


def test_verdicts_are_a_sequence_with_an_outcome(report):
    verdicts = report.judge([TOP1])
    assert [verdict.gate for verdict in verdicts] == [TOP1] * len(verdicts)
    assert verdicts[0].address == "none/identity/top1"
    assert verdicts[:1] == (verdicts[0],)
    assert verdicts.outcome == "fail"
    assert repr(verdicts).endswith("verdict: FAIL")
    frame = verdicts.to_frame()
    assert list(frame["address"]) == [verdict.address for verdict in verdicts]
    with pytest.raises(VerdictError, match="FAIL none/identity/top1") as raised:
        verdicts.raise_for_outcome()
    assert (raised.value.outcome, raised.value.exit_code) == ("fail", 3)
    useful = Report(powerful_record()).judge([Gate(address="none/utility/rank1", limit=0.1)])
    assert useful.raise_for_outcome() is useful
    assert useful.outcome == "pass"


def test_what_is_inconclusive_raises_with_its_own_code():
    with pytest.raises(VerdictError, match="INCONCLUSIVE") as raised:
        Report(failed_record()).judge([]).raise_for_outcome()
    assert (raised.value.outcome, raised.value.exit_code) == ("inconclusive", 4)


def test_a_gate_that_matches_nothing_is_refused(report):
    with pytest.raises(UsageError, match="did you mean 'identity'"):
        report.judge([Gate(address="none/identty/top1", limit=0.1)])


def test_a_later_report_is_compared_figure_by_figure(report):
    bare, noisy = report.scenarios
    worse = replace(report.record, scenarios=(bare, replace(bare, defense=noisy.defense)))
    made = report.compare(Report(worse), margin=0.02, addresses=["*/identity/top1"])
    assert made.outcome == "fail"
    frame = made.to_frame().set_index("address")
    assert frame.loc[f"{noisy.defense}/identity/top1", "change"] > 0.02
    assert frame.loc["none/identity/top1", "change"] == 0
    assert re.match("<Comparison of 2 figures: 1 worse, 0 better, 1 not shown.*FAIL", repr(made))
    for margin in (-1, float("nan"), 2):
        with pytest.raises(UsageError, match="margin"):
            report.compare(report, margin=margin)


def test_a_record_is_saved_and_loaded(report, tmp_path):
    path = report.save(tmp_path / "deep" / "report.json")
    assert path.read_text() == dumps(report.record)
    for place in (path, path.parent):
        assert dumps(Report.load(place).record) == dumps(report.record)
    with pytest.raises(UsageError, match="is a folder"):
        report.save(tmp_path)
    with pytest.raises(UsageError):
        Report.load(tmp_path / "nothing.json")
    path.write_text("{}")
    with pytest.raises(UsageError, match="not an audit record"):
        Report.load(path)


def test_pages_are_rendered_where_they_are_asked_for(report, tmp_path):
    written = report.render(tmp_path / "out", formats=["md", "junit.xml"], gates=[TOP1])
    assert [path.name for path in written] == ["report.md", "report.junit.xml"]
    assert "identity/top1" in written[0].read_text()
    with pytest.raises(UsageError, match="name one"):
        report.render()
    with pytest.raises(UsageError, match="did you mean 'html'"):
        report.render(tmp_path / "out", formats=["htm"])
    with pytest.raises(UsageError, match="is a file"):
        report.render(written[0])
    with pytest.raises(EnvironmentUnmetError, match="cannot write"):
        report.render(written[0] / "below")
    with pytest.raises(EnvironmentUnmetError, match="cannot write"):
        report.save(written[0] / "report.json")
    kept = Report.load(report.save(tmp_path / "kept" / "report.json"))
    assert kept.render(formats=["md"]) == [tmp_path / "kept" / "report.md"]
    assert json.loads((tmp_path / "kept" / "manifest.json").read_text())["files"]


def test_pictures_are_found_where_the_report_lies(tmp_path):
    record = pictured_record()
    assert Report(record).pictures == {}
    pictures = Report(record, tmp_path).pictures
    assert pictures
    for address, file in pictures.items():
        scenario, attack, name = address.split("/")
        assert file == tmp_path / record.finding(scenario, attack).exhibits[name]


def test_a_renderer_that_fails_raises(report, tmp_path, monkeypatch):
    def fail(*given, **how):
        raise RuntimeError("no paper")

    monkeypatch.setattr("auditor.api.folder.plugins.render", fail)
    with pytest.raises(AuditError, match="no paper"):
        report.render(tmp_path, formats=["md"])


def test_the_repr_is_one_line(report):
    assert "\n" not in repr(report)
    assert report.record.title in repr(report)
    assert "no gates set" in repr(Report(replace(report.record, config={})))
    assert "interrupted" in repr(Report(replace(report.record, complete=False)))


HOSTILE = '"><script>alert(1)</script><img src=x onerror=alert(1)>'


@pytest.mark.parametrize("part", ["report", "verdicts", "page"])
def test_a_notebook_is_shown_text_in_a_frame_that_runs_nothing(part):
    report = Report(hostile_record(HOSTILE))
    shown = {
        "report": report,
        "verdicts": report.judge([Gate(address="*/*/*", limit=0.1)]),
        "page": report.show() if part == "page" else None,
    }[part]._repr_html_()
    tag = re.fullmatch(r'<iframe sandbox srcdoc="([^"]*)" style="[^"<>]*" title="[\w ]*"></iframe>',
                       shown)  # fmt: skip
    page = html.unescape(tag[1])
    assert "<script" not in page.replace("<style", "")
    assert "<img src=x" not in page


def test_a_notebook_is_shown_the_headline_of_every_attack(report):
    page = html.unescape(report._repr_html_())
    for scenario in report.scenarios:
        for finding in scenario.findings:
            assert f"<td>{scenario.defense}</td><td>{finding.attack}</td>" in page
    assert report.record.title in page
