"""D_sys against its integral for Gaussians, its silence where there is nothing, and its edges."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import integrate, stats

from auditor.errors import DataError
from auditor.metrics.unlinkability import (
    d_sys,
    d_sys_histogram,
    d_sys_interval,
    permutation_p,
)


def truth(shift, prior_ratio=1.0):
    """The defining integral for mated scores N(shift, 1) and non-mated scores N(0, 1)."""

    def integrand(score):
        weighed = prior_ratio * np.exp(shift * score - shift**2 / 2)
        return stats.norm.pdf(score, shift) * max(0, 2 * weighed / (1 + weighed) - 1)

    start = shift / 2 - np.log(prior_ratio) / shift
    return integrate.quad(integrand, start, max(start, shift) + 12, limit=200)[0]


def scores(seed, mated=1000, non_mated=20_000, shift=0.0):
    rng = np.random.default_rng(seed)
    return rng.normal(shift, 1, mated), rng.normal(0, 1, non_mated)


def mean_of(estimator, seeds, **world):
    return np.mean([estimator(*scores(seed, **world)) for seed in range(seeds)])


class TestDsys:
    @pytest.mark.parametrize("shift", [0.25, 0.5, 1.0, 2.0, 4.0])
    def test_gaussians_give_the_integral(self, shift):
        assert mean_of(d_sys, 4, shift=shift) == pytest.approx(truth(shift), abs=0.02)

    @pytest.mark.parametrize("prior_ratio", [0.2, 3.0])
    def test_the_prior_weighs_the_ratio(self, prior_ratio):
        found = np.mean([d_sys(*scores(seed, shift=2.0), prior_ratio) for seed in range(4)])
        assert found == pytest.approx(truth(2.0, prior_ratio), abs=0.02)

    @pytest.mark.parametrize(("mated", "bound"), [(200, 0.045), (1000, 0.02)])
    def test_a_system_that_leaks_nothing_is_near_zero(self, mated, bound):
        sizes = {"mated": mated, "non_mated": mated * (10 if mated == 200 else 20)}
        assert 0 <= mean_of(d_sys, 20, **sizes) < bound

    def test_the_histogram_is_not(self):
        # the figures a published 100-bin estimate gives on equal distributions
        assert mean_of(d_sys_histogram, 20, mated=200, non_mated=2000) == pytest.approx(
            0.157, abs=0.02
        )
        assert mean_of(d_sys_histogram, 5) == pytest.approx(0.059, abs=0.01)

    def test_a_larger_shift_separates_more(self):
        found = [d_sys(*scores(0, shift=shift)) for shift in (0, 0.5, 1, 2, 3, 5)]
        assert found == sorted(found)

    def test_separated_scores_are_fully_linkable(self):
        mated, non_mated = np.linspace(2, 3, 40), np.linspace(0, 1, 400)
        # the lowest mated score, held out, lies in the gap, where nobody knows
        assert d_sys(mated, non_mated) == pytest.approx(1, abs=1 / 40)
        assert d_sys_histogram(mated, non_mated) == pytest.approx(1)
        assert d_sys(non_mated, mated) == pytest.approx(0)

    def test_one_score_for_all_tells_nothing(self):
        assert d_sys(np.ones(30), np.ones(300)) == pytest.approx(0)
        assert d_sys_histogram(np.ones(30), np.ones(300)) == 0

    def test_two_scores_worked_by_hand(self):
        # P(1 | mated) = .8 and P(1 | non-mated) = .2: LR = 4 there, D = .6, and D_sys = .8 · .6
        persons = np.arange(100)
        mated, non_mated = (persons % 10 < 8).astype(float), (np.arange(500) % 10 < 2).astype(float)
        assert d_sys(mated, non_mated, persons=persons // 20) == pytest.approx(0.48)
        assert d_sys_histogram(mated, non_mated) == pytest.approx(0.48)

    def test_a_persons_scores_do_not_vouch_for_each_other(self):
        # 40 people whose 25 scores are nearly one: folds by score let them know themselves
        rng = np.random.default_rng(0)
        persons = np.repeat(np.arange(40), 25)
        honest, fooled = [], []
        for _ in range(10):
            mated = rng.normal(0, 1, 40)[persons] + rng.normal(0, 0.01, len(persons))
            non_mated = rng.normal(0, 1, 5000)
            honest.append(d_sys(mated, non_mated, persons=persons))
            fooled.append(d_sys(mated, non_mated))
        assert np.mean(honest) < 0.045 < np.mean(fooled)

    @given(
        mated=st.lists(st.floats(-5, 5), min_size=2, max_size=12),
        non_mated=st.lists(st.floats(-5, 5), min_size=1, max_size=12),
        prior_ratio=st.floats(0.01, 100),
    )
    @settings(max_examples=30, deadline=None)
    def test_any_scores_stay_within_bounds(self, mated, non_mated, prior_ratio):
        both = np.array(mated), np.array(non_mated)
        assert 0 <= d_sys(*both, prior_ratio) <= 1
        assert 0 <= d_sys_histogram(*both, prior_ratio) <= 1
        low, high = d_sys_interval(*both, np.arange(len(mated)), np.zeros((len(non_mated), 2)))
        assert 0 <= low <= high <= 1
        assert 0 < permutation_p(*both, np.random.default_rng(0), 9) <= 1

    @pytest.mark.parametrize("estimator", [d_sys, d_sys_histogram])
    def test_missing_scores_are_refused(self, estimator):
        good = np.arange(5.0)
        with pytest.raises(DataError, match="no mated scores"):
            estimator(good[:0], good)
        with pytest.raises(DataError, match="no non-mated scores"):
            estimator(good, good[:0])
        with pytest.raises(DataError, match="non-mated scores contain NaN"):
            estimator(good, np.array([1.0, np.nan]))

    def test_one_person_cannot_be_cross_fitted(self):
        with pytest.raises(DataError, match="two people"):
            d_sys(np.arange(5.0), np.arange(5.0), persons=np.ones(5, dtype=int))


class TestInterval:
    def world(self, seed, shift, people=60):
        """Four mated scores a person and forty between others, each person with its own level."""
        rng = np.random.default_rng(seed)
        level = rng.normal(0, 0.5, people)
        persons = np.repeat(np.arange(people), 4)
        pairs = rng.integers(people, size=(people * 40, 2))
        pairs = pairs[pairs[:, 0] != pairs[:, 1]]
        spread = np.sqrt(0.75)
        mated = shift + level[persons] + rng.normal(0, spread, len(persons))
        non_mated = rng.normal(0, 1, len(pairs))
        return mated, non_mated, persons, pairs

    @pytest.mark.parametrize("shift", [0.5, 1.0, 2.0])
    def test_it_holds_the_truth_about_as_often_as_it_says(self, shift):
        held = 0
        for seed in range(12):
            low, high = d_sys_interval(*self.world(seed, shift))
            held += low <= truth(shift) <= high
        assert held >= 10

    def test_it_reaches_down_to_nothing_where_nothing_leaks(self):
        lows = [d_sys_interval(*self.world(seed, 0.0))[0] for seed in range(12)]
        assert np.mean(np.array(lows) == 0) >= 0.8

    def test_few_people_who_all_agree_are_not_certain(self):
        pairs, half = np.array([[0, 1], [1, 2], [0, 2]]), 0.025 ** (1 / 3)
        worst = d_sys_interval(np.ones(3), np.zeros(3), np.arange(3), pairs)
        assert worst == pytest.approx((half, 1))
        best = d_sys_interval(np.zeros(3), np.ones(3), np.arange(3), pairs)
        assert best == pytest.approx((0, 1 - half))

    def test_two_people_are_enough(self):
        mated, persons = np.array([1.0, 2.0, 3.0]), np.array([1, 1, 2])
        low, high = d_sys_interval(mated, np.array([0.0, 2.5]), persons, np.array([[1, 2], [2, 1]]))
        assert 0 <= low <= high <= 1


class TestPermutation:
    def test_it_is_as_small_as_it_can_be_for_separated_scores(self):
        rng = np.random.default_rng(0)
        assert permutation_p(np.arange(50.0) + 99, np.arange(99.0), rng, 99) == 0.01

    def test_equal_scores_are_no_evidence(self):
        assert permutation_p(np.ones(10), np.ones(90), np.random.default_rng(0), 99) == 1

    def test_it_is_uniform_where_nothing_leaks(self):
        found = [
            permutation_p(*scores(seed, 30, 300), np.random.default_rng(seed), 99)
            for seed in range(100)
        ]
        assert stats.kstest(found, "uniform").pvalue > 0.01

    def test_it_repeats_under_its_generator(self):
        both = scores(3, 30, 300, shift=0.2)
        first, second = (permutation_p(*both, np.random.default_rng(5), 99) for _ in range(2))
        assert first == second
