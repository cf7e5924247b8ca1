"""The record as tidy rows, shared by every renderer; nothing here decides anything.

Verdicts come from `auditor.gates`; fractions stay fractions until `reports.wording`.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Literal

from auditor.gates import Outcome, Verdict, overall, powerless, unshown
from auditor.report import AuditReport, Finding, Match, Measurement, Power, Scenario, Score
from reports.wording import UTILITY, label, listing

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
    """

    key: str
    title: str
    kind: Kind
    measurement: Measurement | None
    reason: str = ""


@dataclass(frozen=True, kw_only=True)
class Row:
    """One measurement with where it comes from."""

    address: str
    scenario: str
    attack: str
    measurement: Measurement


def verdict_of(report: AuditReport, verdicts: Sequence[Verdict]) -> Ruling:
    """The ruling on a record; without gates it measures and does not judge."""
    outcome = overall(report, verdicts)
    doubts = tuple(unshown(report))
    if not verdicts and outcome == "pass":
        title, sentence = "Measured, not judged", _no_gates()
        return Ruling(outcome="measured", title=title, sentence=sentence, doubts=doubts)
    deciding = [v for v in verdicts if v.gate.level == "error"]
    sentence = _sentence(report, outcome, deciding, bool(verdicts), doubts)
    return Ruling(outcome=outcome, title=outcome.capitalize(), sentence=sentence, doubts=doubts)


def _no_gates() -> str:
    return "No gates were set: this report measures and does not judge."


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
            return "Only warning gates were set, and everything planned was shown."
        hold = "The gate holds" if len(deciding) == 1 else f"All {len(deciding)} gate verdicts hold"
        return f"{hold}, and every attack that ran has shown its power."
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


def headline(finding: Finding) -> Measurement | None:
    """The figure an attack is judged by: the one its certificate names, or its first."""
    wanted = finding.power.metric if finding.power else ""
    named = [m for m in finding.measurements if m.metric == wanted]
    return next(iter([*named, *finding.measurements]), None)


def figures(scenario: Scenario) -> list[Figure]:
    """A scenario in a few lines: its main utility figures, and each attack's headline."""
    if scenario.status == "failed":
        return []
    utility = [
        Figure(key=f"utility/{m.metric}", title=label(m.metric), kind="utility", measurement=m)
        for m in scenario.utility
        if m.metric in UTILITY
    ]
    return [*utility, *(_leak(finding) for finding in scenario.findings)]


def _leak(finding: Finding) -> Figure:
    found = headline(finding) if finding.status == "done" else None
    metric = found.metric if found else (finding.power.metric if finding.power else "")
    title = f"{finding.attack}: {label(metric)}" if metric else finding.attack
    reason = powerless(finding)
    return Figure(key=finding.attack, title=title, kind="leakage", measurement=found, reason=reason)


def comparison(report: AuditReport) -> list[tuple[Figure, list[Figure | None]]]:
    """Per question, the figure of every scenario in order; the first one found gives the title."""
    columns = [{f.key: f for f in figures(scenario)} for scenario in report.scenarios]
    keys = dict.fromkeys(key for kind in ("utility", "leakage") for key in _keys(columns, kind))
    rows = []
    for key in keys:
        cells = [column.get(key) for column in columns]
        known = [cell for cell in cells if cell is not None]
        measured = [cell for cell in known if cell.measurement is not None]
        rows.append(((measured or known)[0], cells))
    return rows


def _keys(columns: Sequence[dict[str, Figure]], kind: str) -> Iterator[str]:
    return (key for column in columns for key, figure in column.items() if figure.kind == kind)


def rows(report: AuditReport) -> list[Row]:
    """Every measurement of the record, those of undivided scores last."""
    return [
        Row(
            address=f"{scenario}/{attack}/{measurement.metric}",
            scenario=scenario,
            attack=attack,
            measurement=measurement,
        )
        for scenario, attack, measurements in _measured(report)
        for measurement in measurements
    ]


def _measured(report: AuditReport) -> Iterator[tuple[str, str, Sequence[Measurement]]]:
    for scenario in report.scenarios:
        yield scenario.defense, "utility", scenario.utility
        for finding in scenario.findings:
            yield scenario.defense, finding.attack, finding.measurements
    for name, score in all_scores(report):
        if score.measurement is not None:
            yield name, "scores", [score.measurement]


def measured(
    members: Sequence[tuple[str, Finding]], metric: str
) -> tuple[list[tuple[str, Measurement]], list[str]]:
    """An attack's ``metric`` in every scenario that has it, and what there is to say about it."""
    found = [
        (scenario, m)
        for scenario, finding in members
        for m in finding.measurements
        if m.metric == metric
    ]
    return found, list(dict.fromkeys(m.note for _, m in found if m.note))


def attributes(finding: Finding) -> dict[str, dict[str, Measurement]]:
    """Attribute -> metric -> measurement, from metrics named ``<attribute>.<metric>``."""
    table: dict[str, dict[str, Measurement]] = {}
    for measurement in finding.measurements:
        name, dot, metric = measurement.metric.rpartition(".")
        if dot and metric in {"balanced_accuracy", "f1", "accuracy"}:
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


def certificate(members: Sequence[tuple[str, Finding]]) -> Power | None:
    """The power certificate of an attack, which is the same in every scenario."""
    return next((finding.power for _, finding in members if finding.power), None)


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
