"""Matplotlib's drawings, fitted to a page that allows no inline style.

Colours become class names, which follow the page from light to dark, and every other style an SVG
attribute. The same record gives the same bytes.
"""

import io
import re
from collections.abc import Callable, Sequence
from html import escape
from typing import TYPE_CHECKING

from reports.cleaning import clean
from reports.wording import number

if TYPE_CHECKING:
    from matplotlib.axes import Axes

LONGEST_NAME = 24
COLOURS = {"#010101": "ink", "#020202": "soft", "#030303": "accent", "#040404": "rule"}
"""Stand-ins that matplotlib draws with -> class names that the style sheet colours."""
INK, SOFT, ACCENT, RULE = COLOURS


def svg(
    draw: Callable[["Axes"], None],
    salt: str,
    names: Sequence[str] = (),
    size: tuple[float, float] = (4.2, 3.1),
) -> str:
    """What ``draw`` puts on one pair of axes, without scripts, styles or addresses.

    Args:
        draw: may write ``name0!`` … where a stranger's text belongs: no font is asked to measure
            that, and it is put in afterwards.
        salt: unique on the page, for the names inside the drawing.
        names: the texts behind the stand-ins.
        size: in inches, of which the page keeps the proportion.
    """
    # imported here: most commands draw nothing, and this takes most of a second
    from matplotlib import style
    from matplotlib.figure import Figure

    settings = {"svg.hashsalt": salt, "svg.fonttype": "none", "font.size": 10}
    with style.context(["default", settings]):
        figure = Figure(figsize=size, layout="constrained")
        draw(figure.subplots())
        buffer = io.StringIO()
        left_out = dict.fromkeys(("Date", "Creator", "Format", "Type"))
        figure.savefig(buffer, format="svg", transparent=True, metadata=left_out)
    return _adapt(buffer.getvalue(), names)


def plain(axes: "Axes") -> None:
    """No frame and no tick marks, a light grid."""
    axes.tick_params(which="both", length=0, colors=SOFT)
    axes.grid(color=RULE, linewidth=0.75)
    axes.spines[:].set_visible(False)


def quarters() -> tuple[list[float], list[str]]:
    """Ticks of a rate from 0 to 1, and what they say."""
    ticks = [0, 0.25, 0.5, 0.75, 1]
    return ticks, [number(tick, "fraction").replace(".0", "") for tick in ticks]


def mark_chance(axes: "Axes", chance: float | None, x: float, side: str = "left") -> None:
    """A dashed line at ``chance``, its name beginning (or, on the right, ending) at ``x``."""
    if chance is None:
        return
    axes.axhline(chance, color=SOFT, linewidth=1, linestyle=(0, (3, 3)))
    axes.annotate(
        "chance", (x, chance), xytext=(0, 4), textcoords="offset points", color=SOFT, ha=side
    )


def _adapt(drawn: str, names: Sequence[str]) -> str:
    """The drawing alone, its styles as attributes and its colours as classes, with the names."""
    drawn = drawn[drawn.index("<svg") :]
    drawn = re.sub(r"<metadata>.*?</metadata>|<style.*?</style>|<!--.*?-->", "", drawn, flags=re.S)
    head, _, rest = drawn.partition(">")
    box = re.search(r'viewBox="[\d. ]+"', head)
    drawn = f'<svg {box[0] if box else ""} aria-hidden="true">{rest}'
    drawn = re.sub(r'\sstyle="([^"]*)"', _attributes, drawn)
    drawn = re.sub(r'<g id="[^"]*"', "<g", drawn).replace("xlink:href", "href")
    drawn = re.sub(r"\s*\n\s*", " ", drawn)
    shown = [escape(clean(name, LONGEST_NAME)) for name in names]
    return re.sub(r"name(\d+)!", lambda match: shown[int(match[1])], drawn)


def _attributes(style: re.Match[str]) -> str:
    kept, classes = [], []
    for declaration in style[1].split(";"):
        name, _, value = (part.strip() for part in declaration.partition(":"))
        if value in COLOURS and name in {"fill", "stroke"}:
            classes.append(f"{name}-{COLOURS[value]}")
        elif name and name not in {"font", "font-family"}:
            kept.append(f' {name}="{value}"')
    return (f' class="{" ".join(classes)}"' if classes else "") + "".join(kept)
