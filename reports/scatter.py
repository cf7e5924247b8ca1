"""Utility against leakage, one plot per family: where a defense should move a scenario, and did."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from auditor.report import AuditReport, Measurement
from reports.drawing import ACCENT, INK, SOFT, mark_chance, plain, quarters, svg
from reports.tables import comparison
from reports.wording import label, number

if TYPE_CHECKING:
    from matplotlib.axes import Axes


@dataclass(frozen=True, kw_only=True)
class Plot:
    """One family's plot.

    Attributes:
        title: the leakage figure on the vertical axis.
        description: the same in words, for who cannot see it.
        svg: markup without scripts, styles or addresses.
    """

    title: str
    description: str
    svg: str


@dataclass(frozen=True, kw_only=True)
class _Point:
    name: str
    utility: Measurement
    leakage: Measurement


def plots(report: AuditReport) -> list[Plot]:
    """A plot for every family whose headline is a rate in two scenarios or more."""
    table = comparison(report)
    names = [scenario.defense for scenario in report.scenarios]
    useful = next((cells for figure, cells in table if figure.key == "utility/map"), None)
    drawn: list[Plot] = []
    for figure, cells in table:
        if figure.kind != "leakage" or figure.rung or useful is None:
            continue
        points = [
            _Point(name=name, utility=used.measurement, leakage=leak.measurement)
            for name, used, leak in zip(names, useful, cells, strict=True)
            if used and leak and used.measurement and leak.measurement
        ]
        if len(points) > 1 and all(p.leakage.unit == "fraction" for p in points):
            drawn.append(_plot(figure.title, points, len(drawn)))
    return drawn


def _plot(title: str, points: Sequence[_Point], position: int) -> Plot:
    described = [
        f"{p.name}: {label('map')} {number(p.utility.value, 'fraction')}, "
        f"leakage {number(p.leakage.value, 'fraction')}"
        for p in points
    ]
    return Plot(
        title=title,
        description="; ".join(described),
        svg=_draw(points, f"plot-{position}"),
    )


def _draw(points: Sequence[_Point], salt: str) -> str:
    def draw(axes: "Axes") -> None:
        _dress(axes)
        mark_chance(axes, points[0].leakage.chance, 0.02)
        highest = max(point.leakage.value for point in points)
        for position, point in enumerate(points):
            _mark(axes, point, position, above=point.leakage.value == highest)

    return svg(draw, salt, [point.name for point in points])


def _mark(axes: "Axes", point: _Point, position: int, *, above: bool) -> None:
    """A dot with its interval in both directions, and a stand-in for its name."""
    x, y = point.utility, point.leakage
    axes.plot([x.low, x.high], [y.value, y.value], color=SOFT, linewidth=1, clip_on=False)
    axes.plot([x.value, x.value], [y.low, y.high], color=SOFT, linewidth=1, clip_on=False)
    axes.plot([x.value], [y.value], "o", color=ACCENT, markersize=6, clip_on=False)
    left = x.value < 0.5
    name = axes.annotate(
        f"name{position}!",  # no font is asked to measure a stranger's text
        (x.value, y.value),
        xytext=(8 if left else -8, 6 if above else -14),
        textcoords="offset points",
        ha="left" if left else "right",
        color=INK,
    )
    name.set_in_layout(False)  # all plots keep the same frame


def _dress(axes: "Axes") -> None:
    plain(axes)
    axes.set_xlim(0, 1)
    axes.set_ylim(0, 1.08)  # room for a name above a point at 100%
    axes.set_xticks(*quarters())
    axes.set_yticks(*quarters())
    axes.set_xlabel("utility (mAP), higher is better", color=SOFT)
    axes.set_ylabel("leakage, lower is better", color=SOFT)
