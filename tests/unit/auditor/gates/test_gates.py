"""Verdicts: three outcomes, and what was not shown never passes."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auditor.gates import Gate, check, decimals, exit_code, limit_text, overall, unmatched
from auditor.gates.evidence import unshown
from auditor.report import AuditReport, Measurement
from tests.records import (
    certificate,
    example_record,
    failed_record,
    identity,
    measured,
    powerful_record,
)

SEVERITY = {"pass": 0, "inconclusive": 1, "fail": 2}
finite = st.floats(-1e6, 1e6)


def judge(report: AuditReport, address: str, limit: float, **how: str) -> tuple[str, str]:
    """Outcome and reason of the one verdict a gate gives."""
    (verdict,) = check(report, [Gate(address=address, limit=limit, **how)])  # type: ignore
    return verdict.outcome, verdict.reason


def holding(measurement: Measurement) -> AuditReport:
    """A record whose certified attack ``identity`` found ``measurement`` and nothing else."""
    report = example_record()
    finding = replace(identity(0.5, 0.6), measurements=(measurement,))
    return replace(report, scenarios=(replace(report.scenarios[0], findings=(finding,)),))


@pytest.mark.parametrize("how", ["pessimistic", "value"])
@pytest.mark.parametrize("limit", [0.0, 0.9])
def test_a_score_over_all_scenarios_has_no_interval_and_decides_nothing(limit, how):
    outcome, reason = judge(example_record(), "*/scores/urr2", limit, judge=how)
    assert outcome == "inconclusive"
    assert reason.startswith("urr2 sums up all scenarios and has no interval")


class TestOneGate:
    @pytest.mark.parametrize(
        ("limit", "outcome"),
        [(0.945, "pass"), (0.944, "pass"), (0.943, "inconclusive"), (0.862, "inconclusive"),
         (0.861, "fail")],
    )  # fmt: skip
    def test_leakage_is_judged_over_its_whole_interval(self, limit, outcome):
        m = Measurement(metric="top1", value=0.903, n=80, low=0.862, high=0.944, chance=0.0125)
        assert judge(holding(m), "none/identity/top1", limit)[0] == outcome

    @pytest.mark.parametrize(
        ("limit", "outcome"), [(0.85, "pass"), (0.93, "inconclusive"), (0.97, "fail")]
    )
    def test_utility_is_worse_when_lower(self, limit, outcome):
        assert judge(example_record(), "none/utility/rank1", limit)[0] == outcome

    def test_the_value_alone_is_judged_only_on_request_and_said_so(self):
        record = powerful_record()
        outcome, reason = judge(record, "none/identity/top1", 0.91, judge="value")
        assert outcome == "pass"
        assert "without its interval" in reason
        assert judge(record, "none/identity/top1", 0.90, judge="value")[0] == "fail"
        assert judge(record, "none/identity/top1", 0.91)[0] == "inconclusive"

    def test_an_attack_without_power_may_fail_and_never_passes(self):
        assert judge(example_record(), "none/inversion/reid_rank1", 0.1)[0] == "fail"
        outcome, reason = judge(example_record(), "none/inversion/reid_rank1", 1.0)
        assert outcome == "inconclusive"
        assert "did not pass its controls" in reason

    def test_an_attack_without_controls_proves_nothing(self):
        report = powerful_record()
        bare = report.scenarios[0]
        untried = replace(bare, findings=(replace(bare.findings[0], powers=()),))
        report = replace(report, scenarios=(untried,))
        assert judge(report, "none/identity/top1", 1.0)[0] == "inconclusive"
        assert judge(report, "none/identity/top1", 0.1)[0] == "fail"

    def test_a_score_inherits_the_doubts_about_its_attacks(self):
        assert judge(powerful_record(), "dp_gallery/scores/urr1", 2.0)[0] == "pass"
        outcome, reason = judge(example_record(), "dp_gallery/scores/urr1", 2.0)
        assert outcome == "inconclusive"
        assert "none/inversion" in reason

    @pytest.mark.parametrize(
        ("address", "least", "most"),
        [
            ("scores/urr1", -5.0, 50.0),
            ("scores/pu_identity", -5.0, 50.0),
            ("utility/map", 0.0, 1.0),
        ],
    )
    def test_utility_that_reads_too_good_does_not_pass(self, address, least, most):
        report = powerful_record()
        bare, noisy = report.scenarios
        noisy = replace(noisy, utility_bias="the key knows whom a query shows")
        biased = replace(report, scenarios=(bare, noisy))
        assert judge(report, f"dp_gallery/{address}", least)[0] == "pass"
        outcome = judge(biased, f"dp_gallery/{address}", least)
        assert outcome == ("inconclusive", "the key knows whom a query shows")
        assert judge(biased, f"dp_gallery/{address}", most)[0] == "fail"
        assert judge(biased, "none/utility/map", 0.5) == judge(report, "none/utility/map", 0.5)
        assert judge(biased, "dp_gallery/identity/top1", 1.0)[0] == "pass"


def several(*measurements: Measurement) -> AuditReport:
    """A record whose certified attack ``identity`` found each of ``measurements`` under a name."""
    named = tuple(replace(m, metric=f"m{n:03d}") for n, m in enumerate(measurements))
    report = holding(measurements[0])
    powers = tuple(certificate(m.metric, 0.01) for m in named)
    finding = replace(report.scenarios[0].findings[0], measurements=named, powers=powers)
    return replace(report, scenarios=(replace(report.scenarios[0], findings=(finding,)),))


def outcomes(report: AuditReport, limit: float, **how: str) -> list[str]:
    """What one gate over everything ``identity`` found says, in order."""
    gate = Gate(address="none/identity/m*", limit=limit, **how)  # type: ignore
    return [verdict.outcome for verdict in check(report, [gate])]


class TestHolm:
    SURE = measured("m", 0.5, half=0.01)
    BARELY = measured("m", 0.115, half=0.014)
    WITHIN = measured("m", 0.085, half=0.014)

    def test_what_would_fail_alone_may_not_among_many(self):
        assert outcomes(several(self.BARELY), 0.1) == ["fail"]
        assert outcomes(several(self.BARELY, self.BARELY), 0.1) == ["inconclusive"] * 2
        # Holm steps down: once the sure one has failed, the other one is judged alone
        assert outcomes(several(self.BARELY, self.SURE), 0.1) == ["fail", "fail"]

    def test_the_reason_says_so(self):
        gate = Gate(address="none/identity/*", limit=0.1)
        (verdict, _) = check(several(self.BARELY, self.BARELY), [gate])
        assert verdict.reason == (
            "it fails if judged alone (even the favourable end of the interval, 0.101, is above "
            "0.1), but not after Holm's correction for the 2 figures of this gate"
        )

    def test_passes_need_no_correction_because_every_figure_has_to_pass(self):
        assert outcomes(several(*[self.WITHIN] * 9), 0.1) == ["pass"] * 9

    def test_it_can_be_switched_off_and_leaves_the_value_alone(self):
        pair = several(self.BARELY, self.BARELY)
        assert outcomes(pair, 0.1, adjust="none") == ["fail", "fail"]
        assert outcomes(pair, 0.1, judge="value") == ["fail", "fail"]

    def test_figures_without_an_interval_are_certain(self):
        assert outcomes(several(*[measured("m", 0.1, half=0.0)] * 9), 0.1) == ["pass"] * 9

    def test_what_cannot_be_judged_is_no_test(self):
        report = several(self.BARELY)
        finding = report.scenarios[0].findings[0]
        deceived = replace(certificate("m000", 0.01), outcome="self-deceived")
        fooled = replace(finding, attack="other", family="other", powers=(deceived,))
        both = (replace(report.scenarios[0], findings=(finding, fooled)),)
        verdicts = check(
            replace(report, scenarios=both), [Gate(address="none/[io]*/m*", limit=0.1)]
        )
        assert [verdict.outcome for verdict in verdicts] == ["fail", "inconclusive"]

    @given(
        values=st.lists(st.tuples(st.floats(0, 1), st.floats(0, 0.3)), min_size=1, max_size=8),
        limits=st.tuples(st.floats(0, 1), st.floats(0, 1)).map(sorted),
    )
    def test_a_laxer_limit_never_makes_any_verdict_worse(self, values, limits):
        report = several(*(measured("m", value, half=half) for value, half in values))
        strict, lax = (outcomes(report, limit) for limit in limits)
        for before, after in zip(strict, lax, strict=True):
            assert SEVERITY[after] <= SEVERITY[before]

    @given(st.lists(st.tuples(st.floats(0, 1), st.floats(0, 0.3)), min_size=1, max_size=8))
    def test_it_only_ever_takes_claims_back(self, values):
        report = several(*(measured("m", value, half=half) for value, half in values))
        for alone, among in zip(
            outcomes(report, 0.5, adjust="none"), outcomes(report, 0.5), strict=True
        ):
            assert among in (alone, "inconclusive")


class TestMissing:
    def test_a_gate_that_matches_nothing_is_inconclusive(self):
        for address in ("none/identity/top7", "other/identity/top1", "nonsense"):
            outcome, reason = judge(powerful_record(), address, 1.0)
            assert outcome == "inconclusive"
            assert "no measurement" in reason

    def test_failed_and_inapplicable_attacks_and_scenarios_are_inconclusive(self):
        verdicts = check(failed_record(), [Gate(address="*/*/top1", limit=1.0)])
        assert {v.outcome for v in verdicts} == {"inconclusive"}
        reasons = " ".join(v.reason for v in verdicts)
        assert "diverged" in reasons
        assert "does not apply" in reasons
        assert "in the clear" in reasons

    def test_a_metric_that_one_scenario_lacks_does_not_go_unnoticed(self):
        report = powerful_record()
        bare, noisy = report.scenarios
        found = noisy.findings[0]
        found = replace(found, measurements=found.measurements[1:])
        report = replace(report, scenarios=(bare, replace(noisy, findings=(found,))))
        verdicts = check(report, [Gate(address="*/identity/top1", limit=1.0)])
        assert [(v.address, v.outcome) for v in verdicts] == [
            ("none/identity/top1", "pass"),
            ("dp_gallery/identity/top1", "inconclusive"),
        ]

    def test_a_pattern_is_not_about_attacks_that_never_have_the_metric(self):
        verdicts = check(powerful_record(), [Gate(address="none/*/top1", limit=1.0)])
        assert [v.address for v in verdicts] == ["none/identity/top1"]

    def test_an_undefined_score_is_inconclusive(self):
        report = powerful_record()
        bare = report.scenarios[0]
        score = replace(bare.scores[1], measurement=None, undefined="no power")
        report = replace(report, scenarios=(replace(bare, scores=(score,)),))
        assert judge(report, "*/scores/urr1", 0.0) == (
            "inconclusive",
            "the score is undefined: no power",
        )


class TestOverall:
    def test_pass_needs_every_error_gate_and_everything_planned(self):
        report = powerful_record()
        good = [Gate(address="dp_gallery/identity/top1", limit=0.15)]
        assert overall(report, check(report, good)) == "pass"
        assert overall(replace(report, complete=False), check(report, good)) == "inconclusive"
        weak = example_record()
        assert overall(weak, check(weak, good)) == "inconclusive"

    def test_one_failure_outweighs_everything_else(self):
        report = failed_record()
        gates = [
            Gate(address="none/inversion/reid_rank1", limit=0.01),
            Gate(address="none/identity/top1", limit=1.0),
        ]
        assert overall(report, check(report, gates)) == "fail"

    def test_warning_gates_only_show(self):
        report = powerful_record()
        gates = [Gate(address="none/identity/top1", limit=0.01, level="warn")]
        assert [v.outcome for v in check(report, gates)] == ["fail"]
        assert overall(report, check(report, gates)) == "pass"

    def test_without_gates_what_was_not_shown_still_counts(self):
        assert overall(powerful_record(), []) == "pass"
        assert overall(example_record(), []) == "inconclusive"
        assert overall(AuditReport(title="", config={}, complete=True), []) == "inconclusive"

    def test_an_attack_that_does_not_apply_is_no_doubt(self):
        report = powerful_record()
        bare = report.scenarios[0]
        skipped = replace(bare.findings[1], status="not-applicable", powers=())
        bare = replace(bare, findings=(bare.findings[0], skipped))
        assert list(unshown(replace(report, scenarios=(bare,)))) == []

    @pytest.mark.parametrize(("outcome", "code"), [("pass", 0), ("fail", 3), ("inconclusive", 4)])
    def test_exit_codes(self, outcome, code):
        assert exit_code(outcome) == code


class TestUnmatched:
    def ask(self, address: str) -> str | None:
        return unmatched(Gate(address=address, limit=0.1), ["none", "dp_gallery"], ["identity"])

    @pytest.mark.parametrize(
        "address", ["none/identity/top1", "*/identity/*", "dp_*/utility/map", "none/scores/urr1"]
    )
    def test_planned_addresses_match(self, address):
        assert self.ask(address) is None

    def test_a_slip_gets_a_suggestion(self):
        assert "did you mean 'dp_gallery'" in str(self.ask("dp_galery/identity/top1"))
        assert "did you mean 'identity'" in str(self.ask("none/identiy/top1"))
        assert "there are none, dp_gallery" in str(self.ask("zzz/identity/top1"))

    @pytest.mark.parametrize("address", ["identity/top1", "none//top1", "", "none/identity/"])
    def test_the_form_is_checked(self, address):
        assert "scenario/attack/metric" in str(self.ask(address))


class TestWords:
    @given(finite, finite)
    def test_what_is_shown_lies_on_the_same_side_of_the_limit(self, observed, limit):
        shown = float(decimals(observed, limit))
        assert (shown > limit, shown < limit) == (observed > limit, observed < limit)

    @given(finite)
    def test_a_limit_is_shown_as_it_is(self, limit):
        assert float(limit_text(limit)) == limit

    @pytest.mark.parametrize(("observed", "limit"), [(0.12345, 0.1234), (0.10004, 0.1)])
    def test_rounding_does_not_move_a_figure_to_the_good_side(self, observed, limit):
        m = Measurement(metric="top1", value=observed, n=9, low=observed, high=observed)
        outcome, reason = judge(holding(m), "none/identity/top1", limit)
        assert outcome == "fail"
        assert decimals(observed, limit) in reason
        assert float(decimals(observed, limit)) > limit


@given(
    ends=st.tuples(st.floats(0, 1), st.floats(0, 1), st.floats(0, 1)).map(sorted),
    limits=st.tuples(st.floats(0, 1), st.floats(0, 1)).map(sorted),
    worse=st.sampled_from(["higher", "lower"]),
    how=st.sampled_from(["pessimistic", "value"]),
)
def test_a_laxer_limit_never_makes_a_verdict_worse(ends, limits, worse, how):
    low, value, high = ends
    m = replace(measured("top1", value), value=value, low=low, high=high, worse=worse)
    strict, lax = limits if worse == "higher" else limits[::-1]
    report = holding(m)
    outcomes = [judge(report, "none/identity/top1", x, judge=how)[0] for x in (strict, lax)]
    assert SEVERITY[outcomes[1]] <= SEVERITY[outcomes[0]]
