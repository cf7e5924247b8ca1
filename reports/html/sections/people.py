"""The most exposed people, groups of people, and a few rank lists."""

from dataclasses import dataclass
from pathlib import Path

from auditor.report import (
    SMALLEST_GROUP,
    AuditReport,
    Exposure,
    Finding,
    Gap,
    RankList,
    Scenario,
)
from reports.content import tables
from reports.html.exhibits import Exhibit, picture

SIGNIFICANT = 0.05
"""The corrected p-value up to which a difference between groups is called measurable."""


@dataclass(frozen=True, kw_only=True)
class GroupsPart:
    """One attack's figures by attribute value, and the differences that are significant."""

    scenario: str
    finding: Finding
    significant: list[Gap]


@dataclass(frozen=True, kw_only=True)
class PeopleSection:
    """Who is most exposed, one by one and by group."""

    exposed: list[tuple[Scenario, Exposure]]
    groups: list[GroupsPart]
    smallest_group: int


@dataclass(frozen=True, kw_only=True)
class RankListsPart:
    """The rank lists of one scenario, each with its picture."""

    scenario: str
    lists: list[tuple[RankList, Exhibit]]


def build(report: AuditReport) -> PeopleSection:
    """Return the section on people."""
    return PeopleSection(
        exposed=tables.by_person(report),
        groups=[
            GroupsPart(
                scenario=scenario,
                finding=finding,
                significant=[gap for gap in finding.gaps if gap.p_adjusted <= SIGNIFICANT],
            )
            for scenario, finding in tables.by_subgroup(report)
        ],
        smallest_group=SMALLEST_GROUP,
    )


def rank_lists(report: AuditReport, *, root: Path, reveal: bool) -> list[RankListsPart]:
    """Return the scenarios that have rank lists; their matches are cut at `LISTED`."""
    return [
        RankListsPart(
            scenario=scenario.defense,
            lists=[
                (found, picture(report, found.picture, root, reveal=reveal))
                for found in scenario.rank_lists
            ],
        )
        for scenario in report.scenarios
        if scenario.rank_lists
    ]
