"""The sheets about people: who was found as whom, who is most exposed, alone and by group."""

from collections.abc import Iterator

from openpyxl.worksheet.worksheet import Worksheet

from auditor.report import AuditReport
from reports.content import tables
from reports.excel import charts
from reports.excel.cells import Row, colour_outcomes, ends, write_table

CHARTED = 24
"""Matches of the first scenario that are drawn, the surest first."""
RIGHT = {"yes": "pass", "no": "fail"}


def matches(sheet: Worksheet, report: AuditReport) -> None:
    """Query → best match → similarity, cross-camera."""
    head = ["scenario", "query identity", "query camera", "matched identity", "matched camera"]
    head += ["similarity", "correct", "rank of the true match"]
    body = (
        (
            scenario,
            match.query_id,
            match.query_camera,
            match.match_id,
            match.match_camera,
            (match.similarity, "distance"),
            match.correct,
            match.rank,
        )
        for scenario, match in tables.all_matches(report)
    )
    last = write_table(sheet, head, [18, 16, 14, 18, 16, 12, 10, 22], body)
    colour_outcomes(sheet, f"G2:G{last + 1}", RIGHT)
    shown = len(report.scenarios[0].matches) if report.scenarios else 0
    if shown:
        title = f"Highest similarities in {report.scenarios[0].defense}"
        charts.bars(sheet, title, [6], (2, 1 + min(shown, CHARTED)), "J2", names=2)


def rank_lists(sheet: Worksheet, report: AuditReport) -> None:
    """Write the best matches of a few queries, one per row; numbered as on the page."""
    head = ["scenario", "query", "query identity", "query camera", "rank of the true match"]
    head += ["place", "matched identity", "matched camera", "similarity", "correct"]
    body = (
        (
            scenario.defense,
            number,
            shown.query_id,
            shown.query_camera,
            shown.rank,
            place,
            match.match_id,
            match.match_camera,
            (match.similarity, "distance"),
            match.correct,
        )
        for scenario in report.scenarios
        for number, shown in enumerate(scenario.rank_lists, start=1)
        for place, match in enumerate(shown.matches, start=1)
    )
    last = write_table(sheet, head, [18, 9, 16, 14, 22, 9, 18, 16, 12, 10], body)
    colour_outcomes(sheet, f"J2:J{last + 1}", RIGHT)


def subgroups(sheet: Worksheet, report: AuditReport) -> None:
    """Write every headline by attribute value; groups that are not shown have no number."""
    head = ["scenario", "attack", "attribute", "attribute value", "metric", "value", "low", "high"]
    head += ["people", "widest difference", "p", "p after Holm"]
    widths = [18, 18, 22, 22, 40, 12, 12, 12, 10, 18, 10, 14]
    write_table(sheet, head, widths, _subgroup_rows(report))


def _subgroup_rows(report: AuditReport) -> Iterator[Row]:
    for scenario in report.scenarios:
        for finding in scenario.findings:
            gaps = {gap.attribute: gap for gap in finding.gaps}
            for group in finding.subgroups:
                m, gap = group.measurement, gaps.get(group.attribute)
                yield (
                    scenario.defense,
                    finding.attack,
                    group.attribute,
                    group.value,
                    m.metric if m else None,
                    *ends(m),
                    m.n if m else None,
                    (gap.difference if gap else None, "fraction"),
                    gap.p if gap else None,
                    gap.p_adjusted if gap else None,
                )


def exposed(sheet: Worksheet, report: AuditReport) -> None:
    """Write the most exposed people of every scenario, under pseudonyms."""
    head = ["scenario", "person", "pictures found", "by", "pictures tried", "mean over attacks"]
    body: Iterator[Row] = (
        (
            scenario.defense,
            person.pseudonym,
            (person.leakage, "fraction"),
            person.attack,
            person.images,
            (person.average, "fraction"),
        )
        for scenario, exposure in tables.by_person(report)
        for person in exposure.most
    )
    write_table(sheet, head, [18, 14, 14, 18, 16, 20], body)
