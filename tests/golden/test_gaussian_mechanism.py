"""The analytic Gaussian mechanism (Balle & Wang, ICML 2018, Theorem 8) as `GalleryNoise` uses it.

Golden sigmas are for sensitivity 1, recomputed here by bisection on

    δ(ε) = Φ(μ/2 − ε/μ) − exp(ε) Φ(−μ/2 − ε/μ),  μ = Δ/σ,

in log space, independently of dp-accounting. Unit-norm rows have sensitivity 2.
"""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import log_ndtr

from auditor.metrics.dp import one_run_bound, one_run_epsilon
from auditor.types import RunContext
from defenses.dp_gallery import GalleryNoise
from tests import worlds

# (epsilon, delta): sigma per unit of sensitivity
TABLE = {
    (0.1, 1e-1): 2.847,
    (0.1, 1e-2): 9.542,
    (0.1, 1e-3): 17.404,
    (0.1, 1e-5): 30.750,
    (0.5, 1e-2): 3.147,
    (0.5, 1e-3): 4.610,
    (0.5, 1e-5): 7.032,
    (1.0, 1e-2): 1.878,
    (1.0, 1e-3): 2.575,
    (1.0, 1e-5): 3.731,
    (5.0, 1e-5): 0.892,
    (10.0, 1e-1): 0.282,
    (10.0, 1e-5): 0.500,
}
# sensitivity / sigma: epsilon at delta = 1e-5
INVERSE = {
    0.1: 0.3407,
    0.25: 0.9263,
    0.5: 1.9931,
    1: 4.3772,
    2: 9.9973,
    3: 16.6755,
    5: 33.1037,
}


def log_delta(epsilon, mu):
    upper = log_ndtr(mu / 2 - epsilon / mu)
    lower = epsilon + log_ndtr(-mu / 2 - epsilon / mu)
    return upper + math.log1p(-math.exp(lower - upper)) if lower < upper else -math.inf


def bisect(too_much, low, high):
    """The turning point of a falling condition, between ``low`` and ``high``."""
    for _ in range(300):
        middle = math.sqrt(low * high)
        low, high = (middle, high) if too_much(middle) else (low, middle)
    return low


def sigma_of(epsilon, delta):
    return bisect(lambda sigma: log_delta(epsilon, 1 / sigma) > math.log(delta), 1e-4, 1e6)


def epsilon_of(mu, delta):
    return bisect(lambda epsilon: log_delta(epsilon, mu) > math.log(delta), 1e-9, 1e6)


def claim(counts=(1, 1), **params):
    """The claim for a gallery whose person ``i`` has ``counts[i]`` rows."""
    pids = [pid for pid, count in enumerate(counts, 1) for _ in range(count)]
    defense = GalleryNoise(trials=200, **params)
    return defense.apply(worlds.crowd(*pids), RunContext()).claims[-1]


@pytest.mark.parametrize(("epsilon", "delta"), TABLE)
def test_golden_sigmas(epsilon, delta):
    wanted = TABLE[epsilon, delta]
    assert sigma_of(epsilon, delta) == pytest.approx(wanted, abs=6e-4)
    assert claim(epsilon=epsilon, delta=delta).sigma == pytest.approx(2 * wanted, abs=1.2e-3)
    exact = pytest.approx(2 * sigma_of(epsilon, delta), rel=1e-4)
    assert claim(epsilon=epsilon, delta=delta).sigma == exact


@pytest.mark.parametrize("mu", INVERSE)
def test_golden_epsilons(mu):
    wanted = INVERSE[mu]
    assert epsilon_of(mu, 1e-5) == pytest.approx(wanted, abs=6e-5)
    # four times the rows halve a person's μ, so the claim for persons reads the same curve
    found = claim((4, 1), epsilon=epsilon_of(mu / 2, 1e-5), delta=1e-5)
    assert found.epsilon_identity == pytest.approx(wanted, rel=1e-4)


@given(st.floats(0.05, 400), st.floats(-7, -0.7), st.integers(1, 9), st.integers(1, 5))
@settings(max_examples=30, deadline=None)
def test_what_is_claimed_is_certified(epsilon, exponent, images, releases):
    params = {"epsilon": epsilon, "delta": 10**exponent, "releases": releases}
    rows = (images,) if 10**exponent < 1 / images else (1,)
    for unit in ("image", "identity"):
        found = claim(rows, unit=unit, **params)
        wanted = found.epsilon_identity if unit == "identity" else found.epsilon_certified
        assert wanted == pytest.approx(epsilon, rel=1e-3)
        assert found.epsilon_certified == pytest.approx(epsilon, rel=1e-3)
        mu = math.sqrt(releases) * found.sensitivity / found.sigma
        assert epsilon_of(mu, 10**exponent) == pytest.approx(epsilon, rel=1e-3)


@pytest.mark.parametrize("calibration", ["analytic", "classic", "pepr"])
@pytest.mark.parametrize("epsilon", [0.1, 1.0, 10.0, 300.0])
@pytest.mark.parametrize(("unit", "releases"), [("image", 1), ("identity", 3)])
def test_certified_epsilons_are_the_analytic_ones(calibration, epsilon, unit, releases):
    params = {"calibration": calibration, "epsilon": epsilon, "unit": unit, "releases": releases}
    found = claim((4, 1), delta=1e-5, **params)
    for certified, rows in ((found.epsilon_certified, 4 if unit == "identity" else 1),
                            (found.epsilon_identity, 4)):  # fmt: skip
        exact = epsilon_of(2 * math.sqrt(rows * releases) / found.sigma, 1e-5)
        assert certified == pytest.approx(exact, abs=1e-6)


def test_the_classic_bound_is_not_used_where_it_does_not_hold():
    # sqrt(2 ln(1.25/δ))/ε is proven for ε < 1; at ε = 10, δ = 0.1 it leaves too little noise
    classic = math.sqrt(2 * math.log(1.25 / 0.1)) / 10
    assert claim(epsilon=10, delta=0.1).sigma > 2 * 1.2 * classic
    assert claim(epsilon=10, delta=0.1, calibration="classic").sigma == pytest.approx(2 * classic)


ONE_RUN = {
    (1000, 100, 60): (0.0519, 0.0495, 0.0),
    (1000, 100, 75): (0.7022, 0.6995, 0.0),
    (1000, 100, 90): (1.6308, 1.6261, 0.3885),
    (1000, 100, 100): (3.4930, 3.4654, 0.8090),
    (1000, 500, 260): (0.0, 0.0, 0.0),
    (5000, 5000, 2700): (0.1133, 0.1130, 0.0517),
    (200, 40, 40): (2.5540, 2.5482, 1.8442),
}
"""Canaries, guesses and right guesses -> ε at δ = 0, 1e-5 and 1e-3 (Steinke et al., 2023)."""


@pytest.mark.parametrize(("counts", "expected"), ONE_RUN.items())
def test_one_run_proves_what_the_theorem_says(counts, expected):
    found = [one_run_epsilon(*counts, delta, 0.95) for delta in (0.0, 1e-5, 1e-3)]
    assert found == pytest.approx(expected, abs=6e-5)


def test_whoever_guesses_blindly_proves_nothing_nineteen_times_of_twenty():
    draw = np.random.default_rng(0)
    runs = [
        one_run_bound(draw.standard_normal(200), draw.random(200) < 0.5, 1e-5, 0.95).epsilon > 0
        for _ in range(300)
    ]
    assert sum(runs) / 300 < 0.08


def test_whoever_knows_proves_as_much_as_can_be():
    included = np.random.default_rng(0).random(200) < 0.5
    found = one_run_bound(included + 0.0, included, 1e-5, 0.95)
    assert 2.5 < found.epsilon <= found.ceiling
