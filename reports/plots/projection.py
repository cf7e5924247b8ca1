"""The stored features of a few people in two dimensions, before and after a defense.

After Fig. 6 of PEPR-Net: where entries of one person form islands, they can be told apart.
"""

from functools import lru_cache
from typing import TYPE_CHECKING

from auditor.report import AuditReport, Place
from reports.content.wording import number
from reports.plots.drawing import DRAWN, MARKERS, SERIES, Drawing, svg

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SIZE = (3.6, 3.1)


def constellations(report: AuditReport) -> list[Drawing]:
    """One per scenario that has the places of features."""
    shown = [scenario for scenario in report.scenarios if len(scenario.embedding) > 1]
    return [_drawing(scenario.defense, scenario.embedding, n) for n, scenario in enumerate(shown)]


def _drawing(scenario: str, places: tuple[Place, ...], n: int) -> Drawing:
    people = sorted({place.person for place in places})
    title = "Stored features of a few people"
    share = number(together(places), "fraction")
    statement = f"For {share} of the entries, the nearest mark is the same person's"
    spoken = f"{len(places)} entries of {len(people)} people. {statement}"
    counts = [[place.person for place in places].count(person) for person in people]
    alone = [together(places, person) for person in people]
    return Drawing(
        title=title,
        scenario=scenario,
        statement=statement,
        head=("Person", "Entries", "Nearest mark is the same person's"),
        rows=tuple(
            (str(person + 1), str(count), number(own, "fraction"))
            for person, count, own in zip(people, counts, alone, strict=True)
        ),
        svg=_draw(places, f"features-{n}", title, spoken) if n < DRAWN else "",
    )


def together(places: tuple[Place, ...], person: int | None = None) -> float:
    """Return the share of entries (of ``person`` or all) whose nearest other is the same person's.

    >>> a, b = (Place(person=n, x=float(n), y=0.0) for n in (0, 5))
    >>> together((a, b, Place(person=0, x=0.5, y=0.0)))
    0.6666666666666666
    """
    hits = [
        min(
            (other for other in places if other is not place),
            key=lambda other: (other.x - place.x) ** 2 + (other.y - place.y) ** 2,
        ).person
        == place.person
        for place in places
        if person in (None, place.person)
    ]
    return sum(hits) / len(hits)


@lru_cache(maxsize=64)
def _draw(places: tuple[Place, ...], salt: str, title: str, description: str) -> str:
    def draw(axes: "Axes") -> None:
        axes.set_axis_off()
        axes.margins(0.08)
        people = sorted({place.person for place in places})
        for person in people:
            own = [place for place in places if place.person == person]
            # five colours and six marks repeat together after thirty people only
            axes.plot(
                [place.x for place in own],
                [place.y for place in own],
                MARKERS[person % len(MARKERS)],
                color=SERIES[person % len(SERIES)],
                alpha=0.85,
                markersize=5.5,
            )

    return svg(draw, salt, (), SIZE, title=title, description=description)
