"""Curves of the record as small drawings: success against budget, and against where it is cut."""

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING

from auditor.report import Curve, Finding
from reports.content.wording import label, number
from reports.plots.drawing import (
    ACCENT,
    DRAWN,
    SOFT,
    Drawing,
    mark_chance,
    quarters,
    strip_frame,
    svg,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis

DET = "det"
RATES = {"roc": "true-positive rate", DET: "FNIR"}
"""Curves of one error rate against another, and what their vertical axis is called."""
TITLES = {"roc": "ROC curve", DET: "DET curve"}
LONGEST_AXIS = 40
"""As many characters of an axis's name fit below a drawing."""
FEW = 6
"""As many places on an axis may each have a tick, and be named one by one in words."""
SIZE = (3.6, 2.5)


def curve_plots(members: Sequence[tuple[str, Finding]], salt: str) -> list[Drawing]:
    """Return every curve of one attack, over all its scenarios.

    Args:
        members: (scenario, finding).
        salt: unique on the page.
    """
    shown = [(name, f, c) for name, f in members for c in f.curves if c.points]
    return [
        _drawing(
            scenario, finding, curve, f"{salt}-{place}", alone=len(members) < 2, drawn=place < DRAWN
        )
        for place, (scenario, finding, curve) in enumerate(shown)
    ]


def _drawing(
    scenario: str, finding: Finding, curve: Curve, salt: str, *, alone: bool, drawn: bool
) -> Drawing:
    unit = _unit(finding, curve)
    title = f"{label(curve.metric)} against {curve.x}"
    title = title[:1].upper() + title[1:]
    if curve.name in TITLES:
        title = f"{TITLES[curve.name]}: {title}"
    chance = next((m.chance for m in finding.measurements if m.metric == curve.metric), None)
    return Drawing(
        title=title,
        scenario="" if alone else scenario,
        statement=curve.statement,
        head=(curve.x, label(curve.metric), "95% interval"),
        rows=tuple(
            (f"{x:g}", number(value, unit), f"{number(low, unit)} to {number(high, unit)}")
            for x, value, low, high in curve.points
        ),
        svg=_draw(curve, unit, chance, salt, title, _describe(curve, unit)) if drawn else "",
    )


def _unit(finding: Finding, curve: Curve) -> str:
    """Return the vertical axis's unit: its measurement's, or else a rate if that fits."""
    units = [m.unit for m in finding.measurements if m.metric == curve.metric]
    inside = all(low >= 0 and high <= 1 for _, _, low, high in curve.points)
    return next(iter(units), "fraction" if inside else "ratio")


def _describe(curve: Curve, unit: str) -> str:
    """Return a few of the points in words; all of them are in the table."""
    step = max(1, -(-len(curve.points) // FEW))
    points = [*curve.points[::step]]
    if points[-1] != curve.points[-1]:
        points.append(curve.points[-1])
    return "; ".join(
        f"{x:g}: {number(value, unit)} ({number(low, unit)} to {number(high, unit)})"
        for x, value, low, high in points
    )


@lru_cache(maxsize=256)
def _draw(
    curve: Curve, unit: str, chance: float | None, salt: str, title: str, description: str
) -> str:
    log = curve.log_x and curve.points[-1][0] > 0
    points = [point for point in curve.points if point[0] > 0] if log else list(curve.points)
    xs, values, lows, highs = (list(column) for column in zip(*points, strict=True))

    def draw(axes: "Axes") -> None:
        strip_frame(axes)
        if log:
            axes.set_xscale("log")
        _place(axes.xaxis, xs, log=log)
        shown, least = values, lows
        if curve.name in RATES and log and max(values) > 0:
            floor = _rates(axes, xs, [v for v in values if v > 0], RATES[curve.name])
            # a rate of nothing has no place on a logarithmic axis; it is drawn on its edge
            shown, least = ([max(v, floor) for v in column] for column in (values, lows))
        elif unit == "fraction":
            axes.set_ylim(0, 1.04)
            axes.set_yticks(*quarters())
        if curve.name not in RATES:
            # named at the end where the curve is farther away
            left = chance is not None and abs(values[0] - chance) > abs(values[-1] - chance)
            mark_chance(axes, chance, xs[0] if left else xs[-1], "left" if left else "right")
        axes.fill_between(xs, least, highs, color=ACCENT, alpha=0.18, linewidth=0)
        marker = "o" if len(xs) <= FEW else ""
        axes.plot(xs, shown, marker=marker, color=ACCENT, markersize=5, clip_on=False)
        axes.set_xlabel("name0!", color=SOFT)

    return svg(
        draw, salt, [curve.x], SIZE, title=title, description=description, longest=LONGEST_AXIS
    )


def _rates(axes: "Axes", xs: Sequence[float], values: Sequence[float], name: str) -> float:
    """Both axes logarithmic: what counts is whom an attack finds at few false alarms.

    Returns:
        The lower edge of the vertical axis.
    """
    floor: float = 10 ** math.floor(math.log10(min(*xs, *values)))
    axes.set_yscale("log")
    for axis in (axes.xaxis, axes.yaxis):
        _place(axis, [floor] * (FEW + 1), log=True, shares=True)
    axes.set_ylim(floor, 1.1)
    if name != RATES[DET]:
        axes.plot(xs, xs, color=SOFT, linewidth=1, linestyle=(0, (3, 3)))
    axes.set_ylabel(name, color=SOFT)
    return floor


def _place(axis: "Axis", places: Sequence[float], *, log: bool, shares: bool = False) -> None:
    """One axis: a tick for each of a few points, powers of ten for many."""
    if log:
        from matplotlib.ticker import FuncFormatter, NullFormatter, NullLocator

        axis.set_minor_locator(NullLocator())
        axis.set_minor_formatter(NullFormatter())
        shown = (lambda x, _: f"{100 * x:g}%") if shares else (lambda x, _: f"{x:g}")
        axis.set_major_formatter(FuncFormatter(shown))
    if len(places) <= FEW:
        axis.set_ticks(list(places), [f"{x:g}" for x in places])
