"""Curves of the record as small drawings: success against budget, and against where it is cut."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from auditor.report import Curve, Finding
from reports.drawing import ACCENT, SOFT, mark_chance, plain, quarters, svg
from reports.wording import label, number

if TYPE_CHECKING:
    from matplotlib.axes import Axes

ROC = "roc"
FEW = 6
"""As many places on an axis may each have a tick, and be named one by one in words."""
SIZE = (3.6, 2.5)


@dataclass(frozen=True, kw_only=True)
class CurvePlot:
    """One curve as it is shown.

    Attributes:
        title: what is drawn against what.
        scenario: where it was measured.
        statement: what it says.
        description: its points in words, for who cannot see it.
        svg: markup without scripts, styles or addresses.
    """

    title: str
    scenario: str
    statement: str
    description: str
    svg: str


def curve_plots(members: Sequence[tuple[str, Finding]], salt: str) -> list[CurvePlot]:
    """Every curve of one attack, over all its scenarios.

    Args:
        members: (scenario, finding).
        salt: unique on the page.
    """
    return [
        CurvePlot(
            title=f"{label(curve.metric)} against {curve.x}",
            scenario=scenario,
            statement=curve.statement,
            description=_described(curve, _unit(finding, curve)),
            svg=_draw(finding, curve, f"{salt}-{number}"),
        )
        for number, (scenario, finding, curve) in enumerate(
            (scenario, finding, curve) for scenario, finding in members for curve in finding.curves
        )
        if curve.points
    ]


def _unit(finding: Finding, curve: Curve) -> str:
    """The unit of the vertical axis: that of the measurement it repeats, else a rate if it fits."""
    units = [m.unit for m in finding.measurements if m.metric == curve.metric]
    inside = all(low >= 0 and high <= 1 for _, _, low, high in curve.points)
    return next(iter(units), "fraction" if inside else "ratio")


def _described(curve: Curve, unit: str) -> str:
    step = max(1, -(-len(curve.points) // FEW))
    points = [*curve.points[::step]]
    if points[-1] != curve.points[-1]:
        points.append(curve.points[-1])
    return "; ".join(
        f"{x:g}: {number(value, unit)} ({number(low, unit)} to {number(high, unit)})"
        for x, value, low, high in points
    )


def _draw(finding: Finding, curve: Curve, salt: str) -> str:
    unit = _unit(finding, curve)
    log = curve.log_x and curve.points[-1][0] > 0
    points = [point for point in curve.points if point[0] > 0] if log else list(curve.points)
    xs, values, lows, highs = (list(column) for column in zip(*points, strict=True))
    named = [m.chance for m in finding.measurements if m.metric == curve.metric]

    def draw(axes: "Axes") -> None:
        plain(axes)
        _place(axes, xs, log=log)
        if unit == "fraction":
            axes.set_ylim(0, 1.04)
            axes.set_yticks(*quarters())
        if curve.name == ROC:
            axes.plot(xs, xs, color=SOFT, linewidth=1, linestyle=(0, (3, 3)))
        else:
            chance = next(iter(named), None)
            # named at the end where the curve is farther away
            left = chance is not None and abs(values[0] - chance) > abs(values[-1] - chance)
            mark_chance(axes, chance, xs[0] if left else xs[-1], "left" if left else "right")
        axes.fill_between(xs, lows, highs, color=ACCENT, alpha=0.18, linewidth=0)
        marker = "o" if len(xs) <= FEW else ""
        axes.plot(xs, values, marker=marker, color=ACCENT, markersize=5, clip_on=False)
        axes.set_xlabel("name0!", color=SOFT)

    return svg(draw, salt, [curve.x], SIZE)


def _place(axes: "Axes", xs: Sequence[float], *, log: bool) -> None:
    """The horizontal axis: a tick for each of a few points, powers of ten for many."""
    if log:
        from matplotlib.ticker import FuncFormatter, NullFormatter, NullLocator

        axes.set_xscale("log")
        axes.xaxis.set_minor_locator(NullLocator())
        axes.xaxis.set_minor_formatter(NullFormatter())
        axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:g}"))
    if len(xs) <= FEW:
        axes.set_xticks(list(xs), [f"{x:g}" for x in xs])
