"""The pictures of the first screen: people beside what an attack made of their stored features.

They are cut from the strips of an inversion attack, which show originals above and reconstructions
below. Whatever hides real people in a strip hides them here: the strip is blurred before it is cut.
"""

import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from auditor.gates.evidence import doubts, family_of
from auditor.report import AuditReport, Finding, Scenario
from reports.content.key_findings import defense_phrase
from reports.content.tables import BARE
from reports.html.exhibits import BLURRED, read_picture
from reports.html.thumbnails import data_uri
from reports.redaction.blur import blur_picture

EXHIBIT = "reconstructions"
SHOWN = 3
TALL = 2.0
"""Height over width of a person's picture, where the attack's parameters do not say."""
GRAIN = (4, 8)
"""Patches across and down by whose colours a reconstruction is compared with its original."""


@dataclass(frozen=True, kw_only=True)
class Portrait:
    """One person: the original, then a reconstruction for each scenario, side by side.

    Attributes:
        uri: ``data:`` address of the picture.
        width: in pixels.
        height: in pixels.
    """

    uri: str
    width: int
    height: int


@dataclass(frozen=True, kw_only=True)
class Portraits:
    """A few people, and how to read their pictures.

    Attributes:
        pictures: one per person.
        panels: what is to be seen from left to right.
        caption: which attack made them, and how these people were chosen.
    """

    pictures: tuple[Portrait, ...]
    panels: tuple[str, ...]
    caption: str


def portraits(report: AuditReport, root: Path, *, reveal: bool) -> Portraits | None:
    """Return a few people under the attack whose reconstructions count most.

    None without pictures.
    """
    hide = report.real_people and not reveal
    for attack in _attacks(report):
        strips = [
            (scenario, strip)
            for scenario in report.scenarios
            for finding in scenario.findings
            if finding.attack == attack and (strip := _strip(finding, root, hide=hide)) is not None
        ]
        if strips and strips[0][0].defense == BARE:
            return _portraits(attack, strips, hide=hide)
    return None


def _attacks(report: AuditReport) -> Iterator[str]:
    """Attacks with reconstructions of the bare model: certified ones first, the strongest first."""
    bare = next((s for s in report.scenarios if s.defense == BARE), None)
    having = [
        finding
        for finding in (bare.findings if bare else ())
        if family_of(finding) == "inversion"
        and EXHIBIT in finding.exhibits
        and finding.headline
        and not doubts(finding).failing
    ]
    yield from (finding.attack for finding in sorted(having, key=_strength, reverse=True))


def _strength(finding: Finding) -> tuple[bool, float]:
    assert finding.headline is not None
    return not doubts(finding).passing, finding.headline.value


@dataclass(frozen=True, kw_only=True)
class _Strip:
    """Originals above, reconstructions below, in columns of the same width."""

    pixels: np.ndarray
    columns: int

    def cell(self, row: int, column: int) -> np.ndarray:
        height, width = self.pixels.shape[0] // 2, self.pixels.shape[1] // self.columns
        return self.pixels[row * height :, column * width :][:height, :width]

    def distance(self, column: int) -> float:
        """Return how far a reconstruction's colours lie from its original's, patch by patch."""
        coarse = [
            np.asarray(Image.fromarray(self.cell(row, column)).resize(GRAIN), float)
            for row in (0, 1)
        ]
        return float(np.abs(coarse[0] - coarse[1]).mean())


def _strip(finding: Finding, root: Path, *, hide: bool) -> _Strip | None:
    """Return a finding's strip, blurred where it must be; None if it cannot be cut into people."""
    place = finding.exhibits.get(EXHIBIT)
    content = read_picture(root, place) if place else ""
    if not isinstance(content, bytes):
        return None
    try:
        with Image.open(io.BytesIO(blur_picture(content) if hide else content)) as opened:
            pixels = np.asarray(opened.convert("RGB"))
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return None
    columns = _columns(finding, *pixels.shape[:2])
    return _Strip(pixels=pixels, columns=columns) if columns else None


def _columns(finding: Finding, height: int, width: int) -> int:
    """Return how many people stand side by side in a strip; 0 if it does not divide into them."""
    size = finding.params.get("image_size")
    tall = TALL
    if isinstance(size, list | tuple) and len(size) == 2 and all(isinstance(x, int) for x in size):
        tall = size[0] / max(1, size[1])
    each = round(height / 2 / tall) if tall > 0 else 0
    return width // each if each and height % 2 == 0 and width % each == 0 else 0


def _portraits(attack: str, strips: Sequence[tuple[Scenario, _Strip]], *, hide: bool) -> Portraits:
    first = strips[0][1]
    # a second strip is set beside the first only if it shows the very same people
    alike = [
        (scenario, strip)
        for scenario, strip in strips[1:]
        if strip.pixels.shape == first.pixels.shape
        and strip.columns == first.columns
        and all((strip.cell(0, n) == first.cell(0, n)).all() for n in range(first.columns))
    ][:1]
    chosen = sorted(range(first.columns), key=first.distance)[:SHOWN]
    cells = [
        [first.cell(0, n), first.cell(1, n), *(strip.cell(1, n) for _, strip in alike)]
        for n in sorted(chosen)
    ]
    panels = ("original", "reconstructed", *(f"under {defense_phrase(s)}" for s, _ in alike))
    which = f"the {len(cells)} of {first.columns} exhibited people whose colours come closest"
    caption = f"By the attack {attack}; {which}"
    return Portraits(
        pictures=tuple(map(_picture, cells)),
        panels=panels,
        caption=f"{caption}. {BLURRED}" if hide else caption,
    )


def _picture(cells: Sequence[np.ndarray]) -> Portrait:
    pixels = np.concatenate(list(cells), axis=1)
    written = io.BytesIO()
    Image.fromarray(pixels).save(written, "PNG")
    height, width = pixels.shape[:2]
    return Portrait(uri=data_uri(written.getvalue()), width=width, height=height)
