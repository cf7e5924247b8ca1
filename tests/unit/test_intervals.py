"""Intervals over identities: golden and scipy's Clopper–Pearson, limits by hand, and coverage."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from auditor.metrics import measure
from auditor.metrics.intervals import (
    bootstrap,
    by_person,
    mean_interval,
    proportion,
    rate_interval,
)


def people(*pairs):
    return {str(pid): (float(hits), float(images)) for pid, (hits, images) in enumerate(pairs)}


class TestProportion:
    # two-sided 95 % limits, from the binomial tail sums by bisection
    @pytest.mark.parametrize(
        ("successes", "n", "low", "high"),
        [(0, 750, 0.0, 0.0049), (75, 750, 0.0795, 0.1237), (150, 750, 0.1719, 0.2304)],
    )
    def test_published_limits(self, successes, n, low, high):
        assert proportion(successes, n) == pytest.approx((low, high), abs=5e-5)

    # with no success the upper limit solves (1 − p)^n = tail; one-sided 95 % is two-sided 90 %
    @pytest.mark.parametrize("n", [1, 50, 100, 300, 751, 3368])
    def test_no_success_in_closed_form(self, n):
        assert proportion(0, n) == pytest.approx((0, 1 - 0.025 ** (1 / n)))
        assert proportion(0, n, 0.9) == pytest.approx((0, 1 - 0.05 ** (1 / n)))
        assert proportion(n, n) == pytest.approx((0.025 ** (1 / n), 1))

    @given(st.integers(1, 400).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
    def test_same_as_scipy(self, case):
        wanted = stats.binomtest(*case).proportion_ci(0.95, method="exact")
        assert proportion(*case) == pytest.approx((wanted.low, wanted.high), abs=1e-9)

    def test_a_non_integer_size_lies_between_its_neighbours(self):
        width = [high - low for low, high in (proportion(0.2 * n, n) for n in (20, 20.5, 21))]
        assert width[0] > width[1] > width[2]


class TestRates:
    def test_one_image_per_person_is_almost_clopper_pearson(self):
        # the effective size is then n − 1 times the t correction, both near n for many people
        found = rate_interval(people(*[(1, 1)] * 60 + [(0, 1)] * 240))
        assert found == pytest.approx(proportion(60, 300), abs=0.002)

    def test_images_that_agree_count_as_one_person(self):
        once = rate_interval(people(*[(1, 1)] * 20 + [(0, 1)] * 80))
        often = rate_interval(people(*[(12, 12)] * 20 + [(0, 12)] * 80))
        assert often == pytest.approx(once)

    def test_images_that_disagree_evenly_all_count(self):
        # no variance between people: each image is a sample, but for the t correction
        low, high = rate_interval(people(*[(5, 10)] * 100))
        every = proportion(500, 1000)
        assert every[0] - 0.001 < low < 0.5 < high < every[1] + 0.001

    @pytest.mark.parametrize(("hits", "successes"), [(0, 0), (7, 20)])
    def test_all_alike_counts_people(self, hits, successes):
        assert rate_interval(people(*[(hits, 7)] * 20)) == proportion(successes, 20)

    def test_formula_by_hand_for_unequal_people(self):
        table = np.array([[3, 4], [0, 2], [5, 5], [1, 6], [2, 8]], float)
        n, images, rate = 5, 25.0, 11 / 25
        residual = table[:, 0] - rate * table[:, 1]
        variance = n / (n - 1) * (residual**2).sum() / images**2
        effective = min(images, rate * (1 - rate) / variance) * (1.959964 / 2.776445) ** 2
        wanted = stats.beta.ppf(
            [0.025, 0.975],
            [rate * effective, rate * effective + 1],
            [(1 - rate) * effective + 1, (1 - rate) * effective],
        )
        assert rate_interval(people(*table)) == pytest.approx(wanted, abs=1e-5)

    def test_a_single_person_is_one_sample(self):
        assert rate_interval(people((9, 9))) == proportion(1, 1)
        assert rate_interval(people((0, 9))) == proportion(0, 1)
        low, high = rate_interval(people((3, 9)))
        assert low < 0.01
        assert high > 0.95

    @given(
        st.lists(
            st.integers(1, 6).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))),
            min_size=1,
            max_size=12,
        )
    )
    def test_always_an_interval_around_the_rate(self, pairs):
        low, high = rate_interval(people(*pairs))
        hits, images = (sum(column) for column in zip(*pairs, strict=True))
        assert 0 <= low <= hits / images + 1e-12
        assert hits / images - 1e-12 <= high <= 1

    @pytest.mark.parametrize(("rate", "rho"), [(0.2, 0.3), (0.05, 0.1), (0.5, 0.7)])
    def test_clustered_images_are_covered(self, rate, rho):
        # beta-binomial people with intra-person correlation rho
        rng, runs, persons = np.random.default_rng(7), 300, 60
        scale = (1 - rho) / rho
        covered = 0
        for _ in range(runs):
            chances = rng.beta(rate * scale, (1 - rate) * scale, persons)
            images = rng.integers(1, 12, persons)
            low, high = rate_interval(
                people(*zip(rng.binomial(images, chances), images, strict=True))
            )
            covered += low <= rate <= high
        assert covered / runs >= 0.92

    def test_counting_images_instead_would_not_cover(self):
        # why people are counted: the plain interval fails on the same draws
        rng, runs, covered = np.random.default_rng(7), 200, 0
        for _ in range(runs):
            hits = rng.binomial(10, rng.beta(0.5, 0.5, 60)).sum()
            low, high = proportion(hits, 600)
            covered += low <= 0.5 <= high
        assert covered / runs < 0.8


class TestBootstrap:
    def test_a_mean_is_near_its_normal_interval(self):
        values = np.random.default_rng(3).normal(5, 2, 400)
        found = mean_interval(people(*((v, 1) for v in values)))
        wanted = stats.norm.interval(0.95, values.mean(), values.std() / math.sqrt(400))
        assert found == pytest.approx(wanted, abs=0.03)

    def test_a_person_with_more_images_weighs_more(self):
        # image values 1 (90 of them, three people) and 0 (30, thirty people)
        low, high = mean_interval(people(*[(30, 30)] * 3 + [(0, 1)] * 30))
        assert low < 0.75 < high
        assert high - low > 0.3  # three people decide; 120 images would give ± 0.08

    def test_one_person_has_no_spread(self):
        assert mean_interval(people((3, 4))) == (0.75, 0.75)

    def test_constant_values_have_no_width(self):
        assert mean_interval(people(*[(2, 4)] * 9)) == (0.5, 0.5)

    def test_resamples_without_a_value_are_left_out(self):
        # a ratio that is 0/0 wherever neither of the first two people is drawn
        table = np.array([[1.0, 1.0], [0.0, 1.0]] + [[0.0, 0.0]] * 6)

        def ratio(sums):
            with np.errstate(invalid="ignore"):
                return sums[..., 0] / sums[..., 1]

        assert bootstrap(table, ratio) == (0, 1)

    def test_twice_the_same(self):
        table = people(*((i % 3, 2) for i in range(30)))
        assert mean_interval(table) == mean_interval(table)


def test_images_are_summed_by_person_in_the_order_of_pids():
    sums = by_person(torch.tensor([1.0, 0.5, 1.0, 0.0]), torch.tensor([9, 2, 9, 2]))
    assert list(sums.items()) == [("2", (0.5, 2.0)), ("9", (2.0, 2.0))]


def test_a_measured_rate_counts_people_and_holds_its_value():
    hits, pids = torch.tensor([1, 1, 0, 1.0]), torch.tensor([1, 1, 2, 3])
    found = measure.rate("top1", hits, pids, chance=0.1)
    assert (found.value, found.n, found.chance) == (0.75, 3, 0.1)
    assert found.low < 0.75 < found.high
    assert found.persons == {"1": (2, 2), "2": (0, 1), "3": (1, 1)}
