"""What was audited and by what means, in a few facts: the scope, and what names the record."""

import hashlib
from collections.abc import Mapping

from auditor.report import AuditReport, dumps
from reports.content.facts import facts

SUBJECT = (
    ("model", "file"),
    ("model", "arch"),
    ("model", "feature_dim"),
    ("data", "name"),
    ("data", "layout"),
    ("data", "identities"),
    ("data", "auxiliary identities"),
    ("data", "images"),
    ("data", "cameras"),
    ("data", "distractors"),
)
"""Where the record says what was audited, in the order it is read."""
NAMED = ("file", "name", "layout")
"""What needs to be said whose it is."""


def scope(report: AuditReport) -> list[tuple[str, str]]:
    """(name, value): the model, the people, and how the deployment ranks."""
    found: list[tuple[str, str]] = []
    for part, key in SUBJECT:
        value = getattr(report, part).get(key)
        found += facts({f"{part} {key}" if key in NAMED else key: value})
    found.append(("people", "real" if report.real_people else "synthetic"))
    card = report.model.get("card")
    if isinstance(card, Mapping):
        found += facts({"ranked by": card.get("distance")})
    ranking = report.config.get("ranking")
    if isinstance(ranking, Mapping):
        plain = ranking.get("rerank") == ranking.get("expansion") == "none"
        found += facts({"the deployment's ranking": "plain" if plain else ranking})
    return found


def identity(report: AuditReport) -> list[tuple[str, str]]:
    """(name, value): what a second run must have in common with this one."""
    return facts(
        {
            "seed": report.config.get("seed"),
            "preset": report.config.get("preset"),
            "SHA-256 of the model": report.model.get("sha256"),
            "SHA-256 of the data": report.data.get("sha256"),
            "SHA-256 of the record": fingerprint(report),
        }
    )


def fingerprint(report: AuditReport) -> str:
    """SHA-256 of the record as it lies on disk, so that a signed page names what it shows."""
    try:
        return hashlib.sha256(dumps(report).encode()).hexdigest()
    except ValueError:  # half a character somewhere: such a record cannot be written at all
        return ""
