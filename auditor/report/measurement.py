"""One figure with its interval, and how it grows with an adversary's budget."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal


@dataclass(frozen=True, kw_only=True)
class Measurement:
    """One number with everything needed to judge it.

    Attributes:
        metric: name within its finding, such as ``top1`` or ``gender.balanced_accuracy``.
        value: in ``unit``; rates are fractions.
        n: independent samples, which are identities, never images.
        low: lower end of the 95% interval over identities.
        high: upper end of the 95% interval over identities.
        chance: what an adversary without access reaches; None where the question has no answer.
        worse: the direction in which privacy (or utility) gets worse.
        unit: ``fraction``, ``dB``, ``distance``, ``ratio``, or ``people`` for a count of them.
        persons: pseudonym -> (sum of its images' values, number of images); the value is the ratio
            of the sums where the metric is a mean over images. It feeds paired comparisons.
        note: one sentence on how to read the number, if it needs one.

    Raises:
        ValueError: for a non-finite number (what could not be measured is left out, never NaN), or
            a value outside its own interval.
    """

    metric: str
    value: float
    n: int
    low: float
    high: float
    chance: float | None = None
    worse: Literal["higher", "lower"] = "higher"
    unit: Literal["fraction", "dB", "distance", "ratio", "people"] = "fraction"
    persons: Mapping[str, tuple[float, float]] = field(default_factory=dict, repr=False)
    note: str = ""

    def __post_init__(self) -> None:
        numbers = [self.value, self.low, self.high, 0.0 if self.chance is None else self.chance]
        if not all(map(math.isfinite, numbers)):
            raise ValueError(f"measurement {self.metric!r} contains a non-finite number: {numbers}")
        if not self.low <= self.value <= self.high:
            raise ValueError(f"measurement {self.metric!r} lies outside its interval: {numbers}")

    @property
    def pessimistic(self) -> float:
        """The end of the interval a careful reader would quote."""
        return self.high if self.worse == "higher" else self.low

    @property
    def optimistic(self) -> float:
        """The other end: the least that was shown."""
        return self.low if self.worse == "higher" else self.high

    def at(self, x: float) -> tuple[float, float, float, float]:
        """Return the point ``(x, value, low, high)`` of a curve that this was measured at."""
        return float(x), self.value, self.low, self.high


BOUNDS: Mapping[str, tuple[float, float]] = {
    "fraction": (0.0, 1.0),
    "ratio": (-1.0, 1.0),
    "distance": (0.0, 1.0),
    "dB": (0.0, 60.0),
}
"""Unit -> between which values an image that nobody has seen may lie.

Ratios of images are cosines and the like; beyond 60 dB two pictures of 8 bits are the same.
"""


@dataclass(frozen=True, kw_only=True)
class Curve:
    """A figure against what it cost, or against where it was cut.

    Attributes:
        name: unique within its finding, such as ``auxiliary_people``, ``queries`` or ``roc``.
        metric: the figure on the vertical axis; a measurement's metric where there is one.
        x: what the horizontal axis shows, with its unit, in words.
        points: ``(x, value, low, high)`` in ascending x, with 95% intervals over people.
        log_x: whether the horizontal axis is logarithmic.
        statement: what the curve says, in one sentence (whether it is saturated, for one).

    Raises:
        ValueError: for a non-finite number, or points that do not ascend.
    """

    name: str
    metric: str
    x: str
    points: tuple[tuple[float, float, float, float], ...]
    log_x: bool = False
    statement: str = ""

    def __post_init__(self) -> None:
        if not all(math.isfinite(number) for point in self.points for number in point):
            raise ValueError(f"curve {self.name!r} contains a non-finite number")
        places = [point[0] for point in self.points]
        if places != sorted(places):
            raise ValueError(f"curve {self.name!r} does not ascend in x")
