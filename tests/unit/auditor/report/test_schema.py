"""The published form of the record is the form it has."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from auditor.report import dumps, loads
from auditor.report.schema import record_schema
from tests.records import (
    detailed_record,
    example_record,
    failed_record,
    hostile_record,
    over_claimed,
    powerful_record,
    private_training,
)

PUBLISHED = Path(__file__).parents[4] / "docs" / "report.schema.json"


def promising(*claims):
    report = example_record()
    return replace(report, scenarios=(replace(report.scenarios[1], claims=claims),))


RECORDS = {
    "example": example_record(),
    "failed": failed_record(),
    "powerful": powerful_record(),
    "detailed": detailed_record(),
    "claims": promising(over_claimed(), private_training()),
    "hostile": hostile_record("=cmd|'/c calc'!A0"),
}


@pytest.fixture(scope="module")
def validator():
    return Draft202012Validator(json.loads(PUBLISHED.read_text(encoding="utf-8")))


def test_the_published_schema_is_what_the_code_makes():
    published = json.loads(PUBLISHED.read_text(encoding="utf-8"))
    assert published == record_schema(), "run: audit schema --out docs/report.schema.json"


def test_it_is_a_schema(validator):
    Draft202012Validator.check_schema(validator.schema)


@pytest.mark.parametrize("name", RECORDS)
def test_records_fit_it(validator, name):
    text = dumps(RECORDS[name])
    assert [error.message for error in validator.iter_errors(json.loads(text))] == []


def test_a_record_from_before_a_field_existed_fits_too(validator):
    old = json.loads(dumps(example_record()))
    del old["probe"]
    del old["scenarios"][0]["rank_lists"]
    assert validator.is_valid(old)
    assert loads(json.dumps(old)).probe == ()


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (["schema"], 1),
        (["title"], 7),
        (["scenarios", 0, "findings", 0, "status"], "fine"),
        (["scenarios", 0, "findings", 0, "measurements", 0, "value"], None),
        (["scenarios", 0, "utility", 0, "persons"], {"1": [1.0]}),
    ],
    ids=lambda case: str(case)[:40],
)
def test_what_is_no_record_does_not(validator, path, value):
    plain = json.loads(dumps(example_record()))
    place = plain
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    assert not validator.is_valid(plain)


def test_readers_are_told_what_the_fields_mean():
    schema = record_schema()
    measurement = schema["$defs"]["Measurement"]
    assert measurement["description"] == "One number with everything needed to judge it."
    assert "which are identities, never images" in measurement["properties"]["n"]["description"]
    for name in ("Measurement", "Finding", "Scenario", "PrivacyClaim", "Power", "Ladder"):
        fields = schema["$defs"][name]["properties"]
        assert [key for key, field in fields.items() if "description" not in field] == []


def test_the_command_prints_it(tmp_path, capsys):
    from auditor.cli.main import main

    for arguments in ([], ["--out", str(tmp_path / "schema.json")]):
        with pytest.raises(SystemExit) as stop:
            main(["schema", *arguments])
        assert not stop.value.code
        printed = capsys.readouterr().out
        text = (tmp_path / "schema.json").read_text() if arguments else printed
        assert json.loads(text) == record_schema()
