"""95% interval of the difference between two measurements of the same people. Needs no torch.

They are compared person by person: weighing people at random, and taking both figures under the
same weights, leaves out what the two have in common (Rubin's Bayesian bootstrap, Annals of
Statistics 9, 1981). Where a figure knows no people, or the two know others, `unpaired_interval`
puts their intervals together instead. Identities that mean other people the second time do no harm:
their values are then unrelated, and the paired interval is as wide as an unpaired one.
"""

import numpy as np
from numpy.typing import NDArray

from auditor.report import BOUNDS, Measurement
from auditor.statistics.multiplicity import ALPHA

RESAMPLES = 4000
CELLS = 4_000_000
"""Numbers of a matrix of draws that are held at once."""

Interval = tuple[float, float]


def shared_people(old: Measurement, new: Measurement) -> int:
    """Return how many people both figures rest on.

    0 if these are not the same, or do not explain them.
    """
    if len(new.persons) < 2 or old.persons.keys() != new.persons.keys():
        return 0
    explained = (abs(_ratio(m) - m.value) < 1e-6 for m in (old, new))
    return len(new.persons) if all(explained) else 0


def _ratio(measurement: Measurement) -> float:
    sums = np.array(list(measurement.persons.values())).sum(0)
    return float(sums[0] / sums[1]) if sums[1] else float("nan")


def paired_interval(old: Measurement, new: Measurement) -> Interval:
    """Both figures over people who are weighed at random, as in the record.

    One more person, whom nobody has seen, changes as much as an image can. Where no person differs
    that leaves what is compatible with none among those seen.
    """
    table = np.array([[*old.persons[person], *new.persons[person]] for person in new.persons])
    least, most = BOUNDS[new.unit]
    if np.array_equal(table[:, :2], table[:, 2:]):
        spread = (most - least) * (1 - ALPHA ** (1 / len(table)))
        return -spread, spread
    before, after = ((images**2).sum() / images.sum() for images in (table[:, 1], table[:, 3]))
    better = [most * before, before, least * after, after]
    worse = [least * before, before, most * after, after]
    tail = 100 * ALPHA
    low = np.nanpercentile(_simulate(np.vstack([table, better])), tail)
    high = np.nanpercentile(_simulate(np.vstack([table, worse])), 100 - tail)
    return float(low), float(high)


def _simulate(table: NDArray[np.float64]) -> NDArray[np.float64]:
    """Differences of the ratios of ``table (people, 4)`` under exponential weights."""
    rows = max(1, CELLS // len(table))
    generator = np.random.default_rng(0)
    drawn = []
    for start in range(0, RESAMPLES, rows):
        size = (min(rows, RESAMPLES - start), len(table))
        sums = generator.standard_exponential(size) @ table
        with np.errstate(invalid="ignore", divide="ignore"):
            drawn.append(sums[:, 2] / sums[:, 3] - sums[:, 0] / sums[:, 1])
    return np.concatenate(drawn)
