"""Holm against its definition, and the evidence read off an interval against exact tails."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from auditor.statistics.intervals import proportion
from auditor.statistics.multiplicity import ALPHA, holm, tail, widen

p_values = st.lists(st.floats(0, 1), max_size=12)


def rejected(p_values, level):
    """Holm (1979) as it is written: step down until the first that is too large."""
    order = sorted(range(len(p_values)), key=lambda n: p_values[n])
    kept = set()
    for step, position in enumerate(order):
        if p_values[position] * (len(order) - step) > level:
            break
        kept.add(position)
    return kept


def test_a_worked_example():
    # statsmodels.stats.multitest.multipletests([.01, .04, .03, .005, .5], method="holm")
    assert holm([0.01, 0.04, 0.03, 0.005, 0.5]) == pytest.approx([0.04, 0.09, 0.09, 0.025, 0.5])
    assert holm([]) == []
    assert holm([0.3]) == [0.3]


@given(p_values, st.floats(0.001, 0.5))
def test_adjusted_values_reject_what_the_step_down_rejects(p_values, level):
    adjusted = holm(p_values)
    assert {n for n, p in enumerate(adjusted) if p <= level} == rejected(p_values, level)


@given(p_values)
def test_order_is_kept_and_nothing_becomes_surer(p_values):
    adjusted = holm(p_values)
    assert all(p <= q <= 1 for p, q in zip(p_values, adjusted, strict=True))
    ranked = sorted(zip(p_values, adjusted, strict=True))
    assert [q for _, q in ranked] == sorted(adjusted)


@pytest.mark.parametrize("n", [20, 100, 750])
@pytest.mark.parametrize("limit", [0.2, 0.4])
def test_no_success_gives_the_exact_binomial_p_value(n, limit):
    end = proportion(0, n)[1]
    found = -math.log(tail(limit, end)) if limit >= end else None
    exact = -n * math.log1p(-limit)
    if found is not None and tail(limit, end) > 1e-12:
        # (1 − L)^n against its Poisson form: the same exponent up to curvature
        assert found == pytest.approx(exact, rel=0.25)
        assert found <= exact * 1.001


@pytest.mark.parametrize("reach", [1.0, 1.2, 1.5, 2.0, 3.0])
def test_a_normal_figure_is_never_surer_than_its_own_tail(reach):
    assert tail(reach, 1.0) >= stats.norm.sf(reach * stats.norm.isf(ALPHA)) * (1 - 1e-9)


@pytest.mark.parametrize(("successes", "n"), [(1, 750), (5, 300), (40, 300), (150, 300)])
def test_a_binomial_count_is_hardly_ever_surer_than_its_own_tail(successes, n):
    rate, (_, high) = successes / n, proportion(successes, n)
    for level in (ALPHA / 3, ALPHA / 10, ALPHA / 30):
        limit = proportion(successes, n, 1 - 2 * level)[1]
        assert tail(limit - rate, high - rate) >= 0.95 * level


def test_a_side_without_width_is_certain_and_one_at_the_limit_is_just_sure():
    assert tail(0.0, 0.0) == tail(0.3, 0.0) == 0.0
    assert tail(0.1, 0.1) == ALPHA


@given(st.integers(1, 50), st.floats(1e-6, 1))
def test_widening_is_the_same_tail_at_a_shared_level(tries, reach):
    assert tail(widen(reach, tries), reach) == pytest.approx(ALPHA / tries)
