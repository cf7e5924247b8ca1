"""URR in both forms: limits, monotony, scale and frontiers worked by hand.

The PU-score has its own golden test.
"""

import math
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from auditor.metrics import scores
from auditor.metrics.scores import urr1, urr2
from auditor.report import Measurement
from auditor.statistics.intervals import proportion

PEOPLE = 100


def measured(value, *, chance=None, metric="reid_rank1", half=0.02, people=PEOPLE):
    """A rate of people with one picture each, of whom a share ``value`` is hit."""
    hits = round(value * people)
    persons = {str(pid): (float(pid < hits), 1.0) for pid in range(people)}
    ends = max(0.0, value - half), min(1.0, value + half)
    return Measurement(
        metric=metric,
        value=value,
        n=people,
        low=ends[0],
        high=ends[1],
        chance=chance,
        persons=persons,
    )


def score(utility=0.8, reversal=0.6, bare_utility=0.8, bare=0.6, floor=0.05, bare_floor=0.05):
    """URR-1 whose interval nobody looks at: people are few."""
    return urr1(
        measured(utility, people=10),
        measured(reversal, chance=floor),
        measured(bare_utility, people=10),
        measured(bare, chance=bare_floor),
    )


class TestUrr1:
    @pytest.mark.parametrize(("utility", "reversal"), [(0.8, 0.6), (0.33, 0.97), (1.0, 0.2)])
    def test_undefended_is_exactly_one(self, utility, reversal):
        found = score(utility, reversal, utility, reversal).measurement
        assert (found.value, found.chance) == (1, 1)
        # somebody unseen may be worse off, or better
        assert found.low < 1 < found.high

    def test_worked_by_hand(self):
        # utility halved; excess (0.38 − 0.05) of (0.6 − 0.05) is 0.6
        found = score(0.4, 0.38)
        assert found.measurement.value == pytest.approx(0.5 / 0.6)
        assert found.inputs["log2"] == pytest.approx(math.log2(0.5 / 0.6))
        assert found.inputs["reversal_floor"] == 0.05

    def test_each_scenario_has_its_own_floor(self):
        # the defended attack reaches 0.3 over a floor of 0.2; the bare one 0.6 over 0.1
        found = score(0.8, 0.3, floor=0.2, bare_floor=0.1)
        assert found.measurement.value == pytest.approx(0.5 / 0.1)

    @pytest.mark.parametrize("reversal", [0.0, 0.05, 0.051])
    def test_no_leak_left_is_bounded_by_what_people_can_show(self, reversal):
        # rule of three: nobody among 100 people still allows 3.6% (Clopper–Pearson, 97.5%)
        least = 1 - 0.025 ** (1 / PEOPLE)
        assert proportion(0, PEOPLE)[1] == pytest.approx(least)
        found = score(reversal=reversal).measurement
        assert found.value == pytest.approx(1 / (least / 0.55))
        assert math.isfinite(found.high)

    @given(st.floats(0.1, 1), st.floats(0.1, 1), st.floats(0, 1), st.floats(0, 1))
    @settings(max_examples=25, deadline=None)
    def test_up_with_utility_and_down_with_reversal(self, u, v, r, s):
        worst = score(min(u, v), max(r, s)).measurement.value
        for utility, reversal in ((u, r), (v, s), (max(u, v), min(r, s))):
            assert score(utility, reversal).measurement.value >= worst - 1e-12

    @given(st.floats(0.2, 1))
    @settings(max_examples=15, deadline=None)
    def test_units_of_utility_and_of_reversal_cancel(self, unit):
        plain = score(0.4, 0.38).measurement.value
        assert score(0.4 * unit, 0.38, 0.8 * unit).measurement.value == pytest.approx(plain)
        scaled = score(0.4, 0.38 * unit, 0.8, 0.6 * unit, 0.05 * unit, 0.05 * unit)
        if scaled.measurement:
            assert scaled.measurement.value == pytest.approx(plain)

    @pytest.mark.parametrize("bare", [0.0, 0.05, 0.06])
    def test_an_attack_without_power_gives_no_score(self, bare):
        # 0.06 ± 0.02 holds the floor 0.05
        found = score(reversal=0.0, bare=bare)
        assert found.measurement is None
        assert "no power" in found.undefined
        assert found.inputs["reversal_bare"] == bare

    def test_a_model_without_utility_gives_no_score(self):
        found = score(utility=0.0, bare_utility=0.0)
        assert found.measurement is None
        # the attack does beat its floor here, so it must not be blamed
        assert "no power" not in found.undefined
        assert "utility" in found.undefined

    def test_too_few_common_people_give_no_score(self):
        alone = measured(1.0, people=1)
        found = urr1(alone, measured(0.3, chance=0.0), alone, measured(0.6, chance=0.0))
        assert found.measurement is None
        assert "two people" in found.undefined

    def test_a_weak_but_real_leak_is_still_one_when_undefended(self):
        weak = measured(0.01, chance=0.0, half=0.006, people=1000)
        found = urr1(measured(0.8), weak, measured(0.8), weak)
        assert found.measurement.value == 1

    def test_a_floor_is_itself_a_rate_of_people(self):
        # 3 of 100 against none of 100: the floor may be as high as 3.6%
        weak = measured(0.03, chance=0.0, half=0.02)
        found = urr1(measured(0.8), weak, measured(0.8), weak)
        assert found.measurement is None
        assert "no power" in found.undefined

    def test_the_floors_of_few_people_widen_the_interval(self):
        wide, narrow = (
            urr1(
                measured(0.8, people=n),
                measured(0.3, chance=0.1, people=n),
                measured(0.8, people=n),
                measured(0.6, chance=0.1, people=n),
            ).measurement
            for n in (60, 600)
        )
        sure = scores._ends(
            [measured(p, people=60).persons for p in (0.8, 0.3, 0.8, 0.6)], 0.1, 0.1, 6000, 0.06
        )
        assert wide.high - wide.low > 1.05 * (sure[1] - sure[0])
        assert wide.high - wide.low > 2 * (narrow.high - narrow.low)

    def test_resamples_without_utility_are_left_out(self):
        # one person of ten is found: a third of the resamples find nobody
        weak = measured(0.1, people=10)
        found = urr1(weak, measured(0.3, chance=0.0), weak, measured(0.6, chance=0.0))
        assert found.measurement.value == pytest.approx(2)
        assert math.isfinite(found.measurement.high)

    def test_no_utility_left_is_zero(self):
        found = score(utility=0.0)
        assert found.measurement.value == 0
        assert "log2" not in found.inputs

    def test_the_interval_is_paired_over_people(self):
        # the same people in both scenarios: the defended model halves everything for everybody,
        # so a resample moves numerator and denominator together and the ratio hardly at all
        everybody = measured(0.6, chance=0.0)
        half = {pid: (hits / 2, images) for pid, (hits, images) in everybody.persons.items()}
        halved = Measurement(
            metric="m", value=0.3, n=PEOPLE, low=0.25, high=0.35, chance=0.0, persons=half
        )
        found = urr1(halved, halved, everybody, everybody).measurement
        assert found.value == pytest.approx(1)
        others = replace(halved, persons=dict(zip(half, reversed(half.values()), strict=True)))
        apart = urr1(others, halved, everybody, everybody).measurement
        assert found.high - found.low < 0.6 * (apart.high - apart.low)

    def test_the_interval_holds_the_value_and_has_width(self):
        found = score(0.4, 0.38).measurement
        assert found.low < found.value < found.high
        assert found.worse == "lower"

    def test_people_measured_in_only_some_tables_are_not_resampled(self):
        few = measured(0.8, people=40)
        found = urr1(few, measured(0.3, chance=0.0), few, measured(0.6, chance=0.0)).measurement
        assert found.low <= found.value <= found.high


class TestUrr2:
    def test_two_points_by_hand(self):
        # utility 0.6 from excess 0.2 on, 1 from excess 1 on
        found = urr2({"none": (1.0, 1.0), "noise": (0.2, 0.6)}).measurement
        assert found.value == pytest.approx(0.8 * 0.6)

    def test_three_points_by_hand(self):
        found = urr2({"none": (1.0, 1.0), "a": (0.0, 0.5), "b": (0.4, 0.9)}).measurement
        assert found.value == pytest.approx(0.4 * 0.5 + 0.6 * 0.9)

    def test_a_perfect_defense_scores_one(self):
        assert urr2({"none": (1.0, 1.0), "perfect": (0.0, 1.0)}).measurement.value == 1

    def test_shrinking_both_alike_scores_a_half(self):
        points = {str(i): (i / 1000, i / 1000) for i in range(1001)}
        assert urr2(points).measurement.value == pytest.approx(0.5, abs=0.001)

    @given(st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), min_size=2, max_size=6))
    def test_a_dominated_point_changes_nothing(self, pairs):
        points = {str(i): pair for i, pair in enumerate(pairs)}
        excess, utility = pairs[0]
        dominated = points | {"worse": (min(1.0, excess + 0.1), utility * 0.9)}
        before, after = (urr2(p).measurement.value for p in (points, dominated))
        assert after == pytest.approx(before)
        better = points | {"better": (excess * 0.5, min(1.0, utility + 0.1))}
        assert urr2(better).measurement.value >= before - 1e-12
        assert 0 <= before <= 1

    def test_points_beyond_the_square_are_clipped(self):
        found = urr2({"none": (1.0, 1.0), "lucky": (-0.3, 1.2)}).measurement
        assert found.value == 1

    def test_one_point_is_no_frontier(self):
        found = urr2({"none": (1.0, 1.0)})
        assert found.measurement is None
        assert "one defended scenario" in found.undefined

    def test_inputs_are_kept(self):
        found = urr2({"none": (1.0, 1.0), "noise": (0.2, 0.6)})
        assert found.inputs["noise.excess"] == 0.2
        assert found.inputs["noise.utility"] == 0.6
