"""The first screen: each risk in one line, three people, and what to do next."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from auditor.gates import Verdict
from auditor.report import AuditReport
from reports.content.key_findings import (
    KeyFinding,
    Reading,
    Statement,
    key_findings,
    next_steps,
    round_in_words,
)
from reports.content.wording import listing
from reports.html.portraits import Portraits, portraits

BADGES = {"pass": "pass", "fail": "fail", "inconclusive": "inconclusive"}
"""Standings that have a colour; the others are grey."""


@dataclass(frozen=True, kw_only=True)
class Line:
    """One risk, or what the model is worth to its owner.

    Attributes:
        name: of the risk.
        standing: what its gates come to, in words.
        badge: the class of its colour; empty for none.
        before: the figure without a defense; empty where there is none.
        after: the figure under one; likewise.
        source: which attacks found it.
        text: the strongest finding in plain sentences.
        also: what other families of attacks found.
        judged: which gates decided; empty where none did.
    """

    name: str
    standing: str
    badge: str
    before: str
    after: str
    source: str
    text: str
    also: tuple[str, ...]
    judged: str


@dataclass(frozen=True, kw_only=True)
class KeyFindingsSection:
    """The lines, the pictures and the next steps."""

    lines: tuple[Line, ...]
    portraits: Portraits | None
    steps: tuple[str, ...]


def build(
    report: AuditReport, verdicts: Sequence[Verdict], *, root: Path, reveal: bool
) -> KeyFindingsSection:
    """Return the first screen of ``report``."""
    return KeyFindingsSection(
        lines=tuple(map(_line, key_findings(report, verdicts))),
        portraits=portraits(report, root, reveal=reveal),
        steps=tuple(next_steps(report, verdicts)),
    )


def _line(finding: KeyFinding) -> Line:
    first = next(iter(finding.statements), None)
    return Line(
        name=finding.name,
        standing=finding.standing,
        badge=BADGES.get(finding.standing, ""),
        before=_value(first.before) if first else "",
        after=_value(first.after) if first else "",
        source=_source(first) if first else "",
        text=first.text if first else "No attack in this audit tests this risk.",
        also=tuple(statement.text for statement in finding.statements[1:]),
        judged=listing(list(finding.judged), 2) if finding.judged else "",
    )


def _value(reading: Reading | None) -> str:
    if reading is None or reading.evidence == "void":
        return ""
    return round_in_words(reading.measurement.value, reading.measurement.unit)


def _source(statement: Statement) -> str:
    readings = [r for r in (statement.before, statement.after) if r and r.attack != "utility"]
    attacks = list(dict.fromkeys(reading.attack for reading in readings))
    certified = all(reading.evidence == "certified" for reading in readings)
    if not attacks:
        return ""
    return f"{' → '.join(attacks)}{', certified' if certified else ', not certified'}"
