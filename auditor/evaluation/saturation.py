"""What a budget curve says: would more of it leak more? Plain data, no torch."""

from dataclasses import replace

from auditor.report import Curve, Measurement


def complete_curve(part: Curve, whole: float, headline: Measurement) -> Curve | None:
    """Append the main run's figure to the curve of a part of the budget, and restate it.

    Args:
        part: the figures at fractions of the budget.
        whole: the whole budget, on the same axis.
        headline: the main run's figure.

    Returns:
        None if the figure is the same to the last bit at every fraction: it does not depend on it.
    """
    end = (headline.value, headline.low, headline.high)
    if not part.points or all(point[1:] == end for point in part.points):
        return None
    points = (*part.points, (whole, *end))
    return replace(part, points=points, statement=statement(part.x, points, headline))


def statement(
    x: str, points: tuple[tuple[float, float, float, float], ...], headline: Measurement
) -> str:
    """Return whether the budget is saturated, in one sentence, with the numbers it rests on.

    It is if the last step gained less than half the width of the headline's interval. Where no
    point differs from another by as much, there is no trend to speak of.
    """
    values = [point[1] for point in points]
    (before, *_), (after, *_) = points[-2:]
    gain, half = values[-1] - values[-2], (headline.high - headline.low) / 2
    step = f"from {before:g} to {after:g} {x}"
    within = f"the interval's half-width is {_amount(half, headline)}"
    if max(values) - min(values) < half:
        span = _amount(max(values) - min(values), headline)
        whole = f"from {points[0][0]:g} to {after:g} {x}"
        return f"no measurable trend: {whole} it moves by {span} at most; {within}"
    if abs(gain) < half:
        return f"saturated: {step} it moves by {_amount(gain, headline, sign='+')}; {within}"
    worse = (gain > 0) == (headline.worse == "higher")
    change = f"{step} it {'gains' if gain > 0 else 'loses'} {_amount(abs(gain), headline)}"
    if worse:
        return f"not saturated: {change}, so more would leak more; {within}"
    return f"past its best: {change}, so this attack is stronger with less; {within}"


def _amount(number: float, headline: Measurement, sign: str = "") -> str:
    if headline.unit == "fraction":
        return f"{100 * number:{sign}.1f} points"
    return f"{number:{sign}.3g}"
