"""Utility against leakage, one plot per family: where a defense should move a scenario, and did.

Scenarios that no other beats in both form the Pareto front. Where utility is biased a scenario is
shown and not compared: it can neither beat another nor be on the front.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from auditor.report import AuditReport, Measurement
from reports.content.tables import compare_scenarios
from reports.content.wording import label, listing, number
from reports.plots.drawing import (
    ACCENT,
    INK,
    SOFT,
    Drawing,
    hide_name,
    mark_chance,
    quarters,
    strip_frame,
    svg,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

ON_FRONT, DOMINATED, NOT_COMPARED = "on the front", "dominated", "not compared"


@dataclass(frozen=True, kw_only=True)
class _Point:
    name: str
    utility: Measurement
    leakage: Measurement
    biased: bool

    @property
    def place(self) -> tuple[float, float]:
        """(utility, leakage)."""
        return self.utility.value, self.leakage.value


def plots(report: AuditReport) -> list[Drawing]:
    """Return a plot for every family whose headline is a rate in two scenarios or more."""
    table = compare_scenarios(report)
    useful = next((cells for figure, cells in table if figure.key == "utility/map"), None)
    drawn: list[Drawing] = []
    for figure, cells in table:
        if figure.kind != "leakage" or figure.rung or useful is None:
            continue
        points = [
            _Point(
                name=scenario.defense,
                utility=used.measurement,
                leakage=leak.measurement,
                biased=bool(scenario.utility_bias),
            )
            for scenario, used, leak in zip(report.scenarios, useful, cells, strict=True)
            if used and leak and used.measurement and leak.measurement
        ]
        if len(points) > 1 and all(p.leakage.unit == "fraction" for p in points):
            drawn.append(_plot(figure.title, points, len(drawn)))
    return drawn


def front(places: Sequence[tuple[float, float]]) -> list[bool]:
    """Which (utility, leakage) are Pareto-optimal: none other is as useful and leaks as little.

    >>> front([(0.9, 0.9), (0.8, 0.3), (0.7, 0.4), (0.8, 0.3)])
    [True, True, False, True]
    """
    return [
        not any(u >= used and v <= leaks and (u, v) != (used, leaks) for u, v in places)
        for used, leaks in places
    ]


def standings(places: Mapping[str, tuple[float, float]], biased: Collection[str]) -> dict[str, str]:
    """Return where each scenario stands, by its (utility, leakage).

    Those with biased utility apart.
    """
    compared = [name for name in places if name not in biased]
    optimal = front([places[name] for name in compared])
    found = dict.fromkeys(places, NOT_COMPARED)
    for name, best in zip(compared, optimal, strict=True):
        found[name] = ON_FRONT if best else DOMINATED
    return found


def _plot(title: str, points: Sequence[_Point], position: int) -> Drawing:
    biased = {point.name for point in points if point.biased}
    stands = standings({point.name: point.place for point in points}, biased)
    rows = tuple(
        (
            p.name,
            number(p.utility.value, "fraction"),
            number(p.leakage.value, "fraction"),
            stands[p.name],
        )
        for p in points
    )
    return Drawing(
        title=title,
        statement=_statement(rows),
        head=("Scenario", label("map"), "Leakage", "Pareto front"),
        rows=rows,
        svg=_draw(points, f"plot-{position}", title, rows),
    )


def _statement(rows: Sequence[tuple[str, ...]]) -> str:
    beaten = [row[0] for row in rows if row[-1] == DOMINATED]
    apart = [row[0] for row in rows if row[-1] == NOT_COMPARED]
    said = "No scenario is beaten by another in both usefulness and leakage"
    if beaten:
        said = f"Beaten by another in usefulness, leakage or both: {listing(beaten)}"
    return f"{said}; not compared, for biased utility: {listing(apart)}" if apart else said


def _draw(points: Sequence[_Point], salt: str, title: str, rows: Sequence[Any]) -> str:
    optimal = [row[-1] == ON_FRONT for row in rows]

    def draw(axes: "Axes") -> None:
        _dress(axes)
        mark_chance(axes, points[0].leakage.chance, 0.02)
        steps = sorted(p.place for p, best in zip(points, optimal, strict=True) if best)
        axes.step(*zip(*steps, strict=True), where="pre", color=ACCENT, linewidth=1)
        highest = max(point.leakage.value for point in points)
        for position, (point, best) in enumerate(zip(points, optimal, strict=True)):
            above = point.leakage.value == highest
            _mark(axes, point, position, above=above, optimal=best)

    names = [point.name for point in points]
    description = "; ".join(
        f"{name}: {label('map')} {used}, leakage {leaks}, {place}"
        for name, used, leaks, place in rows
    )
    title = f"{title}: leakage against usefulness"
    return svg(draw, salt, names, title=title, description=description)


def _mark(axes: "Axes", point: _Point, position: int, *, above: bool, optimal: bool) -> None:
    """Draw a dot, hollow off the front, its interval both ways, and a stand-in for its name."""
    x, y = point.utility, point.leakage
    axes.plot([x.low, x.high], [y.value, y.value], color=SOFT, linewidth=1, clip_on=False)
    axes.plot([x.value, x.value], [y.low, y.high], color=SOFT, linewidth=1, clip_on=False)
    filling = ACCENT if optimal else "none"
    axes.plot(
        [x.value],
        [y.value],
        "o",
        color=ACCENT,
        markerfacecolor=filling,
        markersize=6,
        zorder=3,
        clip_on=False,
    )
    left = x.value < 0.5
    name = axes.annotate(
        f"name{position}!",  # no font is asked to measure a stranger's text
        (x.value, y.value),
        xytext=(8 if left else -8, 6 if above else -14),
        textcoords="offset points",
        ha="left" if left else "right",
        color=INK,
    )
    hide_name(name)


def _dress(axes: "Axes") -> None:
    strip_frame(axes)
    axes.set_xlim(0, 1)
    axes.set_ylim(0, 1.08)  # room for a name above a point at 100%
    axes.set_xticks(*quarters())
    axes.set_yticks(*quarters())
    axes.set_xlabel("utility (mAP), higher is better", color=SOFT)
    axes.set_ylabel("leakage, lower is better", color=SOFT)
