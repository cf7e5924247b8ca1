"""What each attack found, by risk, and what the controls say of it."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from auditor.report import AuditReport, Finding, Ladder, Measurement
from reports.content import risks, tables
from reports.content.certificates import Certificate, certificates, others
from reports.content.facts import facts
from reports.html.exhibits import Exhibit, exhibits
from reports.plots.curves import curve_plots
from reports.plots.drawing import Drawing

FOLDED = 8
"""Metrics of one attack beyond which those of single attributes or groups of people fold away."""


@dataclass(frozen=True, kw_only=True)
class MetricRows:
    """One metric of an attack, in every scenario that has it."""

    metric: str
    found: list[tuple[str, Measurement]]
    notes: list[str]


@dataclass(frozen=True, kw_only=True)
class AttackPart:
    """One attack, in all scenarios.

    Attributes:
        place: unique on the page.
        attack: the finding that speaks for the attack itself.
        members: (scenario, finding).
        certificates: of its headline.
        others: certificates of its other metrics.
        shown: its metrics.
        single: the metrics of single attributes or groups that fold away, where there are many.
        curves: drawings.
        exhibits: (scenario, picture).
        params: its hyper-parameters.
    """

    place: str
    attack: Finding
    members: list[tuple[str, Finding]]
    certificates: list[Certificate]
    others: list[Certificate]
    shown: list[MetricRows]
    single: list[MetricRows]
    curves: list[Drawing]
    exhibits: list[tuple[str, Exhibit]]
    params: list[tuple[str, str]]


@dataclass(frozen=True, kw_only=True)
class FamilyPart:
    """Attacks that recover the same thing, with the strongest of them per scenario."""

    place: str
    name: str
    ladders: list[tuple[str, Ladder]]
    attacks: list[AttackPart]


@dataclass(frozen=True, kw_only=True)
class RiskPart:
    """One of the three risks, and the families that test it."""

    name: str
    meaning: str
    families: list[FamilyPart]


def build(report: AuditReport, *, root: Path, reveal: bool) -> list[RiskPart]:
    """Return the section on results."""
    return [
        RiskPart(
            name=risk.name,
            meaning=risk.meaning,
            families=[
                FamilyPart(
                    place=f"{part}-{n}",
                    name=family.name,
                    ladders=family.ladders,
                    attacks=[
                        _attack(report, members, f"{part}-{n}-{m}", root=root, reveal=reveal)
                        for m, (_, members) in enumerate(family.attacks, start=1)
                    ],
                )
                for n, family in enumerate(risk.families, start=1)
            ],
        )
        for part, risk in enumerate(risks.risks(report), start=1)
    ]


def in_order(report: AuditReport, parts: Sequence[RiskPart]) -> list[AttackPart]:
    """Return the attacks of the section once more, in the order of the configuration."""
    found = {a.attack.attack: a for risk in parts for f in risk.families for a in f.attacks}
    return [found[attack.attack] for attack, _ in tables.by_attack(report)]


def _attack(
    report: AuditReport,
    members: list[tuple[str, Finding]],
    place: str,
    *,
    root: Path,
    reveal: bool,
) -> AttackPart:
    attack = members[0][1]
    shown, single = fold([m for _, finding in members for m in finding.measurements])
    return AttackPart(
        place=place,
        attack=attack,
        members=members,
        certificates=certificates(members),
        others=others(members),
        shown=[_rows(members, metric) for metric in shown],
        single=[_rows(members, metric) for metric in single],
        curves=curve_plots(members, f"curve-{place}"),
        exhibits=[
            (scenario, exhibit)
            for scenario, finding in members
            for exhibit in exhibits(report, finding, root, reveal=reveal)
        ],
        params=facts(attack.params),
    )


def _rows(members: Sequence[tuple[str, Finding]], metric: str) -> MetricRows:
    found, notes = tables.collect(members, metric)
    return MetricRows(metric=metric, found=found, notes=notes)


def fold(measurements: Sequence[Measurement]) -> tuple[list[str], list[str]]:
    """Metric names to show at once, and those of an attribute or group that fold, if many."""
    names = list(dict.fromkeys(m.metric for m in measurements))
    if len(names) <= FOLDED:
        return names, []
    single = [n for n in names if "@" in n or ("." in n and not n.startswith("reid_"))]
    return [n for n in names if n not in single], single
