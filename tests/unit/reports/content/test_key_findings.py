"""The key findings: figures in plain sentences, worded no stronger than the record supports."""

from dataclasses import replace

import pytest

from auditor.gates import Gate, check
from auditor.report import AuditReport, Finding
from reports.content.key_findings import USEFULNESS, KeyFinding, key_findings, next_steps
from tests.records import (
    certificate,
    detailed_record,
    example_record,
    failed_record,
    identity,
    measured,
    over_claimed,
    powerful_record,
)


def found(report: AuditReport, *gates: Gate) -> dict[str, KeyFinding]:
    return {finding.name: finding for finding in key_findings(report, check(report, gates))}


def text(finding: KeyFinding) -> str:
    return " ".join(statement.text for statement in finding.statements)


def steps(report: AuditReport, *gates: Gate) -> str:
    return " ".join(next_steps(report, check(report, gates)))


def with_findings(*columns: Finding) -> AuditReport:
    """The example with one attack, a finding per scenario."""
    report = example_record()
    pairs = zip(report.scenarios, columns, strict=True)
    return replace(report, scenarios=tuple(replace(s, findings=(f,)) for s, f in pairs))


class TestSentences:
    def test_figures_chance_and_what_a_defense_leaves(self):
        singled = found(powerful_record())["Singling out"]
        assert text(singled) == (
            "Whoever steals this gallery names 90% of its entries (chance 1.2%); noise at ε = 300 "
            "leaves 9.7%."
        )
        assert singled.statements[0].before.attack == "identity"

    def test_a_figure_that_is_not_told_from_chance_says_so(self):
        clear, lucky = identity(0.9, 0.97), identity(0.05, 0.1)
        assert "reaches chance" not in text(found(with_findings(clear, lucky))["Singling out"])
        said = text(found(with_findings(lucky, lucky))["Singling out"])
        assert "names 5.0% of its entries (chance 1.2%); the 95% interval reaches chance" in said

    def test_a_difference_that_chance_explains_shows_no_reduction(self):
        close = with_findings(identity(0.90, 0.97), identity(0.87, 0.95))
        assert "so this shows no reduction" in text(found(close)["Singling out"])

    def test_intervals_may_overlap_where_the_difference_is_beyond_chance(self):
        clear = with_findings(identity(0.90, 0.97), identity(0.83, 0.95))
        before, after = (s.findings[0].measurements[0] for s in clear.scenarios)
        assert before.low < after.high
        said = text(found(clear)["Singling out"])
        assert "leaves 83%" in said
        assert "no reduction" not in said

    def test_a_low_figure_without_a_certificate_is_never_worded_as_protection(self):
        weak = replace(identity(0.05, 0.1), powers=(certificate("top1", 1 / 80, shown=False),))
        said = text(found(with_findings(identity(0.9, 0.97), weak))["Singling out"])
        assert "no evidence of protection" in said
        assert "leaves" not in said

    def test_what_was_not_tried_on_the_controls_is_not_certified_either(self):
        untried = replace(identity(0.05, 0.1), powers=())
        said = text(found(with_findings(untried, untried))["Singling out"])
        assert "may miss a larger leak" in said
        assert "no evidence of protection" in said

    def test_a_figure_of_an_attack_that_fools_itself_is_not_told(self):
        power = certificate("top1", 1 / 80, outcome="self-deceived")
        fooled = replace(identity(0.9, 0.97), powers=(power,))
        said = text(found(with_findings(fooled, fooled))["Singling out"])
        assert "no figure counts" in said
        assert "90%" not in said

    def test_an_uncertified_attack_that_finds_clearly_more_is_named(self):
        report = detailed_record()
        more = replace(
            identity(0.95, 0.99), attack="bold", family="identity",
            powers=(certificate("top1", 0.01, shown=False),),
        )  # fmt: skip
        bare = report.scenarios[0]
        bare = replace(bare, findings=(*bare.findings, more))
        report = replace(report, scenarios=(bare, *report.scenarios[1:]))
        singled = found(report)["Singling out"]
        assert singled.statements[0].before.attack == "identity"
        assert "The attack bold finds even 95%, although it did not pass" in text(singled)

    def test_of_several_defenses_the_certified_one_that_leaves_least_is_told(self):
        report = powerful_record()
        bare, noisy = report.scenarios
        findings = (identity(0.5, 0.6), *noisy.findings[1:])
        other = replace(noisy, defense="second", plugin="pis", findings=findings)
        said = text(found(replace(report, scenarios=(bare, other, noisy)))["Singling out"])
        assert "of 2 defenses, noise at ε = 300 leaves 9.7%" in said

    def test_usefulness_is_told_for_the_same_defense(self):
        useful = found(powerful_record())[USEFULNESS]
        assert text(useful) == (
            "The right person comes first for 92% of queries (chance 1.4%); under noise at ε = 300 "
            "for 68%."
        )
        bare, noisy = powerful_record().scenarios
        biased = replace(noisy, utility_bias="the key knows whom a query shows")
        report = replace(powerful_record(), scenarios=(bare, biased))
        assert "which is overestimated" in text(found(report)[USEFULNESS])

    def test_a_record_without_figures_has_nothing_to_tell(self):
        empty = replace(example_record(), scenarios=())
        assert [f.standing for f in key_findings(empty, [])] == ["not tested"] * 3
        assert all(
            f.standing in ("not tested", "no limit") for f in found(failed_record()).values()
        )


class TestStanding:
    @pytest.mark.parametrize(
        ("limit", "standing"), [(0.5, "fail"), (0.92, "inconclusive"), (0.99, "pass")]
    )
    def test_a_risk_stands_as_its_gates_do(self, limit, standing):
        gate = Gate(address="none/identity/top1", limit=limit)
        singled = found(powerful_record(), gate)["Singling out"]
        assert singled.standing == standing
        assert singled.judged == ("none/identity/top1",)

    def test_a_risk_passes_only_if_every_family_that_found_something_is_judged(self):
        gate = Gate(address="none/attribute/mean_balanced_accuracy", limit=0.99)
        assert found(powerful_record(), gate)["Inference"].standing == "partly judged"
        both = (gate, Gate(address="none/inversion/reid_rank1", limit=0.99))
        assert found(powerful_record(), *both)["Inference"].standing == "pass"

    def test_gates_on_ladders_count_for_their_family(self):
        gate = Gate(address="none/ladder/identity.top1", limit=0.1)
        assert found(detailed_record(), gate)["Singling out"].standing == "fail"

    def test_a_warning_judges_nothing(self):
        gate = Gate(address="none/identity/top1", limit=0.1, level="warn")
        assert found(powerful_record(), gate)["Singling out"].standing == "no limit"


class TestNextSteps:
    def test_failed_wide_weak_and_missing_gates_ask_for_different_things(self):
        gates = (
            Gate(address="none/identity/top1", limit=0.1),
            Gate(address="none/attribute/mean_balanced_accuracy", limit=0.77),
            Gate(address="none/inversion/reid_rank1", limit=0.9),
            Gate(address="none/linkage/linkage_rank1", limit=0.9),
        )
        said = steps(example_record(), *gates)
        assert "none/identity/top1 failed" in said
        assert "more people: the interval of none/attribute/mean_balanced_accuracy" in said
        assert "the attack behind none/inversion/reid_rank1" in said
        assert "no figure for none/linkage/linkage_rank1" in said

    def test_what_is_missing_is_asked_for(self):
        said = steps(failed_record())
        assert "the same audit run continues" in said
        assert "Set limits" in said
        assert "did not test: linkability" in said
        bare = replace(example_record(), scenarios=example_record().scenarios[:1])
        assert "Audit a defense" in steps(bare)

    def test_a_wrong_claim_is_to_be_corrected(self):
        bare, noisy = example_record().scenarios
        wrong = replace(noisy, claims=(over_claimed(),))
        said = steps(replace(example_record(), scenarios=(bare, wrong)))
        assert f"claim of dp_gallery: it is {over_claimed().verdict}" in said

    def test_there_is_always_a_next_step(self):
        linked = Finding(
            attack="linkage", plugin="linkage", summary="", status="done",
            measurements=(measured("linkage_rank1", 0.02, 0.01),),
        )  # fmt: skip
        report = replace(powerful_record(), real_people=True)
        scenarios = [replace(s, findings=(*s.findings, linked)) for s in report.scenarios]
        report = replace(report, scenarios=tuple(scenarios))
        assert steps(report, Gate(address="none/identity/top1", limit=0.99)) == (
            "Repeat the audit when the model, the data or the release changes."
        )
