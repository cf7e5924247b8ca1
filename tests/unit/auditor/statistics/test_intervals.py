"""Intervals over identities: golden and scipy's Clopper–Pearson, simulation, and what never holds.

How often they miss the truth is `benchmarks/coverage.py`; test_coverage.py runs a part of it.
"""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from auditor.metrics import measure
from auditor.statistics.intervals import (
    bootstrap,
    by_person,
    exceeds,
    high_end,
    low_end,
    proportion,
    rate_interval,
    resample,
    simulate,
)


def people(*pairs):
    return {str(pid): (float(hits), float(images)) for pid, (hits, images) in enumerate(pairs)}


class TestProportion:
    # two-sided 95% limits, from the binomial tail sums by bisection
    @pytest.mark.parametrize(
        ("successes", "n", "low", "high"),
        [(0, 750, 0.0, 0.0049), (75, 750, 0.0795, 0.1237), (150, 750, 0.1719, 0.2304)],
    )
    def test_published_limits(self, successes, n, low, high):
        assert proportion(successes, n) == pytest.approx((low, high), abs=5e-5)

    # with no success the upper limit solves (1 − p)^n = tail; one-sided 95% is two-sided 90%
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


some_people = st.lists(
    st.integers(1, 6).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))),
    min_size=1,
    max_size=12,
)


class TestRates:
    @pytest.mark.parametrize(("hits", "n"), [(0, 5), (1, 20), (60, 300), (40, 40), (0, 2000)])
    @pytest.mark.parametrize("images", [1, 7])
    def test_people_who_are_hit_or_not_get_clopper_and_pearson(self, hits, n, images):
        found = rate_interval(people(*[(images, images)] * hits + [(0, images)] * (n - hits)))
        assert found == pytest.approx(proportion(hits, n), abs=1e-6)

    def test_other_levels_likewise(self):
        found = rate_interval(people(*[(1, 1)] * 3 + [(0, 1)] * 57), confidence=0.999)
        assert found == pytest.approx(proportion(3, 60, 0.999), abs=1e-6)

    def test_images_that_differ_within_people_narrow_it(self):
        evenly = rate_interval(people(*[(5, 10)] * 100))
        assert evenly[1] - evenly[0] < 0.3 * np.diff(proportion(50, 100))[0]
        # but for the one person whom nobody has seen
        assert evenly[1] == pytest.approx(0.5 + 0.5 * proportion(0, 100)[1], abs=1e-4)

    def test_many_different_people_get_the_normal_interval(self):
        values = np.random.default_rng(3).normal(0.5, 0.1, 400)
        found = rate_interval(people(*((v, 1) for v in values)))
        wanted = stats.norm.interval(0.95, values.mean(), values.std() / 20)
        assert found == pytest.approx(wanted, abs=0.002)

    def test_a_person_with_more_images_weighs_more(self):
        # image values 1 (90 of them, three people) and 0 (30, thirty people)
        low, high = rate_interval(people(*[(30, 30)] * 3 + [(0, 1)] * 30))
        assert low < 0.6
        assert high > 0.89

    @pytest.mark.parametrize("most", [0.0, 1.0])
    def test_the_contour_is_what_a_simulation_finds(self, most):
        rng = np.random.default_rng(5)
        counts = rng.integers(1, 9, 15).astype(float)
        sums = rng.binomial(counts.astype(int), 0.3) + most
        drawn = rng.standard_exponential((200_000, 15))
        share = (drawn @ (sums - 0.4 * counts) > 0).mean()
        assert float(exceeds(sums - 0.4 * counts, np.ones(15))) == pytest.approx(share, abs=0.004)

    @pytest.mark.parametrize(("k", "n"), [(0, 1), (1, 2), (0, 60), (3, 750), (749, 750)])
    def test_the_contour_gives_beta_tails_however_small(self, k, n):
        for tail in (0.4, 0.025, 1e-6):
            end = stats.beta.isf(tail, k + 1, n - k)
            found = exceeds(np.array([1 - end, -end]), np.array([k + 1.0, n - k]))
            assert float(found) == pytest.approx(tail, rel=1e-6)

    def test_one_person_always_leaves_room(self):
        assert rate_interval(people((9, 9))) == pytest.approx(proportion(1, 1))
        assert rate_interval(people((0, 9))) == pytest.approx(proportion(0, 1))
        low, high = rate_interval(people((3, 9)))
        assert low < 0.01
        assert high > 0.95

    @given(some_people)
    def test_always_an_interval_around_the_rate(self, pairs):
        low, high = rate_interval(people(*pairs))
        hits, images = (sum(column) for column in zip(*pairs, strict=True))
        assert 0 <= low <= hits / images + 1e-12
        assert hits / images - 1e-12 <= high <= 1

    @given(some_people, st.data())
    @settings(deadline=None)
    def test_one_hit_more_never_lowers_an_end(self, pairs, data):
        missed = [n for n, (hits, images) in enumerate(pairs) if hits < images]
        if not missed:
            return
        lucky = data.draw(st.sampled_from(missed))
        more = [(h + (n == lucky), images) for n, (h, images) in enumerate(pairs)]
        before, after = rate_interval(people(*pairs)), rate_interval(people(*more))
        assert after[0] >= before[0] - 1e-7
        assert after[1] >= before[1] - 1e-7

    def test_one_hit_of_two_thousand_leaves_more_open_than_none(self):
        # 0.28% was claimed for one hit where none leaves 3.6%
        none = rate_interval(people(*[(0, 20)] * 100))
        once = rate_interval(people((1, 20), *[(0, 20)] * 99))
        assert proportion(0, 100)[1] == pytest.approx(none[1]) == pytest.approx(0.0362, abs=1e-4)
        assert none[1] < once[1] < none[1] + 0.002

    def test_bounds_shift_and_scale(self):
        unit = rate_interval(people((0.2, 1), (1.4, 2), (0.9, 1)))
        moved = rate_interval(people((-6, 1), (8, 2), (8, 1)), (-10, 10))
        assert moved == pytest.approx([20 * end - 10 for end in unit])

    def test_what_was_seen_beyond_the_bounds_widens_them(self):
        found = rate_interval(people((70, 1), (20, 1)), (0, 60))
        assert found == pytest.approx(rate_interval(people((70, 1), (20, 1)), (0, 70)))

    def test_people_without_images_do_not_count(self):
        assert rate_interval(people((1, 2), (0, 0))) == rate_interval(people((1, 2)))


class TestBootstrap:
    @staticmethod
    def share(sums):
        with np.errstate(invalid="ignore"):
            return sums[..., 0] / sums[..., 1]

    @pytest.mark.parametrize(("hits", "n"), [(0, 5), (3, 60), (1, 1), (20, 20)])
    def test_a_share_is_that_of_clopper_and_pearson(self, hits, n):
        table = np.array([[1.0, 1.0]] * hits + [[0.0, 1.0]] * (n - hits))
        found = bootstrap(table, self.share, np.array([[0.0, 1.0]]), np.array([[1.0, 1.0]]))
        assert found == pytest.approx(proportion(hits, n), rel=0.08)

    def test_weights_without_a_value_are_left_out(self):
        drawn = simulate(1, lambda weights: np.where(weights > 1, 0.5, np.nan)[..., 0])
        assert np.isnan(drawn).any()
        assert low_end(drawn) == high_end(drawn) == 0.5

    def test_twice_the_same(self):
        drawn = [simulate(9, lambda weights: weights[..., 0]) for _ in range(2)]
        assert np.array_equal(*drawn)
        assert low_end(drawn[0], 0.5) == pytest.approx(np.log(2), abs=0.06)

    def test_a_mean_of_many_is_near_its_normal_interval(self):
        values = np.random.default_rng(3).normal(5, 2, 400)
        found = resample(400, lambda weights: weights @ values / weights.sum(-1))
        wanted = stats.norm.interval(0.95, values.mean(), values.std() / 20)
        assert found == pytest.approx(wanted, abs=0.05)


def test_images_are_summed_by_person_in_the_order_of_pids():
    sums = by_person(torch.tensor([1.0, 0.5, 1.0, 0.0]), torch.tensor([9, 2, 9, 2]))
    assert list(sums.items()) == [("2", (0.5, 2.0)), ("9", (2.0, 2.0))]


def test_a_measured_rate_counts_people_and_holds_its_value():
    hits, pids = torch.tensor([1, 1, 0, 1.0]), torch.tensor([1, 1, 2, 3])
    found = measure.rate("top1", hits, pids, chance=0.1)
    assert (found.value, found.n, found.chance) == (0.75, 3, 0.1)
    assert found.low < 0.75 < found.high
    assert found.persons == {"1": (2, 2), "2": (0, 1), "3": (1, 1)}
