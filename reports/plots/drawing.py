"""Matplotlib's drawings, fitted to a page that allows no inline style.

Colours become class names, which follow the page from light to dark, each with a middle tone for
where no style sheet is allowed, and every other style an SVG attribute. The same record gives the
same bytes.
"""

import io
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING

from reports.content.wording import number
from reports.redaction.sanitize import clean

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.text import Annotation

LONGEST_NAME = 24
COLOURS = {
    "#010101": ("ink", "currentColor"),
    "#020202": ("soft", "#737b82"),
    "#030303": ("accent", "#1b8299"),
    "#040404": ("rule", "#9aa3aa"),
    "#050501": ("s1", "#1b8299"),
    "#050502": ("s2", "#b8642f"),
    "#050503": ("s3", "#7d6bc0"),
    "#050504": ("s4", "#4b8a3f"),
    "#050505": ("s5", "#c0507f"),
}
"""Stand-ins that matplotlib draws with -> (class that the style sheet colours, tone without it)."""
INK, SOFT, ACCENT, RULE, *SERIES = COLOURS
MARKERS = "osD^vP"
DASHES = ("solid", (0, (5, 2)), (0, (2, 2)), (0, (6, 2, 1, 2)))
"""So that no two series of a few differ in colour alone."""
DRAWN = 30
"""So many of one kind are drawn on a page; of any further ones, the table is there."""
SCALE = 1.4
"""CSS pixels per unit of a drawing where no style sheet sizes it."""


@dataclass(frozen=True, kw_only=True)
class Drawing:
    """A drawing as it is shown, with the same in words and as a table.

    Attributes:
        title: what is drawn against what.
        scenario: where it was measured; empty where all are drawn.
        statement: what it says, in one sentence.
        head: names of the table's columns.
        rows: of the table, as texts.
        svg: markup without scripts, styles or addresses; empty beyond the first `DRAWN`.
    """

    title: str
    scenario: str = ""
    statement: str = ""
    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    svg: str


def svg(
    draw: Callable[["Axes"], None],
    salt: str,
    names: Sequence[str] = (),
    size: tuple[float, float] = (3.6, 2.7),
    *,
    title: str,
    description: str,
    longest: int = LONGEST_NAME,
) -> str:
    """Return what ``draw`` puts on one pair of axes, without scripts, styles or addresses.

    Args:
        draw: may write ``name0!`` … where a stranger's text belongs: no font is asked to measure
            that, and it is put in afterwards.
        salt: unique on the page, for the names inside the drawing.
        names: the texts behind the stand-ins.
        size: in inches, of which the page keeps the proportion.
        title: read out by who cannot see it.
        description: read out after it.
        longest: characters of each of ``names`` that are shown.
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
    shown = [escape(clean(name, longest)) for name in names]
    return _adapt(buffer.getvalue(), shown, _said(salt, title, description))


def hide_name(text: "Annotation") -> None:
    """Keep a stand-in out of the layout: all drawings of a kind keep the same frame."""
    text.set_in_layout(False)


def strip_frame(axes: "Axes") -> None:
    """No frame and no tick marks, a light grid."""
    axes.tick_params(which="both", length=0, colors=SOFT)
    axes.grid(color=RULE, linewidth=0.75)
    axes.spines[:].set_visible(False)


def quarters() -> tuple[list[float], list[str]]:
    """Ticks of a rate from 0 to 1, and what they say."""
    ticks = [0, 0.25, 0.5, 0.75, 1]
    return ticks, [number(tick, "fraction").replace(".0", "") for tick in ticks]


def mark_chance(axes: "Axes", chance: float | None, x: float, side: str = "left") -> None:
    """Plot a dashed line at ``chance``, its name beginning (or, on the right, ending) at ``x``."""
    if chance is None:
        return
    axes.axhline(chance, color=SOFT, linewidth=1, linestyle=(0, (3, 3)))
    axes.annotate(
        "chance", (x, chance), xytext=(0, 4), textcoords="offset points", color=SOFT, ha=side
    )


def _said(salt: str, title: str, description: str) -> tuple[str, str]:
    """Attributes that name the parts of a drawing to be read out, and those parts."""
    names = f'role="img" aria-labelledby="{salt}-title" aria-describedby="{salt}-desc"'
    parts = (("title", title), ("desc", description))
    said = (f'<{tag} id="{salt}-{tag}">{escape(clean(text))}</{tag}>' for tag, text in parts)
    return names, "".join(said)


def _adapt(drawn: str, shown: Sequence[str], said: tuple[str, str]) -> str:
    """Strip a drawing to its own names, with styles as attributes and colours as classes."""
    drawn = drawn[drawn.index("<svg") :]
    drawn = re.sub(r"<metadata>.*?</metadata>|<style.*?</style>|<!--.*?-->", "", drawn, flags=re.S)
    head, _, rest = drawn.partition(">")
    rest = re.sub(r'\sstyle="([^"]*)"', _attributes, rest)
    rest = re.sub(r'<g id="[^"]*"', "<g", rest).replace("xlink:href", "href")
    rest = re.sub(r"\s*\n\s*", " ", rest)
    rest = re.sub(r"<[^>]*>", lambda tag: re.sub(r"(\.\d\d)\d+", r"\1", tag[0]), rest)
    # stand-ins give way last: a stranger's text is no markup to adapt
    rest = re.sub(r"name(\d+)!", lambda match: shown[int(match[1])], rest)
    return f"<svg {_frame(head)} {said[0]}>{said[1]}{rest}"


def _frame(head: str) -> str:
    """Sizes and face of a drawing, which a style sheet may overrule."""
    box = re.search(r'viewBox="0 0 ([\d.]+) ([\d.]+)"', head)
    assert box, "matplotlib gives every drawing a viewBox"
    width, height = (round(SCALE * float(side)) for side in box.groups())
    return f'{box[0]} width="{width}" height="{height}" font-family="sans-serif"'


def _attributes(style: re.Match[str]) -> str:
    kept, classes = [], []
    for declaration in style[1].split(";"):
        name, _, value = (part.strip() for part in declaration.partition(":"))
        if value in COLOURS and name in {"fill", "stroke"}:
            known, tone = COLOURS[value]
            classes.append(f"{name}-{known}")
            kept.append(f' {name}="{tone}"')
        elif name and name not in {"font", "font-family"}:
            kept.append(f' {name}="{value}"')
    return (f' class="{" ".join(classes)}"' if classes else "") + "".join(kept)
