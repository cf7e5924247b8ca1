"""Sheets about how the attacks were run: threat models, power, adversaries from training, notes."""

from collections.abc import Iterator

from openpyxl.worksheet.worksheet import Worksheet

from auditor.report import AuditReport, Power
from reports.content import tables
from reports.content.certificates import HEADINGS, certificates, others
from reports.content.co_trained import pairs
from reports.content.threat_models import threats
from reports.content.wording import label, sentence
from reports.excel.cells import Row, colour_outcomes, ends, write_table


def threat_models(sheet: Worksheet, report: AuditReport) -> None:
    """Write what each attack's adversary is assumed to know, access, own and spend."""
    head = ["attack", "recovers", "knowledge", "access", "auxiliary data", "budget", "in full"]
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
    """Write every attack on its two controls, by each metric and in each scenario."""
    head = ["attack", "scenarios", "outcome", "metric", "efficiency", "required"]
    head += ["planted leak", "low", "high", "reference", "adversary"]
    head += ["null control", "low, null", "high, null", "chance", "reason"]
    widths = [18, 24, 17, 30, *[11] * 6, 36, *[11] * 4, 90]
    last = write_table(sheet, head, widths, _controls(report), wrapped=["adversary", "reason"])
    outcomes = {words: state for state, words in HEADINGS.values()}
    colour_outcomes(sheet, f"C2:C{last + 1}", outcomes | {"not tried": "inconclusive"})


def _controls(report: AuditReport) -> Iterator[Row]:
    for attack, members in tables.by_attack(report):
        for found in (*certificates(members), *others(members)):
            where = "all" if found.everywhere else ", ".join(found.scenarios)
            told = (attack.attack, where, found.badge[1])
            if found.power is None:
                yield (*told, *[None] * 13)
                continue
            yield (*told, *_make_control_row(found.power))


def _make_control_row(power: Power) -> Row:
    unit = power.planted.unit if power.planted else ""
    chance = power.null.chance if power.null else None
    return (
        label(power.metric),
        (power.efficiency, "fraction"),
        (power.required, "fraction"),
        *ends(power.planted),
        (power.reference, unit),
        sentence(power.adversary),
        *ends(power.null),
        (chance, unit),
        sentence(power.reason),
    )


def co_trained(sheet: Worksheet, report: AuditReport) -> None:
    """Adversaries that a defense was trained against, beside the strongest fresh ones."""
    head = [
        "scenario",
        "metric",
        "label",
        "trained against",
        "low",
        "high",
        "fresh",
        "low, fresh",
    ]
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
    """Write how a defense was applied, and how an attack's numbers came about."""
    head = ["scenario", "attack", "status", "note"]
    write_table(sheet, head, [18, 18, 16, 130], _make_notes(report), wrapped=["note"])


def _make_notes(report: AuditReport) -> Iterator[Row]:
    for scenario in report.scenarios:
        texts = [*scenario.notes, *filter(None, (scenario.utility_bias, scenario.reason))]
        yield from ((scenario.defense, "", scenario.status, sentence(text)) for text in texts)
        for finding in scenario.findings:
            texts = [*finding.notes, *([finding.reason] if finding.reason else [])]
            place = (scenario.defense, finding.attack, finding.status)
            yield from ((*place, sentence(text)) for text in texts)
