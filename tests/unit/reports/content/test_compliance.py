"""The annexes say what was in scope and what ran as two things, and never that a duty is met."""

import re
from dataclasses import replace

import pytest

from auditor.gates import Gate, check
from auditor.plugins import installed, load
from auditor.report import AuditReport
from reports.content.caveats import DISCLAIMER
from reports.content.compliance import CONTROLLER, NOT_MEASURED, annexes
from reports.content.coverage import CLASSES, coverage
from reports.html import page
from tests.records import (
    HOSTILE,
    claim,
    detailed_record,
    example_record,
    failed_record,
    hostile_record,
    measured,
    over_claimed,
)

EMPTY = AuditReport(title="nothing", config={})


def row(report, name):
    return next(row for row in coverage(report) if row.attack_class == name)


def texts(report, title, heading):
    annex = next(annex for annex in annexes(report) if title in annex.title)
    return next(entry.texts for entry in annex.entries if heading in entry.heading)


class TestCoverage:
    def test_the_classes_of_the_opinion_are_there_in_order(self):
        assert [(row.attack_class, row.place) for row in coverage(EMPTY)] == [
            ("attribute inference", "55 (i)"),
            ("membership inference", "55 (i)"),
            ("exfiltration", "55 (ii)"),
            ("regurgitation of training data", "55 (iii)"),
            ("model inversion", "55 (iv)"),
            ("reconstruction", "55 (v)"),
        ]

    def test_every_built_in_attack_stands_for_a_class(self):
        named = {family for each in CLASSES for family in each.families}
        own = [name for name, entry in installed("attacks").items() if "attacks." in entry.value]
        families = {getattr(load("attacks", name), "family", name) for name in own}
        assert families - named == set()
        assert named - families == set()

    def test_in_scope_and_executed_are_two_things(self):
        report = example_record()
        assert (row(report, "exfiltration").in_scope, row(report, "exfiltration").executed) == (
            True,
            "executed",
        )
        untried = row(report, "membership inference")
        assert (untried.in_scope, untried.executed, untried.results) == (True, "not run", ())
        assert "no evidence of safety" in untried.limits[0]
        outside = row(report, "regurgitation of training data")
        assert (outside.in_scope, outside.executed, outside.limits) == (False, "not run", ())
        assert "generates no pictures" in outside.reading

    def test_what_crashed_or_does_not_apply_is_not_executed(self):
        report = failed_record()
        crashed = row(report, "exfiltration")
        assert crashed.executed == "failed"
        assert crashed.methods == "identity (failed: RuntimeError: the classifier diverged)"
        skipped = row(report, "attribute inference")
        assert skipped.executed == "not run"
        assert "no attribute is annotated" in skipped.methods

    def test_a_record_without_scenarios_recorded_nothing(self):
        assert {row.executed for row in coverage(EMPTY)} == {"not recorded"}

    def test_results_come_with_interval_chance_and_people(self):
        bare, noisy = row(example_record(), "exfiltration").results
        assert bare == "Scenario none: identity: Top-1 90.3% (86.2–94.4%, chance 1.2%, 80 people)."
        assert noisy.startswith("Scenario dp_gallery: identity: Top-1 9.7%")

    def test_the_strongest_rung_speaks_for_its_family(self):
        bare = row(detailed_record(), "exfiltration").results[0]
        assert bare.count("Top-1") == 1
        assert "identity: Top-1" in bare

    def test_an_attack_without_power_is_a_limit(self):
        limits = row(example_record(), "model inversion").limits
        assert limits == ("Did not pass the controls: inversion.",)


class TestForms:
    def test_what_only_a_controller_knows_is_left_to_them(self):
        assert texts(example_record(), "35(7)", "(b)") == (CONTROLLER,)

    def test_risks_and_measures_are_pre_filled(self):
        risks = texts(detailed_record(), "35(7)", "(c)")
        assert any("fully exposed" in text for text in risks)
        measures = texts(detailed_record(), "35(7)", "(d)")
        assert any("Adds calibrated Gaussian noise" in text for text in measures)
        assert texts(failed_record(), "35(7)", "(d)")[0].startswith("Scenario dp_gallery failed")
        lone = replace(example_record(), scenarios=example_record().scenarios[:1])
        assert texts(lone, "35(7)", "(d)") == ("No defense was audited.",)

    def test_unlinkability_is_d_sys_where_it_was_measured_and_missing_where_not(self):
        report = example_record()
        assert texts(report, "24745", "unlinkability") == (NOT_MEASURED,)
        linkage = replace(
            report.scenarios[0].findings[0],
            attack="linkage",
            measurements=(measured("d_sys", 0.21, 0.0),),
        )
        bare = replace(report.scenarios[0], findings=(linkage,))
        (found,) = texts(replace(report, scenarios=(bare,)), "24745", "unlinkability")
        assert "D_sys 21.0%" in found
        assert texts(replace(report, scenarios=(bare,)), "24745", "irrevers") == (NOT_MEASURED,)

    def test_every_claim_has_a_card(self):
        noisy = replace(example_record().scenarios[1], claims=(claim(), over_claimed()))
        cards = [
            annex
            for annex in annexes(replace(example_record(), scenarios=(noisy,)))
            if "800-226" in annex.title
        ]
        assert len(cards) == 2
        text = " ".join(text for entry in cards[1].entries for text in entry.texts)
        for wanted in ("ε claimed: 0.1", "ε audited, at least: 7.9", "OVER-CLAIMED", "δ: 1e-05"):
            assert wanted in text
        assert "Composition: 1 release." in text
        bare = replace(example_record(), scenarios=example_record().scenarios[:1])
        assert not [annex for annex in annexes(bare) if "800-226" in annex.title]

    def test_versions_and_hashes_are_named(self):
        versions = texts(example_record(), "Annex IV", "1.")
        assert "9f2c" * 16 in versions[0]

    def test_an_empty_record_fills_every_form(self):
        for annex in annexes(EMPTY):
            assert all(entry.texts for entry in annex.entries)

    @pytest.mark.parametrize("record", [EMPTY, example_record(), detailed_record()])
    def test_nothing_claims_compliance(self, record):
        said = " ".join(
            text for annex in annexes(record) for entry in annex.entries for text in entry.texts
        )
        assert not re.search(r"complian|complies|anonym|lawful|fulfil|meets the", said, re.I)


class TestPage:
    def test_the_disclaimer_and_the_annexes_are_on_it(self, tmp_path):
        shown = page(example_record(), [], root=tmp_path, reveal=False)
        section = shown.partition('<section id="annexes"')[2].partition("</section>")[0]
        assert DISCLAIMER in section
        assert '<a href="#annexes">' in shown
        for annex in annexes(example_record()):
            assert annex.title in section

    def test_each_limit_says_why_or_that_nobody_said(self, tmp_path):
        report = example_record()
        gates = [
            Gate(address="none/identity/top1", limit=0.1, cites="section 4 of our assessment"),
            Gate(address="*/utility/map", limit=0.5),
        ]
        shown = page(report, check(report, gates), root=tmp_path, reveal=False)
        assert "Reason for this limit: Section 4 of our assessment." in shown
        assert shown.count("No reason was given for this limit.") == 2

    @pytest.mark.parametrize("text", HOSTILE)
    def test_no_name_gets_out_of_its_cell(self, tmp_path, text):
        shown = page(hostile_record(text), [], root=tmp_path, reveal=False)
        section = shown.partition('<section id="annexes"')[2].partition("</section>")[0]
        assert "<script" not in section
        assert "<img" not in section
        assert "\x00" not in section
