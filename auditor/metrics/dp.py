"""Differential privacy in numbers: what noise certifies, and what an experiment proves.

Gaussian noise of deviation σ on rows that may differ by Δ is μ-GDP with μ = Δ/σ (Dong, Roth and Su,
JRSS-B 2022); its exact ε at a δ is that of the analytic Gaussian mechanism (Balle and Wang, ICML
2018, Theorem 8). k independent draws multiply μ by √k.
"""

import math
from dataclasses import dataclass
from functools import cache

import numpy as np
from dp_accounting.gaussian_mechanism import get_epsilon_gaussian, get_sigma_gaussian
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.stats import beta, binom, norm

from auditor.report import PrivacyVerdict

TOLERANCE = 1e-6
"""Share by which a certified ε may exceed the claimed one through rounding."""

Scores = NDArray[np.float64]


def gaussian_epsilon(mu: float, delta: float) -> float:
    """ε of a μ-GDP mechanism at ``delta``; infinite for an infinite μ.

    >>> round(gaussian_epsilon(1.0, 1e-5), 4)
    4.3772
    """
    return 0.0 if mu == 0 else float(get_epsilon_gaussian(1 / mu, delta))


def gaussian_sigma(epsilon: float, delta: float) -> float:
    """Find the least σ per unit of sensitivity that certifies (ε, δ): analytic calibration."""
    return float(get_sigma_gaussian(epsilon, delta))


def classic_sigma(epsilon: float, delta: float) -> float:
    """σ per unit of sensitivity by the classic bound √(2 ln(1.25/δ))/ε, proven for ε < 1 only.

    >>> round(classic_sigma(1.0, 1e-5), 3)
    4.845
    """
    return math.sqrt(2 * math.log(1.25 / delta)) / epsilon


def gaussian_reconstruction(prior: float, mu: float) -> float:
    """Bound the success of any attack on a μ-GDP release that succeeds ``prior`` without it.

    Φ(Φ⁻¹(κ) + μ), κ the chance of the best informed guess (Hayes et al., NeurIPS 2023; Kaissis et
    al., 2023).

    >>> round(gaussian_reconstruction(0.01, 2.0), 5)
    0.37208
    """
    return float(norm.cdf(norm.ppf(prior) + mu))


def pure_reconstruction(prior: float, epsilon: float) -> float:
    """Return the same for pure ε-DP: min(κ·exp ε, 1 − (1 − κ)·exp(−ε)).

    >>> pure_reconstruction(0.25, 0.0), pure_reconstruction(0.5, 1000.0)
    (0.25, 1.0)
    """
    guessed = prior * math.exp(min(epsilon, 700.0))
    return min(guessed, 1 - (1 - prior) * math.exp(-epsilon))


@dataclass(frozen=True)
class LowerBound:
    """What an experiment proves about ε.

    Attributes:
        epsilon: with the stated confidence ε is at least this, whatever the noise.
        epsilon_gaussian: the same if the scores are Gaussian of equal spread, which makes it sharp.
        ceiling: the most that so many trials could have shown without that assumption.
    """

    epsilon: float
    epsilon_gaussian: float
    ceiling: float


def lower_bound(first: Scores, second: Scores, delta: float, confidence: float) -> LowerBound:
    """ε from below, by telling two neighbouring inputs apart from their outputs.

    A threshold on the score is chosen on one half of the trials and judged on the other. Whoever
    guesses ``second`` above it is right at a rate t and wrong at a rate f, and ε ≥ ln((t − δ)/f);
    the rates are taken at their Clopper-Pearson limits. The first half also decides whether the
    guess is turned round.

    Args:
        first: ``(M,)`` scores of outputs on the first input.
        second: ``(M,)`` on its neighbour; higher where the score is a good one.
        delta: of the ε that is bounded.
        confidence: that ε is at least the bound.
    """
    half = len(first) // 2
    error = (1 - confidence) / 2
    threshold, flipped = _threshold(first[:half], second[:half], delta, error)
    first_rest, second_rest = first[half:], second[half:]
    rates = _rates(first_rest, second_rest, threshold, flipped)
    epsilon = float(_epsilon(*rates, len(first_rest), delta, error))
    trials = len(first_rest)
    mu = _gaussian_mu(first, second, confidence)
    return LowerBound(
        epsilon=epsilon,
        epsilon_gaussian=gaussian_epsilon(mu, delta) if delta else 0.0,
        ceiling=float(_epsilon(np.array(trials), np.array(0), trials, delta, error)),
    )


@cache
def one_run_epsilon(
    canaries: int, guesses: int, correct: int, delta: float, confidence: float
) -> float:
    """ε from below, by one run on canaries that each took part with probability one half.

    Whoever sees an (ε, δ) private result and says of some canaries whether they took part is right
    no more often than by answers of which each is right with probability e^ε / (1 + e^ε), δ apart
    (Steinke, Nasr and Jagielski, NeurIPS 2023, Theorem 5.2).

    >>> round(one_run_epsilon(1000, 100, 75, 0.0, 0.95), 3)
    0.702
    >>> one_run_epsilon(1000, 500, 260, 1e-5, 0.95)
    0.0

    Args:
        canaries: how many there were.
        guesses: of how many it was said; how many must not follow from what came out.
        correct: of these guesses.
        delta: of the ε that is bounded.
        confidence: that ε is at least the bound.
    """

    def refuted(epsilon: float) -> float:
        return (1 - confidence) - _one_run_p(canaries, guesses, correct, epsilon, delta)

    if refuted(0.0) <= 0:
        return 0.0
    highest = 1.0
    while refuted(highest) > 0:
        highest *= 2
    return float(brentq(refuted, 0.0, highest, xtol=1e-6))


def _one_run_p(canaries: int, guesses: int, correct: int, epsilon: float, delta: float) -> float:
    """Return how likely so many right guesses are at most, if the run is (ε, δ) private."""
    answers = binom(guesses, 1 / (1 + math.exp(-epsilon)))
    fewer = np.arange(1, correct + 1)
    # δ may have turned i wrong answers of any i that are missing into right ones
    helped = np.cumsum(answers.pmf(correct - fewer)) / fewer
    most = float(helped.max()) if correct else 0.0
    return min(1.0, float(answers.sf(correct - 1)) + 2 * canaries * delta * most)


@dataclass(frozen=True)
class OneRun:
    """What one run with canaries proves.

    Attributes:
        epsilon: with the stated confidence ε is at least this.
        ceiling: the most that so many canaries could have shown.
    """

    epsilon: float
    ceiling: float


GUESSED = (1.0, 0.5, 0.2, 0.1)
"""Shares of the canaries that are guessed at, the surest first; the best counts (Bonferroni)."""


def one_run_bound(
    scores: Scores, included: NDArray[np.bool_], delta: float, confidence: float
) -> OneRun:
    """ε from below, by the scores of canaries: high ones are said to have taken part, low ones not.

    Args:
        scores: ``(M,)``.
        included: ``(M,)`` who took part, drawn with probability one half each.
        delta: of the ε that is bounded.
        confidence: that ε is at least the bound.
    """
    order, count = np.argsort(scores, kind="stable"), len(scores)
    each = 1 - (1 - confidence) / len(GUESSED)
    found = OneRun(0.0, 0.0)
    for share in GUESSED:
        half = int(count * share) // 2
        if not half:
            continue
        correct = int(included[order[-half:]].sum() + (~included[order[:half]]).sum())
        found = OneRun(
            max(found.epsilon, one_run_epsilon(count, 2 * half, correct, delta, each)),
            max(found.ceiling, one_run_epsilon(count, 2 * half, 2 * half, delta, each)),
        )
    return found


def _threshold(first: Scores, second: Scores, delta: float, error: float) -> tuple[float, bool]:
    """Return the threshold, and the direction, that prove most on these trials."""
    places = np.unique(np.quantile(np.concatenate([first, second]), np.linspace(0, 1, 513)))
    best = (-math.inf, 0.0, False)
    for flipped in (False, True):
        found = _epsilon(*_rates(first, second, places, flipped), len(first), delta, error)
        at = int(np.argmax(found))
        best = max(best, (float(found[at]), float(places[at]), flipped))
    return best[1], best[2]


def _rates(
    first: Scores, second: Scores, thresholds: Scores | float, flipped: bool
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return how many guesses are right and how many wrong; flipped: below, and for ``first``."""
    below = [np.searchsorted(np.sort(scores), thresholds) for scores in (first, second)]
    if flipped:
        return below[0], below[1]
    return len(second) - below[1], len(first) - below[0]


def _epsilon(
    right: NDArray[np.int64], wrong: NDArray[np.int64], trials: int, delta: float, error: float
) -> Scores:
    """ln((t − δ)/f) at the pessimistic Clopper-Pearson limits, at least 0."""
    sure = np.where(right > 0, beta.ppf(error, np.maximum(right, 1), trials - right + 1), 0.0)
    false = np.where(
        wrong < trials, beta.ppf(1 - error, wrong + 1, np.maximum(trials - wrong, 1)), 1.0
    )
    found: Scores = np.log(np.maximum((sure - delta) / false, 1.0))
    return found


def _gaussian_mu(first: Scores, second: Scores, confidence: float) -> float:
    """Lower limit of the distance between two equally spread Gaussians, in their deviation."""
    spread = math.sqrt((first.var(ddof=1) + second.var(ddof=1)) / 2)
    if spread == 0:
        return 0.0
    mu = float(second.mean() - first.mean()) / spread
    deviation = math.sqrt(2 / len(first) + mu**2 / (4 * len(first)))
    return max(0.0, mu - float(norm.ppf(confidence)) * deviation)


def verdict(
    claimed: float, certified: float | None, audited: float | None
) -> tuple[PrivacyVerdict, str]:
    """Return what a claim is worth, and why, in one sentence.

    >>> verdict(0.1, 632.0, 7.9)[0], verdict(1.0, 1.0, 0.4)[0]
    ('OVER-CLAIMED', 'CONSISTENT')
    >>> verdict(1.0, 1.0, 1.5)[0], verdict(1.0, None, None)[0]
    ('VIOLATED', 'NOT-DP')

    Args:
        claimed: ε as it was stated.
        certified: ε that follows from the noise; None if none is finite.
        audited: ε that an experiment proves at least; None without an experiment.
    """
    if certified is None:
        return "NOT-DP", "no finite ε follows: the noise does not cover what two rows may differ by"
    proven = f"{audited:.3g}" if audited is not None else ""
    if audited is not None and audited > certified * (1 + TOLERANCE):
        return "VIOLATED", (
            f"re-running the mechanism proves ε ≥ {proven}, more than the {certified:.4g} that "
            "follows from its parameters: it does not do what it states"
        )
    if certified > claimed * (1 + TOLERANCE):
        refuted = audited is not None and audited > claimed
        measured = f"; re-running it alone proves ε ≥ {proven}" if refuted else ""
        return "OVER-CLAIMED", (
            f"ε = {claimed:g} is claimed, but the noise certifies no less than "
            f"ε = {certified:.4g}{measured}"
        )
    return "CONSISTENT", "the noise certifies the claimed ε, and nothing measured contradicts it"
