"""The PU-score as its weight moves from utility to privacy (PIS, SCIS 69(1), 2026, Fig. 4)."""

from collections.abc import Sequence
from functools import lru_cache
from itertools import cycle
from typing import TYPE_CHECKING

from auditor.report import AuditReport
from reports.content.wording import label, number
from reports.plots.drawing import (
    DASHES,
    INK,
    SERIES,
    SOFT,
    Drawing,
    hide_name,
    quarters,
    strip_frame,
    svg,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Line = tuple[str, tuple[tuple[float, float], ...]]
TOLD = (0.0, 0.5, 1.0, 1.5, 2.0)
"""Weights of privacy that the table has a column for."""
APART = 0.075
"""How close the names of two lines may come, on an axis from 0 to 1."""


def weight_plots(report: AuditReport) -> list[Drawing]:
    """One per PU-score that two scenarios or more have."""
    lines: dict[str, list[Line]] = {}
    for scenario in report.scenarios:
        for score in scenario.scores:
            if score.weighted:
                lines.setdefault(score.name, []).append((scenario.defense, score.weighted))
    several = [(name, found) for name, found in lines.items() if len(found) > 1]
    return [_drawing(name, found, f"weights-{n}") for n, (name, found) in enumerate(several)]


def _drawing(name: str, lines: Sequence[Line], salt: str) -> Drawing:
    rows = tuple(
        (scenario, *(number(dict(points).get(at), "ratio") for at in TOLD))
        for scenario, points in lines
    )
    description = "; ".join(f"{row[0]}: {row[1]}, {row[3]}, {row[5]}" for row in rows)
    title = f"{label(name)} by weight"
    said = f"for utility alone, even weights, privacy alone: {description}"
    return Drawing(
        title=title,
        head=("Scenario", *(f"weight {at:g}" for at in TOLD)),
        rows=rows,
        svg=_draw(tuple(lines), salt, title, said),
    )


@lru_cache(maxsize=64)
def _draw(lines: tuple[Line, ...], salt: str, title: str, description: str) -> str:
    def draw(axes: "Axes") -> None:
        strip_frame(axes)
        axes.set_xlim(0, 3)  # a third of the width is for the names
        axes.set_ylim(0, 1.04)
        axes.set_xticks([0, 1, 2], ["utility", "even", "privacy"])
        axes.set_yticks(*quarters())
        axes.set_xlabel("what counts", color=SOFT)
        looks = zip(lines, cycle(SERIES), cycle(DASHES), spread(lines), strict=False)
        for place, ((_, points), colour, dash, height) in enumerate(looks):
            axes.plot(*zip(*points, strict=True), color=colour, linestyle=dash, linewidth=1.75)
            end = points[-1]
            axes.plot([end[0], 2.12], [end[1], height], color=colour, linewidth=0.75)
            hide_name(axes.annotate(f"name{place}!", (2.16, height), va="center", color=INK))

    names = [name for name, _ in lines]
    return svg(draw, salt, names, title=title, description=description)


def spread(lines: Sequence[Line]) -> list[float]:
    """Heights for the names of the lines, in the order of their ends and never too close."""
    ends = [points[-1][1] for _, points in lines]
    order = sorted(range(len(ends)), key=lambda n: ends[n])
    heights = [0.0] * len(ends)
    at = -APART
    for n in order:
        at = heights[n] = max(ends[n], at + APART)
    over = max(0.0, at - 1.0)  # too many at the top: the highest go down until they fit
    limit = 1.0
    for n in reversed(order if over else []):
        limit = heights[n] = min(heights[n], limit)
        limit -= APART
    return heights
