"""How well a score tells members from others: ROC points, the area below them, TPR at a low FPR.

Points take weights, so that a resampling of people is how often each of them counts. Equal scores
are one threshold: whoever accepts one of them accepts all.
"""

import numpy as np
from numpy.typing import NDArray
from scipy import optimize, stats

from auditor.errors import DataError
from auditor.statistics.intervals import CONFIDENCE

Array = NDArray[np.float64]
Flags = NDArray[np.bool_]


def points(scores: Array, member: Flags, weights: Array | None = None) -> tuple[Array, Array]:
    """Return false and true positive rates ``(…, T + 1)`` of "score ≥ t", from (0, 0) to (1, 1).

    Args:
        scores: ``(N,)``; higher means more likely a member.
        member: ``(N,)``.
        weights: ``(…, N)`` how often each counts; once by default.

    Returns:
        One point per distinct score, behind the origin. NaN where either side weighs nothing.

    Raises:
        DataError: if a score is not finite, or one side is empty.
    """
    if not np.isfinite(scores).all():
        raise DataError("membership scores contain NaN or infinity; they cannot be ranked")
    if member.all() or not member.any():
        raise DataError("a ROC compares members with others, and one of the two is missing")
    order = np.argsort(-scores, kind="stable")
    last = np.append(np.flatnonzero(np.diff(scores[order])), len(scores) - 1)
    weighed = np.ones(len(scores)) if weights is None else weights
    weighed, inside = weighed[..., order], member[order]
    return _rates(weighed * ~inside, last), _rates(weighed * inside, last)


def _rates(weights: Array, last: NDArray[np.int64]) -> Array:
    """Cumulative share ``(…, T + 1)`` of ``weights (…, N)`` up to the end of each tie."""
    sums = weights.cumsum(-1)
    with np.errstate(invalid="ignore"):
        shares = sums[..., last] / sums[..., -1:]
    return np.concatenate([shares[..., :1] * 0, shares], axis=-1)


def auc(fpr: Array, tpr: Array) -> Array:
    """Area ``(…)`` below `points`: P(member > other) + ½ P(equal), the Mann–Whitney statistic."""
    return np.asarray(np.trapezoid(tpr, fpr, axis=-1))


def tpr_at_fpr(fpr: Array, tpr: Array, limit: float) -> Array:
    """Return the largest TPR ``(…)`` of a threshold whose FPR is at most ``limit``.

    Nothing is interpolated: where the best scores are tied among both sides, it is 0.
    """
    found = np.where(fpr <= limit, tpr, 0).max(-1)
    return np.asarray(np.where(np.isnan(fpr[..., -1]), np.nan, found))


def auc_interval(
    value: float, members: int, others: int, confidence: float = CONFIDENCE
) -> tuple[float, float]:
    """Newcombe's interval of an AUC (Statistics in Medicine 25, 2006, part 2, method 5).

    It inverts Hanley and McNeil's variance at the candidate value, so that unlike a bootstrap it
    has a width where the two sides do not overlap at all.

    >>> [round(end, 3) for end in auc_interval(1.0, 24, 24)]
    [0.916, 1.0]
    """
    z2 = float(stats.norm.ppf((1 + confidence) / 2)) ** 2
    rest = (members + others) / 2 - 1

    def gap(at: float) -> float:
        spread = 1 + rest * ((1 - at) / (2 - at) + at / (1 + at))
        return (value - at) ** 2 - z2 * at * (1 - at) * spread / (members * others)

    tiny = 1e-9
    low = optimize.brentq(gap, 0, min(value, 1 - tiny)) if value > tiny else 0.0
    high = optimize.brentq(gap, max(value, tiny), 1) if value < 1 - tiny else 1.0
    return float(low), float(high)
