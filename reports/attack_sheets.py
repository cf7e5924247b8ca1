"""Sheets about how the attacks were run: threat models, power, adversaries from training, notes."""

from collections.abc import Iterator

from openpyxl.worksheet.worksheet import Worksheet

from auditor.report import AuditReport
from reports import tables
from reports.cells import Row, colour_outcomes, ends, write_table
from reports.co_trained import pairs
from reports.threats import threats
from reports.wording import label, sentence


def threat_models(sheet: Worksheet, report: AuditReport) -> None:
    """What each attack's adversary knows, may reach, holds and spends."""
    head = ["attack", "recovers", "knowledge", "access", "auxiliary data", "budget", "at length"]
    body: Iterator[Row] = (
        (
            threat.attack,
            threat.recovers,
            *((a.knowledge, a.access, a.auxiliary) if (a := threat.adversary) else ("", "", "")),
            threat.budget,
            threat.prose,
        )
        for threat in threats(report)
    )
    write_table(sheet, head, [18, 50, 36, 50, 40, 36, 90], body, wrapped=head[1:])


def power(sheet: Worksheet, report: AuditReport) -> None:
    """Every attack on its two controls."""
    head = [
        "attack",
        "power shown",
        "metric",
        "control",
        "value",
        "low",
        "high",
        "efficiency required",
    ]
    head += ["chance", "reason"]
    last = write_table(sheet, head, [18, 13, 30, 16, 11, 11, 11, 12, 11, 90], _controls(report))
    colour_outcomes(sheet, f"B2:B{last + 1}", {"yes": "pass", "no": "fail"})


def _controls(report: AuditReport) -> Iterator[Row]:
    for attack, members in tables.by_attack(report):
        certificate = tables.certificate(members)
        if certificate is None:
            yield (attack.attack, False, "", "not tried", *[None] * 5, "")
            continue
        told = (attack.attack, certificate.shown, label(certificate.metric))
        for name, m in (("planted leak", certificate.planted), ("nothing", certificate.null)):
            unit = m.unit if m else ""
            required = (certificate.required if name == "planted leak" else None, "fraction")
            chance = (m.chance if m else None, unit)
            yield (*told, name, *ends(m), required, chance, sentence(certificate.reason))


def co_trained(sheet: Worksheet, report: AuditReport) -> None:
    """Adversaries that a defense was trained against, beside the strongest fresh ones."""
    head = ["scenario", "metric", "label", "from training", "low", "high", "fresh", "low, fresh"]
    head += ["high, fresh", "fresh attack"]
    body: Iterator[Row] = (
        (
            pair.scenario,
            pair.own.metric,
            label(pair.own.metric),
            *ends(pair.own),
            *ends(pair.fresh),
            pair.attack,
        )
        for pair in pairs(report)
    )
    write_table(sheet, head, [18, 24, 34, 14, 11, 11, 11, 11, 11, 18], body)


def notes(sheet: Worksheet, report: AuditReport) -> None:
    """How a defense was applied, and how an attack's numbers came about."""
    head = ["scenario", "attack", "status", "note"]
    write_table(sheet, head, [18, 18, 16, 130], _noted(report), wrapped=["note"])


def _noted(report: AuditReport) -> Iterator[Row]:
    for scenario in report.scenarios:
        texts = [*scenario.notes, *filter(None, (scenario.utility_bias, scenario.reason))]
        yield from ((scenario.defense, "", scenario.status, sentence(text)) for text in texts)
        for finding in scenario.findings:
            texts = [*finding.notes, *([finding.reason] if finding.reason else [])]
            place = (scenario.defense, finding.attack, finding.status)
            yield from ((*place, sentence(text)) for text in texts)
