"""95% intervals over identities: images of one person are not independent.

Every interval asks what one more person, whom nobody has seen, could change. People are weighed by
exponential draws (the Bayesian bootstrap of Rubin, Annals of Statistics 9, 1981), the unseen one
among them, and that one is the worst possible for the upper end and the best possible for the
lower end. For a mean over people this is the bound of Gaffke (Mathematical Methods of Statistics
14, 2005; Learned-Miller and Thomas, arXiv 1905.06208), which needs no assumption on how people
differ but that values are bounded. Where a person's images agree it is Clopper and Pearson's
interval of the people, so nothing found among n people leaves the rule of three; where they do
not it narrows with their spread; and one hit more never lowers either end.
"""

from collections.abc import Callable, Mapping
from functools import lru_cache, partial
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from scipy import optimize, stats

if TYPE_CHECKING:
    from torch import Tensor

CONFIDENCE = 0.95
DRAWS, FEWER_DRAWS, BLOCK = 4000, 1000, 100
STEP, REACH = 0.05, 12.0
"""Grid of the contour integral in `exceeds`: relative error below 1e-3 up to 5,000 people."""

Array = NDArray[np.float64]
Persons = Mapping[str, tuple[float, float]]
Interval = tuple[float, float]


def by_person(values: "Tensor", pids: "Tensor") -> dict[str, tuple[float, float]]:
    """Sum and count of image values ``(N,)`` for each person, in the order of pids."""
    unique, inverse = pids.unique(return_inverse=True)
    sums = values.double().new_zeros(len(unique))
    sums.index_add_(0, inverse, values.double())
    counts = inverse.bincount(minlength=len(unique))
    rows = zip(unique.tolist(), sums.tolist(), counts.tolist(), strict=True)
    return {str(pid): (total, float(count)) for pid, total, count in rows}


def proportion(successes: float, n: float, confidence: float = CONFIDENCE) -> Interval:
    """Clopper–Pearson interval, also for a non-integer effective sample size.

    >>> [round(end, 4) for end in proportion(0, 750)]
    [0.0, 0.0049]
    """
    tail = (1 - confidence) / 2
    low = stats.beta.ppf(tail, successes, n - successes + 1) if successes > 0 else 0.0
    high = stats.beta.ppf(1 - tail, successes + 1, n - successes) if successes < n else 1.0
    return float(low), float(high)


def rate_interval(
    persons: Persons, bounds: Interval = (0.0, 1.0), confidence: float = CONFIDENCE
) -> Interval:
    """Interval of a mean over images clustered by person.

    Args:
        persons: identity -> (sum of its images' values, number of images).
        bounds: between which every value lies; what was seen beyond them widens them.
        confidence: of both sides together.

    >>> [round(end, 4) for end in rate_interval({"ann": (3, 3), "bob": (0, 3), "eve": (0, 3)})]
    [0.0084, 0.9057]
    """
    table = np.array([row for row in persons.values() if row[1] > 0])
    sums, counts = table.T
    means = sums / counts
    low, high = min(bounds[0], means.min()), max(bounds[1], means.max())
    tail = (1 - confidence) / 2
    return -_upper_end(-sums, counts, -low, tail), _upper_end(sums, counts, high, tail)


def _upper_end(sums: Array, counts: Array, most: float, tail: float) -> float:
    """Return what the weighted mean exceeds with chance ``tail``, an unseen person at ``most``."""
    if (sums >= most * counts).all():
        return most
    size = unseen_images(counts)
    rows, alike = np.unique(np.stack([sums, counts]), axis=1, return_counts=True)
    sums, counts = np.append(rows, [[most * size], [size]], axis=1)
    people = np.append(alike.astype(np.float64), 1.0)

    def too_low(end: float) -> float:
        return float(exceeds(sums - end * counts, people)) - tail

    return float(optimize.brentq(too_low, (sums / counts).min(), most, xtol=1e-8))


def unseen_images(counts: Array) -> float:
    """Return how many images the unseen person has: as many as the owner of the average image."""
    return float((counts**2).sum() / max(counts.sum(), 1e-12))


def exceeds(gains: Array, people: Array) -> Array:
    """Return the chance ``(…)`` that ``gains (…, K)``, weighed by gamma draws, sum to more than 0.

    With exponential weights E the mean Σ E·sum / Σ E·count is above t exactly if
    Σ E·(sum − t·count) > 0, so that a ratio needs no simulation. Its chance is the integral of the
    moment generating function along the vertical line through the saddle point.

    Args:
        gains: sum − t·count of each kind of person.
        people: ``(…, K)`` how many there are of each kind, which is the shape of their gamma draw.
    """
    largest = np.where(people > 0, gains, -np.inf).max(-1, keepdims=True)
    smallest = np.where(people > 0, gains, np.inf).min(-1, keepdims=True)
    some = (largest > 0) & (smallest < 0)
    lam = np.where(some, gains, 1.0) / np.where(some, largest, 1.0)
    lam = np.where(people > 0, lam, 0.0)
    low, high = np.zeros_like(largest), np.ones_like(largest)
    for _ in range(16):
        saddle = (low + high) / 2
        beyond = (people * lam / (1 - lam * saddle)).sum(-1, keepdims=True) > 1 / saddle
        low, high = np.where(beyond, low, saddle), np.where(beyond, saddle, high)
    left = 1 - lam * saddle
    slope = lam / left
    width = 1 / np.sqrt((people * slope**2).sum(-1, keepdims=True) + saddle**-2)
    grid = np.arange(STEP / 2, REACH, STEP)
    along = width * np.sinh(grid)
    steps = slope[..., None] * along[..., None, :]
    size = -np.einsum("...k,...kg->...g", people, np.log1p(steps**2)) / 2
    size -= np.log1p((along / saddle) ** 2) / 2
    angle = np.einsum("...k,...kg->...g", people, np.arctan(steps)) - np.arctan(along / saddle)
    peak = -(people * np.log(left)).sum(-1, keepdims=True) - np.log(saddle)
    chance = (np.exp(peak + size) * np.cos(angle) * width * np.cosh(grid)).sum(-1) * STEP / np.pi
    return np.asarray(np.where(some[..., 0], chance, largest[..., 0] > 0), dtype=np.float64)


def bootstrap(
    table: Array, statistic: Callable[[Array], Array], lowest: Array, highest: Array
) -> Interval:
    """Interval of a statistic of column sums over people who are weighed at random.

    Args:
        table: ``(P, columns)`` per-person sums.
        statistic: column sums ``(…, columns)`` to values ``(…)``; may return NaN where weights
            leave it undefined (those are left out).
        lowest: ``(U, columns)`` the unseen people who would lower it most.
        highest: ``(U, columns)`` those who would raise it most.
    """
    drawn = [
        simulate(len(rows), partial(_of_sums, statistic, rows))
        for rows in (np.vstack([table, lowest]), np.vstack([table, highest]))
    ]
    return low_end(drawn[0]), high_end(drawn[1])


def _of_sums(statistic: Callable[[Array], Array], rows: Array, weights: Array) -> Array:
    return statistic(weights @ rows)


def resample(people: int, statistic: Callable[[Array], Array]) -> Interval:
    """Percentiles of ``statistic``, which takes how much each person weighs ``(…, people)``.

    It knows nobody unseen, so a few people who agree have no spread: for what has a floor of its
    own. The percentiles lie a little farther out than 2.5 and 97.5, because weights of few people
    spread too little (the expanded interval of Hesterberg, The American Statistician 69, 2015).
    """
    drawn = simulate(people, statistic, FEWER_DRAWS)
    reach = stats.t.ppf((1 + CONFIDENCE) / 2, people - 1) * np.sqrt((people + 1) / (people - 1))
    tail = float(stats.norm.cdf(-reach))
    return low_end(drawn, tail), high_end(drawn, tail)


def simulate(people: int, statistic: Callable[[Array], Array], draws: int = DRAWS) -> Array:
    """Return values ``(draws, …)`` of ``statistic`` for exponential weights ``(…, people)``.

    The weights depend on the number of people alone.
    """
    blocks = _weights(people)[:draws].reshape(-1, BLOCK, people)
    return np.concatenate([statistic(block.astype(np.float64)) for block in blocks])


@lru_cache(maxsize=2)
def _weights(people: int) -> NDArray[np.float32]:
    """Return ``(DRAWS, people)``, kept because many figures are about the same people."""
    return np.random.default_rng(0).standard_exponential((DRAWS, people), dtype=np.float32)


def low_end(drawn: Array, tail: float = (1 - CONFIDENCE) / 2) -> float:
    """Return the ``tail`` quantile of the resampled values; undefined ones are left out."""
    return float(np.nanpercentile(drawn, 100 * tail))


def high_end(drawn: Array, tail: float = (1 - CONFIDENCE) / 2) -> float:
    """Return the ``1 − tail`` quantile of the resampled values; undefined ones are left out."""
    return float(np.nanpercentile(drawn, 100 * (1 - tail)))
