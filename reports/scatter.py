"""Utility against leakage, one plot per attack: where a defense should move a scenario, and did.

Matplotlib draws; its output is then fitted to a page that allows no inline style: colours become
class names, which follow the page from light to dark, and every other style an SVG attribute. The
same record gives the same bytes.
"""

import io
import re
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING

from auditor.report import AuditReport, Measurement
from reports.cleaning import clean
from reports.tables import comparison
from reports.wording import label, number

if TYPE_CHECKING:
    from matplotlib.axes import Axes

LONGEST_NAME = 24
COLOURS = {"#010101": "ink", "#020202": "soft", "#030303": "accent", "#040404": "rule"}
"""Stand-ins that matplotlib draws with -> class names that the style sheet colours."""
INK, SOFT, ACCENT, RULE = COLOURS


@dataclass(frozen=True, kw_only=True)
class Plot:
    """One attack's plot.

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
    """A plot for every attack whose headline is a rate in two scenarios or more."""
    table = comparison(report)
    names = [scenario.defense for scenario in report.scenarios]
    useful = next((cells for figure, cells in table if figure.key == "utility/map"), None)
    drawn: list[Plot] = []
    for figure, cells in table:
        if figure.kind != "leakage" or useful is None:
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
    # imported here: most commands draw nothing, and this takes most of a second
    from matplotlib import style
    from matplotlib.figure import Figure

    settings = {"svg.hashsalt": salt, "svg.fonttype": "none", "font.size": 10}
    with style.context(["default", settings]):
        figure = Figure(figsize=(4.2, 3.1), layout="constrained")
        axes = figure.subplots()
        _dress(axes)
        _mark_chance(axes, points[0].leakage.chance)
        highest = max(point.leakage.value for point in points)
        for position, point in enumerate(points):
            _mark(axes, point, position, above=point.leakage.value == highest)
        buffer = io.StringIO()
        left_out = dict.fromkeys(("Date", "Creator", "Format", "Type"))
        figure.savefig(buffer, format="svg", transparent=True, metadata=left_out)
    return _adapt(buffer.getvalue(), [point.name for point in points])


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


def _mark_chance(axes: "Axes", chance: float | None) -> None:
    if chance is None:
        return
    axes.axhline(chance, color=SOFT, linewidth=1, linestyle=(0, (3, 3)))
    axes.annotate("chance", (0.02, chance), xytext=(0, 4), textcoords="offset points", color=SOFT)


def _dress(axes: "Axes") -> None:
    axes.set_xlim(0, 1)
    axes.set_ylim(0, 1.08)  # room for a name above a point at 100%
    ticks = [0, 0.25, 0.5, 0.75, 1]
    texts = [number(tick, "fraction").replace(".0", "") for tick in ticks]
    axes.set_xticks(ticks, texts, color=SOFT)
    axes.set_yticks(ticks, texts, color=SOFT)
    axes.tick_params(length=0)
    axes.grid(color=RULE, linewidth=0.75)
    axes.set_xlabel("utility (mAP), higher is better", color=SOFT)
    axes.set_ylabel("leakage, lower is better", color=SOFT)
    axes.spines[:].set_visible(False)


def _adapt(svg: str, names: Sequence[str]) -> str:
    """The drawing alone, its styles as attributes and its colours as classes, with the names."""
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>|<style.*?</style>|<!--.*?-->", "", svg, flags=re.S)
    head, _, rest = svg.partition(">")
    box = re.search(r'viewBox="[\d. ]+"', head)
    svg = f'<svg {box[0] if box else ""} aria-hidden="true">{rest}'
    svg = re.sub(r'\sstyle="([^"]*)"', _attributes, svg)
    svg = re.sub(r'<g id="[^"]*"', "<g", svg).replace("xlink:href", "href")
    svg = re.sub(r"\s*\n\s*", " ", svg)
    shown = [escape(clean(name, LONGEST_NAME)) for name in names]
    return re.sub(r"name(\d+)!", lambda match: shown[int(match[1])], svg)


def _attributes(style: re.Match[str]) -> str:
    kept, classes = [], []
    for declaration in style[1].split(";"):
        name, _, value = (part.strip() for part in declaration.partition(":"))
        if value in COLOURS and name in {"fill", "stroke"}:
            classes.append(f"{name}-{COLOURS[value]}")
        elif name and name not in {"font", "font-family"}:
            kept.append(f' {name}="{value}"')
    return (f' class="{" ".join(classes)}"' if classes else "") + "".join(kept)
