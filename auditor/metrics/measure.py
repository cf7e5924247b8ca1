"""From image values to a `Measurement`: value, interval and sample size always together."""

from collections.abc import Callable
from typing import Literal

import numpy as np
from torch import Tensor

from auditor.metrics.auc import Areas
from auditor.report import BOUNDS, Measurement
from auditor.statistics import intervals

Worse = Literal["higher", "lower"]
Unit = Literal["fraction", "dB", "distance", "ratio"]


def rate(
    metric: str, hits: Tensor, pids: Tensor, *, chance: float | None = None, note: str = ""
) -> Measurement:
    """Return the rate of ``hits (N,)`` in [0, 1] over images of people ``pids (N,)``.

    Higher is worse.
    """
    return mean(metric, hits, pids, chance=chance, note=note)


def mean(
    metric: str,
    values: Tensor,
    pids: Tensor,
    *,
    chance: float | None = None,
    worse: Worse = "higher",
    unit: Unit = "fraction",
    note: str = "",
) -> Measurement:
    """Return the mean of image values ``(N,)`` with its interval over people ``pids (N,)``."""
    persons = intervals.by_person(values, pids)
    value = float(values.double().mean())
    low, high = intervals.rate_interval(persons, BOUNDS[unit])
    return Measurement(
        metric=metric,
        value=value,
        n=len(persons),
        # rounding may leave a value without spread just outside
        low=min(low, value),
        high=max(high, value),
        chance=chance,
        worse=worse,
        unit=unit,
        persons=persons,
        note=note,
    )


def statistic(
    metric: str,
    table: np.ndarray,
    formula: Callable[[np.ndarray], np.ndarray],
    unseen: tuple[np.ndarray, np.ndarray],
    *,
    chance: float | None = None,
    note: str = "",
) -> Measurement:
    """Return a function of sums over people, ``table (num_persons, columns)``; higher is worse.

    Args:
        metric: its name.
        table: one row per person.
        formula: column sums ``(…, columns)`` to values ``(…)``.
        unseen: rows of the people who would lower it most, and of those who would raise it most.
        chance: see `Measurement`, likewise the note.
        note: one sentence.
    """
    value = float(formula(table.sum(0)))
    ends = intervals.bootstrap(table, formula, *unseen)
    return _around(metric, value, len(table), ends, chance, note)


def area(metric: str, areas: Areas, *, chance: float, note: str = "") -> Measurement:
    """Return an area under the ROC curve, over people; higher is worse."""
    value, unseen = float(areas(np.ones(areas.people))), areas.classes
    return weighed(metric, areas.ends, areas.people, unseen, value=value, chance=chance, note=note)


def weighed(
    metric: str,
    ends: Callable[[np.ndarray], np.ndarray],
    people: int,
    unseen: int = 1,
    *,
    value: float,
    chance: float,
    note: str = "",
) -> Measurement:
    """Return a figure that is no function of sums over people; higher is worse.

    Args:
        metric: its name.
        ends: from how much people weigh, ``(…, people + unseen)`` with the unseen last, to the
            least and the largest value ``(…, 2)`` with those.
        people: of whom the figure is.
        unseen: how many more are imagined.
        value: of these people alone.
        chance: see `Measurement`, likewise the note.
        note: one sentence.
    """
    drawn = intervals.simulate(people + unseen, ends, intervals.FEWER_DRAWS)
    found = intervals.low_end(drawn[..., 0]), intervals.high_end(drawn[..., 1])
    return _around(metric, value, people, found, chance, note)


def _around(
    metric: str,
    value: float,
    people: int,
    ends: tuple[float, float],
    chance: float | None,
    note: str,
) -> Measurement:
    # percentiles of a skewed statistic may miss its own value
    low, high = min(ends[0], value), max(ends[1], value)
    return Measurement(
        metric=metric, value=value, n=people, low=low, high=high, chance=chance, note=note
    )
