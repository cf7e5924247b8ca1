"""Several claims at once: Holm's step-down, and evidence read off a 95% interval. Plain Python.

Whoever asks twenty questions at 2.5% is told one falsehood every other time. Holm (Scandinavian
Journal of Statistics 6, 1979) keeps the chance of *any* false claim at the level of one.
"""

import math
from collections.abc import Sequence

ALPHA = 0.025
"""One side of a 95% interval."""


def holm(p_values: Sequence[float]) -> list[float]:
    """Adjust p-values, in the order given: a claim stands if its own is at most the level.

    >>> [round(p, 3) for p in holm([0.01, 0.04, 0.03, 0.005])]
    [0.03, 0.06, 0.06, 0.02]
    """
    order = sorted(range(len(p_values)), key=lambda position: p_values[position])
    adjusted, highest = [1.0] * len(order), 0.0
    for rank, position in enumerate(order):
        highest = max(highest, min(1.0, (len(order) - rank) * p_values[position]))
        adjusted[position] = highest
    return adjusted


def tail(margin: float, reach: float) -> float:
    """Return the one-sided p-value of a limit ``margin`` away where the interval reaches ``reach``.

    ``ALPHA ** (margin / reach)``, for a claim that stands alone (``margin >= reach``). That is
    exact for no success among n, the figure of a system that leaks nothing, and larger than the
    normal approximation beyond the interval's end; at the end itself it is `ALPHA`.

    >>> tail(0.2, 0.1), tail(0.1, 0.1), tail(0.1, 0.0)
    (0.0006250000000000001, 0.025, 0.0)
    """
    return ALPHA ** max(1.0, margin / reach) if reach > 0 else 0.0


def widen(reach: float, tries: int) -> float:
    """Return how far a side that reaches ``reach`` goes once the largest of ``tries`` was picked.

    The same tail at level ``ALPHA / tries`` (Bonferroni).

    >>> widen(0.1, 1), round(widen(0.1, 3), 3)
    (0.1, 0.13)
    """
    return reach * (1 + math.log(tries) / -math.log(ALPHA))
