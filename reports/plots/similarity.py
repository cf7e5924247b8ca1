"""How alike queries are to what they find, and reconstructions to what they should show.

After Fig. 5 of the GAN feature-privacy study: similarity bars, and reconstruction strength beside
them, here with what somebody else's feature would have given.
"""

from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING

from auditor.gates.evidence import doubts, family_of
from auditor.report import AuditReport, Measurement, Scenario
from reports.content.wording import label, number
from reports.plots.drawing import ACCENT, DRAWN, SOFT, Drawing, mark_chance, strip_frame, svg

if TYPE_CHECKING:
    from matplotlib.axes import Axes

BARS = 24
"""So many of many are drawn, spread evenly from the most alike to the least."""
STRENGTH = ("source_cosine", "ssim")
"""What may stand for the strength of a reconstruction, the first there is."""
SIZE = (3.6, 2.5)
Bar = tuple[float, bool]


def strength_plots(report: AuditReport) -> list[Drawing]:
    """Two per scenario: its matches, and its strongest reconstructions."""
    drawn: list[Drawing] = []
    for place, scenario in enumerate(report.scenarios):
        if scenario.matches:
            drawn.append(_matches(scenario, place))
        if found := _strongest(scenario):
            drawn.append(_reconstructions(scenario.defense, *found, place))
    return drawn


def pick(bars: Sequence[Bar]) -> tuple[Bar, ...]:
    """At most `BARS` of the bars, the highest first, the highest and the lowest among them."""
    ordered = sorted(bars, key=lambda bar: -bar[0])
    if len(ordered) <= BARS:
        return tuple(ordered)
    last = len(ordered) - 1
    return tuple(ordered[round(n * last / (BARS - 1))] for n in range(BARS))


def _matches(scenario: Scenario, place: int) -> Drawing:
    bars = pick([(match.similarity, match.correct) for match in scenario.matches])
    right = sum(match.correct for match in scenario.matches) / len(scenario.matches)
    title = "Similarity of a query to its best match"
    statement = f"Filled: the right person, which is {number(right, 'fraction')} of all queries"
    return Drawing(
        title=title,
        scenario=scenario.defense,
        statement=statement,
        head=("Query, the most alike first", "Similarity", "Match"),
        rows=tuple(
            (str(n), number(value, "distance"), "right" if good else "wrong")
            for n, (value, good) in enumerate(bars, start=1)
        ),
        svg=_draw(bars, None, "queries", f"similar-{place}", title, f"{statement}. {_ends(bars)}")
        if place < DRAWN
        else "",
    )


def _strongest(scenario: Scenario) -> tuple[str, Measurement] | None:
    """Return the strongest reconstructions measured person by person, and the attack."""
    for metric in STRENGTH:
        having = [
            (finding.attack, m)
            for finding in scenario.findings
            if family_of(finding) == "inversion"
            for m in finding.measurements
            if m.metric == metric and m.persons and not doubts(finding, metric).failing
        ]
        if having:
            return max(having, key=lambda pair: pair[1].value)
    return None


def _reconstructions(scenario: str, attack: str, found: Measurement, place: int) -> Drawing:
    bars = pick([(total / count, True) for total, count in found.persons.values() if count])
    title = f"Reconstruction strength: {label(found.metric)}"
    chance = "" if found.chance is None else f"; by chance {number(found.chance, found.unit)}"
    statement = f"By {attack}, {number(found.value, found.unit)} on average{chance}"
    return Drawing(
        title=title,
        scenario=scenario,
        statement=statement,
        head=("Person, the strongest first", label(found.metric)),
        rows=tuple(
            (str(n), number(value, found.unit)) for n, (value, _) in enumerate(bars, start=1)
        ),
        svg=_draw(
            bars, found.chance, "people", f"strength-{place}", title, f"{statement}. {_ends(bars)}"
        )
        if place < DRAWN
        else "",
    )


def _ends(bars: Sequence[Bar]) -> str:
    highest, lowest = (number(bar[0], "ratio") for bar in (bars[0], bars[-1]))
    return f"From {highest} down to {lowest}"


@lru_cache(maxsize=64)
def _draw(
    bars: tuple[Bar, ...], chance: float | None, what: str, salt: str, title: str, description: str
) -> str:
    def draw(axes: "Axes") -> None:
        strip_frame(axes)
        axes.grid(visible=False, axis="x")
        axes.set_axisbelow(True)
        values = [value for value, _ in bars]
        axes.bar(
            range(len(bars)),
            values,
            color=[ACCENT if good else "none" for _, good in bars],
            edgecolor=ACCENT,
            linewidth=1,
        )
        axes.set_ylim(min(0.0, *values), max(1.0, *values))
        if chance is not None:
            axes.set_xlim(-1, 1.25 * len(bars))  # its name stands beside the bars
        mark_chance(axes, chance, 1.25 * len(bars), "right")
        axes.set_xticks([])
        axes.set_xlabel(f"{what}, the most alike first", color=SOFT)

    return svg(draw, salt, (), SIZE, title=title, description=description)
