"""From image values to a `Measurement`: value, interval and sample size always together."""

from collections.abc import Callable
from typing import Any

import numpy as np
from torch import Tensor

from auditor.metrics import intervals
from auditor.report import Measurement


def rate(
    metric: str, hits: Tensor, pids: Tensor, *, chance: float | None = None, note: str = ""
) -> Measurement:
    """The rate of ``hits (N,)`` in [0, 1] over images of people ``pids (N,)``; higher is worse."""
    return _over_images(
        metric, hits, pids, intervals.rate_interval, chance=chance, worse="higher", note=note
    )


def mean(
    metric: str,
    values: Tensor,
    pids: Tensor,
    *,
    chance: float | None = None,
    worse: str = "higher",
    unit: str = "fraction",
    note: str = "",
) -> Measurement:
    """The mean of image values ``(N,)`` with a bootstrap interval over people ``pids (N,)``."""
    interval = intervals.mean_interval
    return _over_images(
        metric, values, pids, interval, chance=chance, worse=worse, unit=unit, note=note
    )


def _over_images(
    metric: str,
    values: Tensor,
    pids: Tensor,
    interval: Callable[[intervals.Persons], tuple[float, float]],
    **fields: Any,
) -> Measurement:
    persons = intervals.by_person(values, pids)
    value = float(values.double().mean())
    low, high = interval(persons)
    # a percentile interval of a skewed sample may miss its own mean
    low, high = min(low, value), max(high, value)
    return Measurement(
        metric=metric, value=value, n=len(persons), low=low, high=high, persons=persons, **fields
    )


def statistic(
    metric: str,
    table: np.ndarray,
    formula: Callable[[np.ndarray], np.ndarray],
    *,
    chance: float | None = None,
    note: str = "",
) -> Measurement:
    """A function of sums over people, ``table (num_persons, columns)``; higher is worse."""
    low, high = intervals.bootstrap(table, formula)
    value = float(formula(table.sum(0)))
    return Measurement(
        metric=metric,
        value=value,
        n=len(table),
        low=min(low, value),
        high=max(high, value),
        chance=chance,
        note=note,
    )


def reweighted(
    metric: str,
    persons: int,
    formula: Callable[[np.ndarray], np.ndarray],
    *,
    chance: float | None = None,
    note: str = "",
) -> Measurement:
    """A function of how often each of ``persons`` counts ``(…, persons)``; higher is worse."""
    value = float(formula(np.ones(persons)))
    low = high = value
    if persons > 1:
        low, high = intervals.resample(persons, lambda rows: formula(intervals.multiplicity(rows)))
    return Measurement(
        metric=metric,
        value=value,
        n=persons,
        low=min(low, value),
        high=max(high, value),
        chance=chance,
        note=note,
    )
