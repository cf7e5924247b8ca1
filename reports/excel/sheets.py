"""The sheets of the workbook that follow from the record alone, one function each."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from types import MappingProxyType

from openpyxl.utils import get_column_letter
from openpyxl.worksheet.worksheet import Worksheet

from auditor.report import AuditReport, Measurement, PrivacyClaim, Scenario
from reports.content import claims as promises
from reports.content import compliance as annexes
from reports.content import tables
from reports.content.caveats import DISCLAIMER
from reports.content.coverage import coverage
from reports.content.facts import facts
from reports.content.tables import Figure
from reports.content.wording import UNITS, label
from reports.excel import attack_sheets, charts, person_sheets
from reports.excel.cells import Row, colour_outcomes, ends, write_table


def scenarios(sheet: Worksheet, report: AuditReport) -> None:
    """Figures down, scenarios across, and below them a chart of leakage against chance."""
    names = [scenario.defense for scenario in report.scenarios]
    ends = [f"{name}, {end}" for name in names for end in ("low", "high")]
    head = ["figure", "kind", *names, "chance", "people", *ends]
    ordered = sorted(tables.compare_scenarios(report), key=lambda row: _place(row[0]))
    widths = [42, 11, *[max(12, min(30, len(name) + 4)) for name in head[2:]]]
    last = write_table(sheet, head, widths, [_across(*row) for row in ordered])
    charted = [n for n, (figure, _) in enumerate(ordered, start=2) if _place(figure) == 1]
    if charted:
        _chart(sheet, charted[0], charted[-1], columns=len(names) + 1, row=last + 3)


def _place(figure: Figure) -> int:
    """Sort usefulness first, then leak rates, which are charted, then rungs and the rest."""
    if figure.kind == "utility":
        return 0
    rate = figure.measurement is not None and figure.measurement.unit == "fraction"
    return 1 if rate and not figure.rung else 2


def _across(figure: Figure, cells: Sequence[Figure | None]) -> Row:
    found = [cell.measurement if cell else None for cell in cells]
    first = figure.measurement
    unit = first.unit if first else ""
    return (
        figure.title,
        figure.kind,
        *((m.value if m else None, unit) for m in found),
        (first.chance if first else None, unit),
        first.n if first else None,
        *((end, unit) for m in found for end in ((m.low, m.high) if m else (None, None))),
    )


def _chart(sheet: Worksheet, first: int, last: int, columns: int, row: int) -> None:
    """Bars of the rows ``first`` to ``last``: each scenario, then chance."""
    title, wide = "Headline leakage against chance", range(3, 3 + columns)
    chart = charts.bars(sheet, title, wide, (first, last), f"A{row}", names=1)
    chart.y_axis.number_format, chart.width = "0%", 24
    chart.y_axis.scaling.min, chart.y_axis.scaling.max = 0, 1
    chart.series[-1].graphicalProperties.solidFill = charts.CHANCE_SHADE


def measurements(sheet: Worksheet, report: AuditReport) -> None:
    """Write every number of the record, one per row."""
    head = ["address", "scenario", "attack", "metric", "label", "value", "low", "high"]
    head += ["chance", "people", "worse if", "unit", "note"]
    widths = [48, 18, 18, 30, 34, 12, 12, 12, 12, 9, 10, 10, 60]
    write_table(sheet, head, widths, (_row(row) for row in tables.rows(report)))


def _row(row: tables.Row) -> Row:
    m = row.measurement
    where = (row.address, row.scenario, row.attack, m.metric, label(m.metric))
    numbers = ((number, m.unit) for number in (m.value, m.low, m.high, m.chance))
    return (*where, *numbers, m.n, m.worse, UNITS[m.unit], m.note)


def attributes(sheet: Worksheet, report: AuditReport) -> None:
    """One row per attribute and scenario."""
    head = ["scenario", "attack", "attribute"]
    for metric in tables.ATTRIBUTE_METRICS.values():
        head += [metric, f"{metric}, low", f"{metric}, high", f"{metric}, chance"]
    write_table(sheet, head, [18, 18, 24, *[16] * (len(head) - 3)], _attribute_rows(report))


def _attribute_rows(report: AuditReport) -> Iterator[Row]:
    for scenario in report.scenarios:
        for finding in scenario.findings:
            for name, found in tables.attributes(finding).items():
                figures = (
                    figure
                    for metric in tables.ATTRIBUTE_METRICS
                    for figure in _four(found.get(metric))
                )
                yield (scenario.defense, finding.attack, name, *figures)


def _four(m: Measurement | None) -> list[tuple[float | None, str]]:
    return [*ends(m), (m.chance, m.unit) if m else (None, "")]


def curves(sheet: Worksheet, report: AuditReport) -> None:
    """Write every point of every curve, one per row, and a chart of each of the first few."""
    head = ["scenario", "attack", "curve", "metric", "horizontal axis", "x", "value", "low"]
    head += ["high", "statement"]
    found = [
        (scenario.defense, finding.attack, curve)
        for scenario in report.scenarios
        for finding in scenario.findings
        for curve in finding.curves
        if curve.points
    ]
    body: Iterator[Row] = (
        (scenario, attack, curve.name, curve.metric, curve.x, *point, curve.statement)
        for scenario, attack, curve in found
        for point in curve.points
    )
    widths = [18, 18, 18, 26, 26, 12, 12, 12, 12, 100]
    write_table(sheet, head, widths, body)
    row = 2
    for (scenario, attack, curve), place in zip(found, charts.places("L"), strict=False):
        rows = (row, row + len(curve.points) - 1)
        title = f"{scenario}, {attack}: {label(curve.metric)} against {curve.x}"
        log = curve.log_x and curve.points[0][0] > 0
        charts.curve(sheet, title, 6, 7, rows, place, log=log)
        row = rows[1] + 1


def weights(sheet: Worksheet, report: AuditReport) -> None:
    """Write and chart the PU-scores as their weight moves from utility (0) to privacy (2)."""
    names = [scenario.defense for scenario in report.scenarios]
    scored = [{score.name: dict(score.weighted) for score in s.scores} for s in report.scenarios]
    found = dict.fromkeys(name for each in scored for name, points in each.items() if points)
    steps = {name: sorted({w for each in scored for w in each.get(name, {})}) for name in found}
    body: Iterator[Row] = (
        (label(name), weight, *((each.get(name, {}).get(weight), "ratio") for each in scored))
        for name in found
        for weight in steps[name]
    )
    head = ["score", "weight of privacy", *names]
    write_table(sheet, head, [26, 18, *[max(12, min(30, len(name) + 4)) for name in names]], body)
    row, beside = 2, get_column_letter(len(head) + 2)
    for name, place in zip(found, charts.places(beside), strict=False):
        rows = (row, row + len(steps[name]) - 1)
        chart = charts.lines(
            sheet, f"{label(name)} by weight", range(3, 3 + len(names)), rows, place, names=2
        )
        chart.y_axis.scaling.min, chart.y_axis.scaling.max = 0, 1
        row = rows[1] + 1


def claims(sheet: Worksheet, report: AuditReport) -> None:
    """Write what each release promises, what its numbers certify, and what an experiment proves."""
    head = ["scenario", "verdict", "mechanism", "unit", "neighbours", "ε claimed", "ε certified"]
    head += ["ε audited, at least", "ε audited, assumes Gaussian", "ε identity", "δ", "σ", "norm"]
    head += ["sensitivity", "releases", "sticky", "images per identity", "metric ε"]
    head += ["reconstruction bound", "attacks that name people", "reason", "remarks"]
    head += ["training"]
    body = (_claim(scenario, claim) for scenario in report.scenarios for claim in scenario.claims)
    widths = [18, 16, 36, 10, 22, 12, 12, 12, 14, 12, 12, 12, 8, 12, 10, 8, 12, 60, 50, 40, 60, 80]
    widths += [40]
    wrapped = ["metric ε", "reconstruction bound", "attacks that name people", "reason", "remarks"]
    wrapped += ["training"]
    last = write_table(sheet, head, widths, body, wrapped=wrapped)
    colour_outcomes(sheet, f"B2:B{last + 1}", promises.OUTCOME)


def _claim(scenario: Scenario, claim: PrivacyClaim) -> Row:
    audited, bound = claim.audited, claim.reconstruction
    distances = promises.distances(claim)
    return (
        scenario.defense,
        claim.verdict,
        claim.mechanism,
        claim.unit,
        claim.neighbours,
        claim.epsilon_claimed,
        claim.epsilon_certified,
        audited.epsilon if audited else None,
        audited.epsilon_gaussian if audited else None,
        claim.epsilon_identity,
        claim.delta,
        claim.sigma,
        claim.norm,
        claim.sensitivity,
        claim.releases,
        claim.sticky,
        claim.images_per_identity,
        "\n".join(f"{between}, {far} apart: {epsilon}" for between, far, epsilon in distances),
        promises.reconstruction(bound) if bound else None,
        promises.naming_figures(scenario) if bound else None,
        claim.reason,
        "\n".join(claim.remarks),
        promises.training(claim),
    )


def scores(sheet: Worksheet, report: AuditReport) -> None:
    """Write utility and leakage in one number, with everything that went in."""
    head = ["scenario", "score", "definition", "value", "low", "high", "undefined because"]
    head += ["biased because", "formula", "inputs"]
    biases = {s.defense: s.utility_bias for s in report.scenarios}
    body: Iterator[Row] = (
        (
            scenario,
            label(score.name),
            score.definition,
            *_four(score.measurement)[:3],
            score.undefined,
            biases.get(scenario, ""),
            score.formula,
            "\n".join(f"{name} = {value:.6g}" for name, value in score.inputs.items()),
        )
        for scenario, score in tables.all_scores(report)
    )
    widths = [18, 22, 12, 12, 12, 12, 40, 40, 60, 36]
    wrapped = ["formula", "inputs", "undefined because", "biased because"]
    write_table(sheet, head, widths, body, wrapped=wrapped)


def compliance(sheet: Worksheet, report: AuditReport) -> None:
    """Attack coverage with scope and execution apart, then the headings of the other annexes."""
    head = ["annex", "place", "heading", "in scope", "executed", "attacks", "text"]
    opinion = "EDPB Opinion 28/2024, paragraph 55"
    body: list[Row] = [("disclaimer", "", "", None, "", "", DISCLAIMER)]
    body += [
        (
            opinion,
            row.place,
            row.attack_class,
            row.in_scope,
            row.executed,
            row.methods,
            "\n".join((row.reading, *row.results, *row.limits)),
        )
        for row in coverage(report)
    ]
    body += [
        (annex.title, "", entry.heading, None, "", "", "\n".join(entry.texts))
        for annex in annexes.annexes(report)
        for entry in annex.entries
    ]
    write_table(sheet, head, [44, 10, 34, 10, 14, 40, 110], body, wrapped=["annex", "text"])


def probe(sheet: Worksheet, report: AuditReport) -> None:
    """Write the sanity probe's answers."""
    body = ((check.outcome, check.name, check.detail) for check in report.probe)
    head = ["outcome", "question", "answer"]
    last = write_table(sheet, head, [12, 22, 110], body, wrapped=["answer"])
    colour_outcomes(sheet, f"A2:A{last + 1}")


def config(sheet: Worksheet, report: AuditReport) -> None:
    """Write configuration, model, data and environment, one fact per row."""
    parts: Mapping[str, Mapping[str, object]] = {
        "configuration": report.config,
        "model": report.model,
        "data": report.data,
        "environment": report.environment,
    }
    body = ((part, *fact) for part, mapping in parts.items() for fact in facts(mapping))
    write_table(sheet, ["part", "key", "value"], [16, 40, 90], body, wrapped=["value"])


SHEETS: Mapping[str, Callable[[Worksheet, AuditReport], None]] = MappingProxyType(
    {
        "Scenarios": scenarios,
        "Measurements": measurements,
        "Matches": person_sheets.matches,
        "Rank lists": person_sheets.rank_lists,
        "Attributes": attributes,
        "Threat models": attack_sheets.threat_models,
        "Power": attack_sheets.power,
        "Co-trained": attack_sheets.co_trained,
        "Notes": attack_sheets.notes,
        "Curves": curves,
        "Subgroups": person_sheets.subgroups,
        "Exposed": person_sheets.exposed,
        "DP": claims,
        "Scores": scores,
        "Weights": weights,
        "Compliance": compliance,
        "Probe": probe,
        "Config": config,
    }
)
