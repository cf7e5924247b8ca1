"""Nobody is named in a record, one table names everybody, and it fits no other record."""

import json
from dataclasses import replace

import pytest

from auditor.artifacts import personal
from auditor.errors import UsageError
from auditor.report import Exposed, dumps, loads
from tests.records import detailed_record, example_record
from tests.safety import assert_names_nobody

NAMES = personal.pseudonyms(["100", "101", "400"], [2, 0, 1])


def test_people_are_numbered_in_the_drawn_order():
    assert NAMES == {"400": "P0001", "100": "P0002", "101": "P0003"}
    many = personal.pseudonyms([str(n) for n in range(12_000)], range(12_000))
    assert len(set(many.values())) == 12_000


def test_every_identity_in_a_record_is_renamed():
    rename = personal.under(NAMES)
    record = personal.rename_people(detailed_record(), rename)
    bare = record.scenarios[0]
    real = {m.query_id for s in detailed_record().scenarios for m in s.matches}
    assert real & {"100", "101"}
    for scenario in record.scenarios:
        for match in scenario.matches:
            assert {match.query_id[0], match.match_id[0]} <= {"P", "U"}
        for shown in scenario.rank_lists:
            assert shown.query_id[0] in "PU"
            assert all(match.match_id[0] in "PU" for match in shown.matches)
        for finding in scenario.findings:
            for measured in finding.measurements:
                assert all(name[0] in "PU" for name in measured.persons)
        assert all(person.pseudonym[0] in "PU" for person in scenario.exposure.most)
    assert "P0002" in {match.query_id for match in bare.matches}
    # nothing else has changed
    back = {new: old for old, new in NAMES.items()}
    assert sum(m.correct for m in bare.matches) == 22
    figures = [(a, m.value, m.low, m.high, m.n) for a, m in detailed_record().measurements()]
    assert [(a, m.value, m.low, m.high, m.n) for a, m in record.measurements()] == figures
    assert back["P0002"] == "100"


def test_a_distractor_stays_nobody_and_strangers_get_one_number_each():
    rename = personal.under(NAMES)
    assert [rename(name) for name in ("0", "x", "y", "x", "100")] == [
        "0",
        "U0001",
        "U0002",
        "U0001",
        "P0002",
    ]


def test_the_order_of_people_tells_nothing():
    forward = personal.rename_people(example_record(), personal.under(NAMES))
    matches = forward.scenarios[0].matches
    assert [m.query_id for m in matches] == sorted(m.query_id for m in matches)
    persons = (
        personal.rename_people(detailed_record(), personal.under(NAMES)).scenarios[0].findings[0]
    )
    assert list(persons.measurements[0].persons) == sorted(persons.measurements[0].persons)


def test_the_table_names_everybody_again(tmp_path):
    key = personal.save_names(tmp_path, NAMES)
    assert (tmp_path / personal.NAMES).stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "personal").stat().st_mode & 0o777 == 0o700
    named = personal.rename_people(example_record(), personal.under(NAMES))
    named = replace(named, pseudonyms=key)
    again = personal.reveal_people(loads(dumps(named)), tmp_path)
    known = {m.query_id for m in again.scenarios[0].matches}
    assert {"100", "101"} <= known
    assert "P0002" not in known


def test_a_record_without_pseudonyms_needs_no_table(tmp_path):
    assert personal.reveal_people(example_record(), tmp_path) == example_record()


def test_a_missing_or_foreign_table_names_nobody(tmp_path):
    record = replace(example_record(), pseudonyms="ab" * 8)
    with pytest.raises(UsageError, match="leave out --reveal"):
        personal.reveal_people(record, tmp_path)
    personal.save_names(tmp_path, NAMES)
    with pytest.raises(UsageError, match="belongs to another record"):
        personal.reveal_people(record, tmp_path)


def test_files_named_after_people_leave_the_record(tmp_path):
    facts = {
        "broken": {"count": 1, "share": 0.1, "files": {"0012_c1.jpg": "truncated"}},
        "near_duplicates": {"count": 1, "pairs": [{"path": "0012_c1.jpg", "of": "0013_c1.jpg"}]},
        "cameras": ["1"],
    }
    kept = personal.save_facts(tmp_path, facts)
    assert kept == {
        "broken": {"count": 1, "share": 0.1},
        "near_duplicates": {"count": 1},
        "cameras": ["1"],
    }
    assert facts["broken"]["files"]
    apart = json.loads((tmp_path / personal.FACTS).read_text())
    assert apart["broken"]["files"] == {"0012_c1.jpg": "truncated"}
    assert (tmp_path / personal.FACTS).stat().st_mode & 0o777 == 0o600


def test_facts_without_files_leave_nothing_behind(tmp_path):
    assert personal.save_facts(tmp_path, {"broken": {"count": 0, "files": {}}}) == {
        "broken": {"count": 0, "files": {}}
    }
    assert list(tmp_path.iterdir()) == []


def test_everything_personal_is_its_owners_alone(tmp_path):
    deep = tmp_path / "personal" / "none" / "utility"
    deep.mkdir(parents=True)
    (deep / "a.png").write_bytes(b"x")
    (deep / "a.png").chmod(0o644)
    (deep / "out").symlink_to(tmp_path)
    tmp_path.chmod(0o755)
    personal.lock(tmp_path)
    assert deep.stat().st_mode & 0o777 == 0o700
    assert (deep / "a.png").stat().st_mode & 0o777 == 0o600
    assert tmp_path.stat().st_mode & 0o777 == 0o755


@pytest.mark.parametrize(
    "text", ["<td>P0002</td> 100", "<img src='data:image/png;base64,x'>", "![a](b.png)", "ada"]
)
def test_the_check_on_texts_sees_names_and_pictures(text):
    with pytest.raises(AssertionError):
        assert_names_nobody(text, identities=["ada"], pseudonyms=NAMES.values())
    assert_names_nobody("top1 is 0.4 for 100 people", identities=["ada"], pseudonyms=["P0002"])


def test_a_listed_person_is_renamed_too():
    person = Exposed(pseudonym="100", leakage=1.0, attack="a", images=1, average=1.0)
    assert personal.rename_people((person,), personal.under(NAMES))[0].pseudonym == "P0002"
