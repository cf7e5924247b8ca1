"""From image values to a `Measurement`: value, interval and sample size always together."""

from collections.abc import Callable

import numpy as np
from torch import Tensor

from auditor.metrics import intervals
from auditor.report import Measurement


def rate(
    metric: str, hits: Tensor, pids: Tensor, *, chance: float | None = None, note: str = ""
) -> Measurement:
    """The rate of ``hits (N,)`` in {0, 1} over images of people ``pids (N,)``; higher is worse."""
    persons = intervals.by_person(hits, pids)
    low, high = intervals.rate_interval(persons)
    value = float(hits.double().mean())
    return Measurement(
        metric=metric,
        value=value,
        n=len(persons),
        low=min(low, value),
        high=max(high, value),
        chance=chance,
        persons=persons,
        note=note,
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
    persons = intervals.by_person(values, pids)
    low, high = intervals.mean_interval(persons)
    value = float(values.double().mean())
    return Measurement(
        metric=metric,
        value=value,
        n=len(persons),
        low=min(low, value),
        high=max(high, value),
        chance=chance,
        worse=worse,  # type: ignore[arg-type]
        unit=unit,  # type: ignore[arg-type]
        persons=persons,
        note=note,
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
