"""95 % intervals of the difference between two measurements, after minus before. Needs no torch.

The same people seen twice are compared person by person: resampling people, and taking both figures
from the same draw, leaves out what the two have in common (Efron and Tibshirani, An Introduction to
the Bootstrap, 1993, chapter 8). Where a figure knows no people, or the two know others, their
intervals are put together instead (Zou and Donner, Statistics in Medicine 27, 2008), which is
wider. Identities that mean other people the second time do no harm: their values are then
unrelated, and the paired interval is as wide as an unpaired one.
"""

from functools import lru_cache

import numpy as np
from scipy.special import ndtr, stdtrit

from auditor.multiplicity import ALPHA
from auditor.report import Measurement

RESAMPLES = 4000
CELLS = 4_000_000
"""Numbers of a matrix of draws that are held at once."""

Interval = tuple[float, float]


def shared_people(old: Measurement, new: Measurement) -> int:
    """How many people both figures rest on; 0 if these are not the same, or do not explain them."""
    if len(new.persons) < 2 or old.persons.keys() != new.persons.keys():
        return 0
    explained = (abs(_ratio(m) - m.value) < 1e-6 for m in (old, new))
    return len(new.persons) if all(explained) else 0


def _ratio(measurement: Measurement) -> float:
    sums = np.array(list(measurement.persons.values())).sum(0)
    return float(sums[0] / sums[1]) if sums[1] else float("nan")


def paired(old: Measurement, new: Measurement) -> Interval:
    """Bootstrap over people, both figures from the same draw; percentiles as in the record.

    Where no person differs the bootstrap would say zero for sure. Then as many people may differ as
    are compatible with none among those seen.
    """
    table = np.array([[*old.persons[person], *new.persons[person]] for person in new.persons])
    n = len(table)
    if np.array_equal(table[:, :2], table[:, 2:]):
        unseen = 1 - ALPHA ** (1 / n) if new.unit == "fraction" else 0.0
        spread = unseen or max(new.high - new.low, old.high - old.low)
        return -spread, spread
    rows = max(1, CELLS // n)
    generator = np.random.default_rng(0)
    drawn = []
    for start in range(0, RESAMPLES, rows):
        size = min(rows, RESAMPLES - start)
        sums = generator.multinomial(n, np.full(n, 1 / n), size=size) @ table
        with np.errstate(invalid="ignore", divide="ignore"):
            drawn.append(sums[:, 2] / sums[:, 3] - sums[:, 0] / sums[:, 1])
    percent = _tail_percent(n)
    low, high = np.nanpercentile(np.concatenate(drawn), [percent, 100 - percent])
    return float(low), float(high)


@lru_cache
def _tail_percent(n: int) -> float:
    """A little less than 2.5: a bootstrap of few people is too narrow (Hesterberg 2015)."""
    quantile = stdtrit(n - 1, 1 - ALPHA) * np.sqrt(n / (n - 1))
    return float(100 * ndtr(-quantile))


def unpaired(old: Measurement, new: Measurement) -> Interval:
    """Square-and-add of the two intervals (MOVER)."""
    value = new.value - old.value
    low = np.hypot(new.value - new.low, old.high - old.value)
    high = np.hypot(new.high - new.value, old.value - old.low)
    return float(value - low), float(value + high)
