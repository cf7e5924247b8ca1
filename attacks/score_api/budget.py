"""Figures against the number of queries they cost."""

from collections.abc import Sequence

from auditor.report import Curve, Measurement

POINTS = 4
"""A curve measures the whole budget, half of it, a quarter, and so on."""


def halvings(whole: int) -> list[int]:
    """Return ``whole`` halved again and again, ascending.

    >>> halvings(512), halvings(3)
    ([64, 128, 256, 512], [1, 3])
    """
    return sorted({whole >> times for times in range(POINTS)} - {0})


def budget_curve(name: str, figures: Sequence[tuple[int, Measurement]]) -> Curve:
    """Return one figure measured after several numbers of queries, in ascending order."""
    return Curve(
        name=name,
        metric=figures[-1][1].metric,
        x="pictures submitted against each entry",
        points=tuple(found.at(queries) for queries, found in figures),
        log_x=True,
    )
