"""95% interval of the difference between two measurements of different people. Plain Python."""

import math

from auditor.report import Measurement


def unpaired_interval(old: Measurement, new: Measurement) -> tuple[float, float]:
    """Return the square-and-add interval of ``new`` minus ``old`` (MOVER).

    Source: Zou and Donner, Statistics in Medicine 27, 2008. For the same people, whose figures move
    together, it is wider than needed.
    """
    value = new.value - old.value
    low = math.hypot(new.value - new.low, old.high - old.value)
    high = math.hypot(new.high - new.value, old.value - old.low)
    return value - low, value + high
