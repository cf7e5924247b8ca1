"""The record as tidy rows, shared by every renderer; nothing here decides anything.

Verdicts come from `auditor.gates`; fractions stay fractions until `reports.content.wording`.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Literal

from auditor.gates import Outcome, Verdict, overall
from auditor.gates.evidence import covered, family_of, powerless, unshown
from auditor.report import (
    AuditReport,
    Exposure,
    Finding,
    Ladder,
    Match,
    Measurement,
    Scenario,
    Score,
)
from reports.content.wording import UTILITY, label, listing

BARE = "none"
Kind = Literal["utility", "leakage"]


@dataclass(frozen=True, kw_only=True)
class Ruling:
    """The verdict as the first page says it.

    Attributes:
        outcome: ``measured`` where no gate was set and nothing speaks against the figures.
        title: one word or two.
        sentence: which gates, or what was not shown.
        doubts: (place, reason) for everything planned that was not shown.
    """

    outcome: Outcome | Literal["measured"]
    title: str
    sentence: str
    doubts: tuple[tuple[str, str], ...]


@dataclass(frozen=True, kw_only=True)
class Figure:
    """One line of a scenario's summary.

    Attributes:
        key: the same for the same question in every scenario.
        title: what is measured, in words.
        kind: whether it is what the model is for, or what it leaks.
        measurement: None if there is no number; then see ``reason``.
        reason: why there is none, or why it proves nothing.
        rung: whether it is one attack of a family whose strongest rung is a figure of its own.
    """

    key: str
    title: str
    kind: Kind
    measurement: Measurement | None
    reason: str = ""
    rung: bool = False


@dataclass(frozen=True, kw_only=True)
class Family:
    """What is recovered, by one attack or by several rungs of a ladder.

    Attributes:
        name: of the family.
        ladders: (scenario, its headline ladder) where there are several rungs; else empty.
        attacks: as `by_attack` gives them.
    """

    name: str
    ladders: list[tuple[str, Ladder]]
    attacks: list[tuple[Finding, list[tuple[str, Finding]]]]


@dataclass(frozen=True, kw_only=True)
class Row:
    """One measurement with where it comes from."""

    address: str
    scenario: str
    attack: str
    measurement: Measurement


def verdict_of(report: AuditReport, verdicts: Sequence[Verdict]) -> Ruling:
    """Return the ruling on a record; without gates it measures and does not judge."""
    outcome = overall(report, verdicts)
    doubts = tuple(unshown(report))
    if not verdicts and outcome == "pass":
        title, sentence = "Measured, not judged", _no_gates()
        return Ruling(outcome="measured", title=title, sentence=sentence, doubts=doubts)
    deciding = [v for v in verdicts if v.decides]
    sentence = _sentence(report, outcome, deciding, bool(verdicts), doubts)
    if waived := sum(v.waiver is not None for v in verdicts):
        sentence += f" {waived} {'is' if waived == 1 else 'are'} waived."
    return Ruling(outcome=outcome, title=outcome.capitalize(), sentence=sentence, doubts=doubts)


def _no_gates() -> str:
    return "No gates were set: the figures are measured, not judged."


def _sentence(
    report: AuditReport,
    outcome: Outcome,
    deciding: Sequence[Verdict],
    gates: bool,
    doubts: Sequence[tuple[str, str]],
) -> str:
    named = [v.address for v in deciding if v.outcome == outcome]
    count = f"{len(named)} of {len(deciding)} gate verdicts"
    if outcome == "pass":
        if not deciding:
            return "No gate decides, and everything planned was shown."
        met = (
            "The gate is met"
            if len(deciding) == 1
            else f"All {len(deciding)} gate verdicts are met"
        )
        idle = any(powerless(f) and covered(s, f) for s in report.scenarios for f in s.findings)
        shown = "every family of attacks" if idle else "every attack that ran"
        return f"{met}, and {shown} passed its controls."
    if outcome == "fail":
        return f"{count} failed: {listing(named)}."
    parts = [] if gates else [_no_gates()]
    if named:
        parts.append(f"{count} could not be decided: {listing(named)}.")
    if not report.complete:
        parts.append("The audit was interrupted.")
    if doubts:
        parts.append(f"Not everything planned was shown: {listing([d[0] for d in doubts])}.")
    return " ".join(parts)


def figures(scenario: Scenario) -> list[Figure]:
    """Return a scenario in a few lines: its main utility figures, and what each family leaks.

    Where a family has several rungs, the strongest one comes first and each of them after it.
    """
    if scenario.status == "failed":
        return []
    utility = [
        Figure(key=f"utility/{m.metric}", title=label(m.metric), kind="utility", measurement=m)
        for m in scenario.utility
        if m.metric in UTILITY
    ]
    leaks: list[Figure] = []
    for family, rungs in _families(scenario.findings):
        top = next((x for x in scenario.ladders if x.family == family), None)
        if top is not None and len(rungs) > 1:
            leaks.append(_strongest(top))
        several = len(rungs) > 1
        leaks += [
            _leak(finding, rung=several, idle=covered(scenario, finding)) for finding in rungs
        ]
    return [*utility, *leaks]


def _families(findings: Sequence[Finding]) -> list[tuple[str, list[Finding]]]:
    names = dict.fromkeys(map(family_of, findings))
    return [(name, [f for f in findings if family_of(f) == name]) for name in names]


def _strongest(ladder: Ladder) -> Figure:
    return Figure(
        key=f"ladder/{ladder.family}",
        title=f"{ladder.family}, strongest rung: {label(ladder.measurement.metric)}",
        kind="leakage",
        measurement=ladder.measurement,
        reason=ladder.reason,
    )


def _leak(finding: Finding, *, rung: bool, idle: bool) -> Figure:
    found = finding.headline if finding.status == "done" else None
    metric = found.metric if found else next((p.metric for p in finding.powers), "")
    reason = powerless(finding)
    if reason and idle:
        reason += "; another rung of the ladder passed its controls"
    return Figure(
        key=finding.attack,
        title=f"{finding.attack}: {label(metric)}" if metric else finding.attack,
        kind="leakage",
        measurement=found,
        reason=reason,
        rung=rung,
    )


def compare_scenarios(report: AuditReport) -> list[tuple[Figure, list[Figure | None]]]:
    """Per question, the figure of every scenario in order; the first one found gives the title."""
    columns = [{f.key: f for f in figures(scenario)} for scenario in report.scenarios]
    keys = dict.fromkeys(key for kind in ("utility", "leakage") for key in _keys(columns, kind))
    rows = []
    for key in keys:
        cells = [column.get(key) for column in columns]
        known = [cell for cell in cells if cell is not None]
        with_figure = [cell for cell in known if cell.measurement is not None]
        rows.append(((with_figure or known)[0], cells))
    return rows


def _keys(columns: Sequence[dict[str, Figure]], kind: str) -> Iterator[str]:
    return (key for column in columns for key, figure in column.items() if figure.kind == kind)


def change(before: Figure | None, after: Figure) -> str:
    """By how much a rate changed, in points; empty where there is nothing to compare."""
    if before is None or not (old := before.measurement) or not (new := after.measurement):
        return ""
    if (old.unit, new.unit) != ("fraction", "fraction"):
        return ""
    points = round(100 * (new.value - old.value), 1)
    sign = "+" if points > 0 else "−"
    return f"{sign}{abs(points):.1f} points" if points else "unchanged"


def rows(report: AuditReport) -> list[Row]:
    """Return every measurement of the record, those of undivided scores last."""
    found = [
        Row(
            address=address,
            scenario=address.split("/")[0],
            attack=address.split("/")[1],
            measurement=measurement,
        )
        for address, measurement in report.measurements()
    ]
    return found + [
        Row(
            address=f"all/scores/{s.name}",
            scenario="all",
            attack="scores",
            measurement=s.measurement,
        )
        for s in report.scores
        if s.measurement is not None
    ]


def collect(
    members: Sequence[tuple[str, Finding]], metric: str
) -> tuple[list[tuple[str, Measurement]], list[str]]:
    """Return an attack's ``metric`` in every scenario that has it, and the notes about it."""
    found = [
        (scenario, m)
        for scenario, finding in members
        for m in finding.measurements
        if m.metric == metric
    ]
    return found, _say_once([m.note for _, m in found])


def _say_once(notes: Sequence[str]) -> list[str]:
    """Return the notes without the clauses that an earlier one has, such as of another scenario."""
    said: set[str] = set()
    told = []
    for note in notes:
        clauses = [clause for clause in note.split("; ") if clause and clause not in said]
        said.update(clauses)
        told.append("; ".join(clauses))
    return list(filter(None, told))


ATTRIBUTE_METRICS = {
    "balanced_accuracy": "balanced accuracy",
    "f1": "F1",
    "auc": "AUC",
    "accuracy": "accuracy",
    "excess_accuracy": "accuracy above the majority's share",
}
"""What is measured of a single attribute, and how a column is headed."""


def attributes(finding: Finding) -> dict[str, dict[str, Measurement]]:
    """Attribute -> metric -> measurement, from metrics named ``<attribute>.<metric>``."""
    table: dict[str, dict[str, Measurement]] = {}
    for measurement in finding.measurements:
        name, dot, metric = measurement.metric.rpartition(".")
        if dot and metric in ATTRIBUTE_METRICS:
            table.setdefault(name, {})[metric] = measurement
    return table


def by_attack(report: AuditReport) -> list[tuple[Finding, list[tuple[str, Finding]]]]:
    """Per attack, its finding in every scenario; the first one speaks for the attack itself."""
    pairs = [(f.attack, s.defense, f) for s in report.scenarios for f in s.findings]
    order = list(dict.fromkeys(attack for attack, _, _ in pairs))
    pairs.sort(key=lambda pair: order.index(pair[0]))
    grouped = []
    for _, group in groupby(pairs, key=lambda pair: pair[0]):
        members = [(scenario, finding) for _, scenario, finding in group]
        grouped.append((members[0][1], members))
    return grouped


def by_family(report: AuditReport) -> list[Family]:
    """Return the attacks of the record by what they recover, with the strongest rungs."""
    attacks = by_attack(report)
    tops: dict[str, list[tuple[str, Ladder]]] = {}
    for scenario in report.scenarios:
        for name in dict.fromkeys(ladder.family for ladder in scenario.ladders):
            top = next(ladder for ladder in scenario.ladders if ladder.family == name)
            tops.setdefault(name, []).append((scenario.defense, top))
    families = []
    for name in dict.fromkeys(family_of(attack) for attack, _ in attacks):
        rungs = [pair for pair in attacks if family_of(pair[0]) == name]
        ladders = tops.get(name, []) if len(rungs) > 1 else []
        families.append(Family(name=name, ladders=ladders, attacks=rungs))
    return families


def by_person(report: AuditReport) -> list[tuple[Scenario, Exposure]]:
    """Return the scenarios that say who is most exposed."""
    return [(s, s.exposure) for s in report.scenarios if s.exposure is not None]


def by_subgroup(report: AuditReport) -> list[tuple[str, Finding]]:
    """(scenario, finding) with subgroups, of every family the strongest rung alone."""
    found = []
    for scenario in report.scenarios:
        for _, rungs in _families(scenario.findings):
            tops = [x.strongest for x in scenario.ladders if x.family == family_of(rungs[0])][:1]
            shown = [f for f in rungs if f.attack in tops] or rungs
            found += [
                (scenario.defense, f) for f in shown if any(g.measurement for g in f.subgroups)
            ]
    return found


def all_scores(report: AuditReport) -> list[tuple[str, Score]]:
    """(scenario, score); those over all scenarios come last, under ``all``."""
    own = [(s.defense, score) for s in report.scenarios for score in s.scores]
    return [*own, *(("all", score) for score in report.scores)]


def all_matches(report: AuditReport) -> list[tuple[str, Match]]:
    """(scenario, match), the surest matches of each scenario first."""
    return [
        (scenario.defense, match)
        for scenario in report.scenarios
        for match in sorted(scenario.matches, key=lambda m: -m.similarity)
    ]
