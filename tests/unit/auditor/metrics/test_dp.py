"""Accounting and audit of differential privacy, against tables and by counting."""

import math

import numpy as np
import pytest
from scipy.stats import beta, binom, norm

from auditor.metrics.dp import (
    gaussian_reconstruction,
    lower_bound,
    pure_reconstruction,
    verdict,
)


def normals(mu, count, seed=0):
    generator = np.random.default_rng(seed)
    return generator.normal(0, 1, count), generator.normal(mu, 1, count)


# (mu, chance): bound
RECONSTRUCTION = {
    (0.1, 1 / 751): 0.00184,
    (0.1, 0.01): 0.01300,
    (0.1, 0.5): 0.53983,
    (0.5, 1 / 751): 0.00614,
    (0.5, 0.1): 0.21724,
    (1, 1 / 751): 0.02253,
    (1, 0.01): 0.09236,
    (2, 1 / 751): 0.15765,
    (2, 0.1): 0.76376,
    (5, 1 / 751): 0.97702,
    (5, 0.01): 0.99625,
}


@pytest.mark.parametrize(("mu", "prior"), RECONSTRUCTION)
def test_golden_reconstruction_bounds(mu, prior):
    wanted = RECONSTRUCTION[mu, prior]
    assert gaussian_reconstruction(prior, mu) == pytest.approx(wanted, abs=6e-6)


def test_pure_privacy_bounds_more_than_its_gaussian_neighbour():
    for epsilon in (0.1, 1.0, 5.0):
        for prior in (0.001, 0.1, 0.9):
            bound = pure_reconstruction(prior, epsilon)
            # randomised response over two answers reaches it
            likely = math.exp(epsilon) / (1 + math.exp(epsilon))
            assert prior <= bound <= 1
            assert pure_reconstruction(1 - likely, epsilon) == pytest.approx(likely)


def test_the_published_figures_for_one_unit_of_distance():
    bound = lower_bound(*normals(1.0, 100_000), 1e-5, 0.95)
    assert bound.epsilon == pytest.approx(2.58, abs=0.15)
    assert bound.epsilon_gaussian == pytest.approx(4.30, abs=0.07)


def test_certainty_reaches_the_ceiling_and_no_more():
    count = 4000
    bound = lower_bound(*normals(60.0, count), 1e-5, 0.95)
    low = beta.ppf(0.025, count / 2, 1)
    assert bound.epsilon == pytest.approx(math.log((low - 1e-5) / beta.ppf(0.975, 1, count / 2)))
    assert bound.epsilon == pytest.approx(bound.ceiling)


def test_alike_is_alike():
    wrong = [lower_bound(*normals(0.0, 2000, seed), 1e-5, 0.95) for seed in range(100)]
    # 5% of alarms are allowed; 12 of 100 would come once in 500 times
    most = binom.ppf(0.998, 100, 0.05)
    assert sum(b.epsilon > 0 for b in wrong) <= most
    assert sum(b.epsilon_gaussian > 0 for b in wrong) <= most


def test_a_bound_holds_as_often_as_it_says():
    # randomised response: ε is known exactly, and its trade-off has a corner that thresholds reach
    epsilon, count = 1.5, 4000
    truth = math.exp(epsilon) / (1 + math.exp(epsilon))
    above = 0
    for seed in range(100):
        generator = np.random.default_rng(seed)
        first, second = (generator.random((2, count)) < [[1 - truth], [truth]]).astype(float)
        found = lower_bound(first, second, 0.0, 0.95).epsilon
        assert found > 1.0
        above += found > epsilon
    assert above <= binom.ppf(0.998, 100, 0.05)


def test_the_direction_of_the_scores_does_not_matter():
    generator = np.random.default_rng(0)
    # outputs on the first input reach where those on the second never are, not the other way
    first = np.concatenate([generator.normal(0, 1, 3600), np.full(400, -9.0)])
    generator.shuffle(first)
    second = generator.normal(0, 1, 4000)
    assert lower_bound(first, second, 1e-3, 0.95).epsilon > 3
    assert lower_bound(-second, -first, 1e-3, 0.95).epsilon > 3


def test_delta_is_taken_off():
    assert lower_bound(*normals(0.5, 4000), 0.5, 0.95).epsilon == 0
    exact = norm.cdf(0.25) - norm.cdf(-0.25)
    assert lower_bound(*normals(0.5, 4000), exact, 0.95).epsilon < 0.1


@pytest.mark.parametrize(
    ("claimed", "certified", "audited", "wanted"),
    [
        (1.0, 1.0 + 1e-7, 0.2, "CONSISTENT"),
        (1.0, 0.7, None, "CONSISTENT"),
        (1.0, 1.1, 0.2, "OVER-CLAIMED"),
        (1.0, 1.1, 1.2, "VIOLATED"),
        (1.0, None, 9.0, "NOT-DP"),
    ],
)
def test_verdicts(claimed, certified, audited, wanted):
    found, reason = verdict(claimed, certified, audited)
    assert found == wanted
    assert reason


def test_a_claim_that_the_experiment_alone_refutes():
    assert "re-running it alone proves ε ≥ 7.9" in verdict(0.1, 632.0, 7.9)[1]
    assert "re-running" not in verdict(10.0, 632.0, 7.9)[1]
