"""The inner loop of `counting`, for numba, which is optional: imported where it is installed."""

import numba
import numpy as np
from numpy import ndarray


@numba.njit(nogil=True, cache=True)
def count(
    scores: ndarray,
    width: int,
    limits: ndarray,
    counts: ndarray,
    above: ndarray,
    at_least: ndarray,
) -> None:
    """Fill ``above`` and ``at_least (B, P)`` for the first ``counts`` limits of each row.

    Only the first ``width`` columns of ``scores`` are looked at.
    """
    # 32-bit counters: the loop runs in vectors as wide as those of the scores
    none, one = np.int32(0), np.int32(1)
    for row in range(len(scores)):
        for place in range(counts[row]):
            limit = limits[row, place]
            higher = equal = none
            for column in range(width):
                score = scores[row, column]
                higher += one if score > limit else none
                equal += one if score == limit else none
            above[row, place] = higher
            at_least[row, place] = higher + equal
