"""The record survives the disk, and refuses what it cannot hold."""

import json
import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auditor.errors import UsageError
from auditor.report import AuditReport, Measurement, Score, dumps, load, loads
from tests.records import (
    example_record,
    failed_record,
    measured,
    over_claimed,
    powerful_record,
)

rates = st.floats(0, 1)
texts = st.text(st.characters(exclude_categories=["Cs"]))


class TestRoundTrip:
    @pytest.mark.parametrize("make", [example_record, failed_record, powerful_record])
    def test_a_record_comes_back_as_it_was(self, make):
        text = dumps(make())
        assert dumps(loads(text)) == text
        assert list(loads(text).measurements()) == list(make().measurements())

    def test_a_record_from_before_rank_lists_still_loads(self):
        plain = json.loads(dumps(example_record()))
        lists = [scenario.pop("rank_lists") for scenario in plain["scenarios"]]
        assert lists[0][0]["matches"][3]["correct"]
        assert loads(json.dumps(plain)).scenarios[0].rank_lists == ()

    @given(metric=texts, ends=st.tuples(rates, rates, rates), note=texts, count=rates)
    def test_numbers_and_texts_come_back_exactly(self, metric, ends, note, count):
        low, value, high = sorted(ends)
        m = Measurement(
            metric=metric, value=value, n=3, low=low, high=high, note=note,
            persons={note: (count, 1.0)},
        )  # fmt: skip
        score = Score(name=metric, definition="x", formula=note, measurement=m)
        report = AuditReport(title=note, config={metric: note}, scores=(score,))
        assert loads(dumps(report)) == report

    def test_it_is_strict_json(self):
        def refuse(constant: str) -> None:
            raise AssertionError(f"{constant} is not JSON")

        json.loads(dumps(example_record()), parse_constant=refuse)

    def test_addresses(self):
        addresses = [address for address, _ in example_record().measurements()]
        assert addresses[0] == "none/utility/rank1"
        assert "dp_gallery/attribute/gender.balanced_accuracy" in addresses
        assert "dp_gallery/scores/urr1" in addresses
        assert len(set(addresses)) == len(addresses)


class TestRefusals:
    @pytest.mark.parametrize("part", ["value", "low", "high", "chance"])
    @pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
    def test_a_number_that_is_none_is_refused(self, part, number):
        fields = {"value": 0.5, "low": 0.4, "high": 0.6, "chance": 0.1, part: number}
        with pytest.raises(ValueError, match=r"top1.*non-finite"):
            Measurement(metric="top1", n=3, **fields)

    @pytest.mark.parametrize("text", ["", "{}", "[]", "{", '{"title": 3, "config": {}}'])
    def test_what_is_no_record_is_refused_by_name(self, text):
        with pytest.raises(UsageError, match="some file is not an audit record"):
            loads(text, "some file")

    def test_another_schema_is_refused(self):
        text = dumps(example_record()).replace('"schema": 2', '"schema": 99')
        with pytest.raises(UsageError, match="schema 99"):
            loads(text)

    def test_a_missing_file_is_refused(self, tmp_path):
        with pytest.raises(UsageError, match="cannot read"):
            load(tmp_path / "report.json")


def test_the_careful_end_depends_on_the_direction():
    leak, use = measured("top1", 0.5, half=0.1), measured("map", 0.5, half=0.1, worse="lower")
    assert (leak.pessimistic, leak.optimistic) == pytest.approx((0.6, 0.4))
    assert (use.pessimistic, use.optimistic) == pytest.approx((0.4, 0.6))


def test_findings_are_looked_up_by_scenario_and_attack():
    report = example_record()
    found = report.finding("dp_gallery", "identity")
    assert found is report.scenarios[1].findings[0]
    assert report.finding("dp_gallery", "other") is None


def test_claims_from_before_they_were_audited_still_load():
    report = example_record()
    plain = json.loads(dumps(report))
    new = {"noise", "norm", "sticky", "audited", "distances", "reconstruction", "verdict", "reason"}
    for scenario in plain["scenarios"]:
        for promise in scenario["claims"]:
            for field in new:
                del promise[field]
    assert dumps(loads(json.dumps(plain))) == dumps(report)


def test_an_audited_claim_travels():
    report = example_record()
    scenario = replace(report.scenarios[1], claims=(over_claimed(),))
    report = replace(report, scenarios=(report.scenarios[0], scenario))
    found = loads(dumps(report))
    assert found.scenarios[1].claims == (over_claimed(),)
    assert dumps(found) == dumps(report)
