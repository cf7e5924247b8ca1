"""Before and after each defense: figures side by side, plots, scores and privacy claims."""

from dataclasses import dataclass

from auditor.report import AuditReport, PrivacyClaim, Scenario, Score
from reports.content import claims as promises
from reports.content import tables
from reports.content.tables import Figure
from reports.plots import trade_off
from reports.plots.drawing import Drawing
from reports.plots.projection import constellations
from reports.plots.pu_weights import weight_plots
from reports.plots.similarity import strength_plots


@dataclass(frozen=True, kw_only=True)
class ScenarioCard:
    """One scenario in a few lines."""

    scenario: Scenario
    utility: list[Figure]
    leakage: list[Figure]


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One figure of one scenario, and how it changed from the first scenario."""

    figure: Figure | None
    change: str


@dataclass(frozen=True, kw_only=True)
class DefensesSection:
    """Before and after.

    Attributes:
        cards: one per scenario.
        utility: rows of the comparison: a figure, and its cell in every scenario.
        leakage: likewise.
        plots: leakage against usefulness.
        weights: PU-scores by weight.
        constellations: stored features in two dimensions.
        strengths: similarities.
        scores: (scenario, score).
        biased: scenarios whose utility is overestimated.
    """

    cards: list[ScenarioCard]
    utility: list[tuple[Figure, list[Cell]]]
    leakage: list[tuple[Figure, list[Cell]]]
    plots: list[Drawing]
    weights: list[Drawing]
    constellations: list[Drawing]
    strengths: list[Drawing]
    scores: list[tuple[str, Score]]
    biased: list[str]


@dataclass(frozen=True, kw_only=True)
class ClaimCard:
    """One privacy claim in words.

    Attributes:
        scenario: whose claim it is.
        claim: as recorded.
        badge: how its verdict looks.
        neighbours: what it protects.
        epsilons: ε as claimed, certified and audited.
        figures: the mechanism's own numbers.
        experiment: how the audited ε was obtained; empty without one.
        distances: metric privacy.
        reconstruction: the bound on any reconstruction; empty without one.
        attacked: what attacks reached, to compare with the bound.
    """

    scenario: Scenario
    claim: PrivacyClaim
    badge: str
    neighbours: str
    epsilons: list[tuple[str, str]]
    figures: list[tuple[str, str]]
    experiment: str
    distances: list[tuple[str, str, str]]
    reconstruction: str
    attacked: str


def build(report: AuditReport) -> DefensesSection:
    """Return the section that compares the scenarios."""
    rows = [(first, _cells(cells)) for first, cells in tables.compare_scenarios(report)]
    return DefensesSection(
        cards=[_card(scenario) for scenario in report.scenarios],
        utility=[row for row in rows if row[0].kind == "utility"],
        leakage=[row for row in rows if row[0].kind == "leakage"],
        plots=trade_off.plots(report),
        weights=weight_plots(report),
        constellations=constellations(report),
        strengths=strength_plots(report),
        scores=tables.all_scores(report),
        biased=[scenario.defense for scenario in report.scenarios if scenario.utility_bias],
    )


def _card(scenario: Scenario) -> ScenarioCard:
    found = tables.figures(scenario)
    return ScenarioCard(
        scenario=scenario,
        utility=[figure for figure in found if figure.kind == "utility"],
        leakage=[figure for figure in found if figure.kind == "leakage"],
    )


def _cells(figures: list[Figure | None]) -> list[Cell]:
    first = figures[0]
    return [
        Cell(figure=f, change=tables.change(first, f) if n and f else "")
        for n, f in enumerate(figures)
    ]


def claims(report: AuditReport) -> list[ClaimCard]:
    """Return the section on privacy claims."""
    return [
        ClaimCard(
            scenario=scenario,
            claim=claim,
            badge=promises.OUTCOME[claim.verdict] if claim.verdict else "",
            neighbours=promises.neighbours(claim),
            epsilons=promises.epsilons(claim),
            figures=promises.figures(claim),
            experiment=promises.experiment(claim),
            distances=promises.distances(claim),
            reconstruction=promises.reconstruction(claim.reconstruction)
            if claim.reconstruction
            else "",
            attacked=promises.naming_figures(scenario),
        )
        for scenario in report.scenarios
        for claim in scenario.claims
    ]
