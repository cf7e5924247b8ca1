"""A record of an earlier schema opens as one of the present one."""

import json
from pathlib import Path

import pytest

from auditor.report import SCHEMA, dumps, load, loads
from auditor.report.older import upgrade

STORED = Path(__file__).parents[3] / "older" / "schema_1.json"


@pytest.fixture
def record():
    return load(STORED)


def test_the_stored_record_is_of_schema_1():
    assert json.loads(STORED.read_text())["schema"] == 1


def test_it_opens_as_one_of_the_present_schema(record):
    assert record.schema == SCHEMA
    assert loads(dumps(record)) == record
    assert record.title == "A record of schema 1"


@pytest.mark.parametrize(
    ("attack", "outcome"),
    [
        ("shown", "shown"),
        ("weak", "weak"),
        ("fooled", "self-deceived"),
        ("not_run", "not-run"),
    ],
)
def test_a_certificate_becomes_that_of_the_headline(record, attack, outcome):
    finding = record.finding("none", attack)
    (power,) = finding.powers
    assert (power.metric, power.outcome) == ("reid_rank1", outcome)
    assert (power.reference, power.required) == (1.0, 0.5)
    assert finding.headline.metric == "reid_rank1"


def test_efficiency_is_read_off_the_planted_leak(record):
    power = record.finding("none", "weak").power()
    assert power.efficiency == pytest.approx((0.31 - 0.03) / 0.97)
    assert record.finding("none", "not_run").power().efficiency is None


def test_an_attack_that_was_not_tried_has_no_certificate(record):
    assert record.finding("none", "untried").powers == ()


@pytest.mark.parametrize("plain", [None, [], {"title": "no schema"}, {"schema": SCHEMA}])
def test_nothing_else_is_touched(plain):
    assert upgrade(plain) == plain
