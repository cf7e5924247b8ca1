"""Efficiency against a reference adversary, and what a certificate says of it."""

from dataclasses import replace

import pytest

from auditor.certification.certificates import behind, certificates, not_run
from auditor.report import Measurement

ADVERSARY = "whoever knows"


def measured(value, low, high, chance=0.1, **fields):
    fields = {"metric": "top1", "n": 50, **fields}
    return Measurement(value=value, low=low, high=high, chance=chance, **fields)


def certify(planted, null, best):
    best = None if best is None else {best.metric: best}
    null = None if null is None else [null]
    return certificates("top1", [planted], null, best, adversary=ADVERSARY)[0]


BEST = measured(0.7, 0.6, 0.8)
BLIND = measured(0.12, 0.08, 0.2)
FOOLED = measured(0.3, 0.25, 0.35)
STRONG = measured(0.6, 0.55, 0.65)
UNDERTRAINED = measured(0.3, 0.25, 0.35)


class TestOutcomes:
    @pytest.mark.parametrize(
        ("planted", "null", "outcome", "part"),
        [
            (STRONG, BLIND, "shown", "recovers 0.83 of what the reference finds"),
            (UNDERTRAINED, BLIND, "weak", "recovers 0.33 of what the reference finds"),
            (STRONG, FOOLED, "self-deceived", "claims 0.300 where there is nothing to find"),
            (UNDERTRAINED, FOOLED, "self-deceived", "claims 0.300"),
        ],
    )
    def test_four_outcomes(self, planted, null, outcome, part):
        power = certify(planted, null, BEST)
        assert power.outcome == outcome
        assert part in power.reason
        assert power.reference == 0.7
        assert power.adversary == ADVERSARY
        assert power.efficiency == pytest.approx((planted.value - 0.1) / 0.6)
        assert (power.planted, power.null) == (planted, null)

    def test_where_the_best_adversary_is_at_chance_nothing_can_be_asked(self):
        nobody = measured(0.14, 0.08, 0.2)
        power = certify(measured(0.12, 0.1, 0.2), None, nobody)
        assert power.outcome == "nothing-to-find"
        assert "0.140 where chance is 0.100" in power.reason
        # without a defense in the way it is the control that shows too little
        bare = certify(measured(0.12, 0.1, 0.2), BLIND, nobody)
        assert (bare.outcome, bare.efficiency) == ("small-control", None)

    def test_smaller_is_better_for_a_distance(self):
        best = measured(0.2, 0.15, 0.25, 0.8, worse="lower", unit="distance")
        near, far = (replace(best, value=v, low=v, high=v) for v in (0.3, 0.6))
        null = replace(best, value=0.8, low=0.7, high=0.9)
        assert certify(near, null, best).outcome == "shown"
        assert certify(near, null, best).efficiency == pytest.approx(5 / 6)
        assert certify(far, null, best).outcome == "weak"
        assert certify(near, replace(null, value=0.5, low=0.49, high=0.51), best).outcome == (
            "self-deceived"
        )

    def test_bad_luck_on_the_null_is_forgiven_up_to_99_95_percent(self):
        # a 95% half-width of 0.04 is 1.96 deviations; 3.29 of them leave one in two thousand
        assert certify(STRONG, measured(0.165, 0.125, 0.2), BEST).shown
        assert certify(STRONG, measured(0.17, 0.13, 0.21), BEST).outcome == "self-deceived"


class TestLuck:
    """What both adversaries share is no shortfall; what they differ in by luck is forgiven."""

    def people(self, hits):
        persons = {str(pid): (float(hit), 1) for pid, hit in enumerate(hits)}
        value = sum(hits) / len(hits)
        return measured(value, max(0, value - 0.2), min(1, value + 0.2), persons=persons)

    def test_easy_people_are_easy_for_both(self):
        best, same = self.people([1] * 14 + [0] * 6), self.people([1] * 14 + [0] * 6)
        assert certify(same, BLIND, best).efficiency == 1
        # two of 14 fewer: nothing is measured by their wide intervals
        assert certify(self.people([1] * 12 + [0] * 8), BLIND, best).shown

    def test_a_shortfall_of_half_is_no_luck(self):
        best = self.people([1] * 14 + [0] * 6)
        assert certify(self.people([1] * 7 + [0] * 13), BLIND, best).outcome == "weak"

    def test_certificates_hold_no_single_people(self):
        best = self.people([1] * 14 + [0] * 6)
        power = certify(best, self.people([1] + [0] * 19), best)
        assert power.planted.persons == power.null.persons == {}


class TestMetrics:
    def test_each_metric_that_both_controls_measure_is_certified_and_the_headline_first(self):
        def figures(*values):
            names = ("top5", "top1", "score")
            rows = zip(names, values, strict=True)
            return [replace(measured(v, v - 0.02, v + 0.02), metric=name) for name, v in rows]

        best = {m.metric: m for m in figures(0.9, 0.7, 0.5)[:2]}
        found = certificates("top1", figures(0.5, 0.7, 0.5), figures(0.1, 0.1, 0.1), best)
        assert [(p.metric, p.outcome) for p in found] == [("top1", "shown"), ("top5", "weak")]

    def test_a_figure_without_chance_is_not_certified(self):
        bare = measured(0.6, 0.5, 0.7, None)
        (power,) = certificates("top1", [bare], [bare], {"top1": BEST})
        assert power.outcome == "not-run"
        assert "did not measure" in power.reason


class TestWithoutReference:
    """In a world without noise: half of the way to certainty, with a standard error to spare."""

    @pytest.mark.parametrize(("value", "outcome"), [(0.61, "shown"), (0.59, "weak")])
    def test_half_of_the_way_and_a_standard_error_more(self, value, outcome):
        # a half-width of 0.098 is a standard error of 0.05
        power = certify(measured(value, value - 0.098, 0.8), BLIND, None)
        assert power.outcome == outcome
        assert power.reference == 1
        assert power.required == 0.5


class TestBehindADefense:
    def powers(self, planted, best, null=None):
        return (certify(planted, null, best),)

    NOBODY = measured(0.14, 0.08, 0.2)

    def test_the_null_of_the_bare_scenario_stands_for_all(self):
        bare = self.powers(STRONG, BEST, BLIND)
        (power,) = behind(self.powers(STRONG, BEST), bare)
        assert (power.outcome, power.null) == ("shown", BLIND)
        (power,) = behind(self.powers(STRONG, BEST), self.powers(STRONG, BEST, FOOLED))
        assert power.outcome == "self-deceived"

    def test_an_attack_that_was_weak_stays_so_where_the_plant_is_hidden(self):
        hidden = self.powers(self.NOBODY, self.NOBODY)
        (power,) = behind(hidden, self.powers(STRONG, BEST, BLIND))
        assert power.outcome == "nothing-to-find"
        (power,) = behind(hidden, self.powers(UNDERTRAINED, BEST, BLIND))
        assert power.outcome == "weak"
        assert "0.33" in power.reason
        (power,) = behind(hidden, self.powers(self.NOBODY, self.NOBODY, BLIND))
        assert power.outcome == "small-control", "it shows nothing and vouches for nothing"

    def test_what_did_not_run_says_so(self):
        crashed = (not_run("top1", "out of memory"),)
        (power,) = behind(crashed, self.powers(STRONG, BEST, BLIND))
        assert (power.outcome, power.reason) == ("not-run", "out of memory")
