"""Takes people out of a text: the names of their pictures, and their identities.

What is shown to everybody who may read a pipeline's log carries nobody. Figures carry nobody
anyway; but why an attack crashed is an exception's own text, which may name whom it crashed on.
"""

import re
from collections.abc import Callable, Iterator

from auditor.report import AuditReport
from reports.redaction.sanitize import clean

WITHHELD = "(withheld)"

_WORD = r"[^\s'\"`(),;:<>|]"
_PICTURE = re.compile(
    # from the beginning of a word on, or a long text would be searched from each of its letters
    rf"(?<!{_WORD}){_WORD}*\.(?:jpe?g|png|bmp|webp|tiff?|gif|ppm)\b",
    flags=re.IGNORECASE,
)


def discretion(report: AuditReport) -> Callable[[str, int], str]:
    """Return a function that cleans a text, cuts it to a length and withholds identities.

    A number that is also somebody's identity is taken for that identity; decimals are not.
    """
    names = sorted(set(_identities(report)) - {""}, key=lambda name: (-len(name), name))
    known = re.compile(rf"(?<![\w.])(?:{'|'.join(map(re.escape, names))})(?!\w|\.\d)")

    def discreet(text: str, longest: int) -> str:
        # cut first: nobody needs a search through what will not be shown
        text = _PICTURE.sub(WITHHELD, text[: 10 * longest])
        return clean(known.sub(WITHHELD, text) if names else text, longest)

    return discreet


def _identities(report: AuditReport) -> Iterator[str]:
    """Everybody whom the record names."""
    named = report.data.get("identity_names")
    if isinstance(named, list | tuple):
        yield from map(str, named)
    for scenario in report.scenarios:
        figures = [m for finding in scenario.findings for m in finding.figures()]
        for measurement in (*scenario.utility, *figures):
            yield from measurement.persons
        for match in scenario.matches:
            yield from (match.query_id, match.match_id)
        for ranked in scenario.rank_lists:
            yield ranked.query_id
            yield from (match.match_id for match in ranked.matches)
