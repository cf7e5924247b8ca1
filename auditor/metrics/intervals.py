"""95 % intervals over identities: images of one person are not independent.

Rates of images clustered by person get a Clopper–Pearson interval at the effective sample size
(Korn and Graubard, Survey Methodology 24, 1998); everything else a bootstrap over persons.
"""

import warnings
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from scipy import stats

if TYPE_CHECKING:
    from torch import Tensor

CONFIDENCE = 0.95
RESAMPLES = 1000

Array = NDArray[np.float64]
Persons = dict[str, tuple[float, float]]


def by_person(values: "Tensor", pids: "Tensor") -> Persons:
    """Sum and count of image values ``(N,)`` for each person, in the order of pids."""
    unique, inverse = pids.unique(return_inverse=True)
    sums = values.double().new_zeros(len(unique))
    sums.index_add_(0, inverse, values.double())
    counts = inverse.bincount(minlength=len(unique))
    rows = zip(unique.tolist(), sums.tolist(), counts.tolist(), strict=True)
    return {str(pid): (total, float(count)) for pid, total, count in rows}


def proportion(successes: float, n: float, confidence: float = CONFIDENCE) -> tuple[float, float]:
    """Clopper–Pearson interval, also for a non-integer effective sample size.

    >>> [round(end, 4) for end in proportion(0, 750)]
    [0.0, 0.0049]
    """
    tail = (1 - confidence) / 2
    low = stats.beta.ppf(tail, successes, n - successes + 1) if successes > 0 else 0.0
    high = stats.beta.ppf(1 - tail, successes + 1, n - successes) if successes < n else 1.0
    return float(low), float(high)


def rate_interval(persons: Mapping[str, tuple[float, float]]) -> tuple[float, float]:
    """Interval of a rate over images clustered by person (Korn–Graubard).

    Where all images agree the variance says nothing, and each person counts as one sample.
    """
    table = np.array(list(persons.values()))
    sums, counts = table[:, 0], table[:, 1]
    n, images = len(table), counts.sum()
    rate = sums.sum() / images
    if n < 2 or rate in (0.0, 1.0):
        return proportion(rate * n, n)
    residual = (sums - rate * counts) / images
    variance = n / (n - 1) * float((residual**2).sum())
    effective = images if variance == 0 else rate * (1 - rate) / variance
    effective = min(effective, images)
    # few persons make the variance itself uncertain: the survey literature's t correction
    effective *= (stats.norm.ppf(0.975) / stats.t.ppf(0.975, n - 1)) ** 2
    return proportion(rate * effective, effective)


def mean_interval(persons: Mapping[str, tuple[float, float]]) -> tuple[float, float]:
    """Bootstrap interval of a mean over images clustered by person."""
    table = np.array(list(persons.values()))
    return bootstrap(table, lambda sums: sums[..., 0] / sums[..., 1])


def bootstrap(
    table: Array, statistic: Callable[[Array], Array], resamples: int = RESAMPLES
) -> tuple[float, float]:
    """Percentile interval of a statistic of column sums, resampling rows (persons).

    Args:
        table: ``(num_persons, columns)`` per-person sums.
        statistic: column sums ``(..., columns)`` to values ``(...)``; may return NaN where a
            resample leaves it undefined (those resamples are dropped).
        resamples: how many.

    Returns:
        The interval; the point estimate twice where there is one person only.
    """
    if len(table) < 2:
        value = float(statistic(table.sum(0)))
        return value, value
    return resample(len(table), lambda rows: statistic(table[rows].sum(axis=-2)), resamples)


def resample(
    persons: int, statistic: Callable[[NDArray[np.int64]], Array], resamples: int = RESAMPLES
) -> tuple[float, float]:
    """Percentile interval of ``statistic``, which takes resampled rows ``(…, persons)``.

    The percentiles lie a little farther out than 2.5 and 97.5, because a bootstrap of few people is
    too narrow (the expanded percentile interval of Hesterberg, The American Statistician 69, 2015).
    """
    with warnings.catch_warnings():
        # a statistic that is undefined in a few resamples is summarised over the others
        warnings.simplefilter("ignore", stats.DegenerateDataWarning)
        drawn = stats.bootstrap(
            (np.arange(persons),),
            lambda rows, axis: statistic(rows),
            n_resamples=resamples,
            batch=100,
            method="percentile",
            rng=np.random.default_rng(0),
        ).bootstrap_distribution
    quantile = stats.t.ppf((1 + CONFIDENCE) / 2, persons - 1) * np.sqrt(persons / (persons - 1))
    tail = 100 * stats.norm.cdf(-quantile)
    low, high = np.nanpercentile(drawn, [tail, 100 - tail])
    return float(low), float(high)


def multiplicity(rows: NDArray[np.int64]) -> Array:
    """How often each person was drawn, ``(…, persons)``, from drawn ``rows (…, persons)``.

    >>> multiplicity(np.array([[0, 2, 2], [1, 1, 1]])).tolist()
    [[1.0, 0.0, 2.0], [0.0, 3.0, 0.0]]
    """
    persons = rows.shape[-1]
    draws = rows.reshape(-1, persons)
    cells = draws + persons * np.arange(len(draws))[:, None]
    counts = np.bincount(cells.ravel(), minlength=draws.size).astype(np.float64)
    return counts.reshape(rows.shape)
