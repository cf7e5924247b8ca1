"""What was attacked, by whom, and what a second run would have to repeat."""

from collections.abc import Mapping
from dataclasses import dataclass

from markupsafe import Markup, escape

from auditor.report import AuditReport, ProbeCheck, Scenario
from reports.content import context, threat_models
from reports.content.facts import as_yaml, facts

Facts = list[tuple[str, str]]


@dataclass(frozen=True, kw_only=True)
class ScopeSection:
    """The audited model and its people, what is released, and how the model was fed.

    Attributes:
        facts: the model, the people and the ranking, in brief.
        releases: (scenario, its parameters).
        probe: the checks made before any attack.
        notices: what was noticed about the data.
        model: every fact about the model file.
        card: its preprocessing.
        judges: (independent judge, the facts about it).
        data: every fact about the data.
    """

    facts: Facts
    releases: list[tuple[Scenario, Facts]]
    probe: tuple[ProbeCheck, ...]
    notices: list[str]
    model: Facts
    card: Facts
    judges: list[tuple[str, Facts]]
    data: Facts


@dataclass(frozen=True, kw_only=True)
class ReproducibilitySection:
    """Hashes, versions and configuration, and the fingerprint that a signature names."""

    identity: Facts
    versions: Facts
    configuration: Markup
    fingerprint: str


def scope(report: AuditReport) -> ScopeSection:
    """Return the section on scope and release context."""
    card, judges = report.model.get("card"), report.model.get("judges")
    return ScopeSection(
        facts=context.scope(report),
        releases=[(scenario, facts(scenario.params)) for scenario in report.scenarios],
        probe=report.probe,
        notices=list(report.data.get("notices") or ()),
        model=facts(report.model, ("card", "judges")),
        card=facts(card) if isinstance(card, Mapping) else [],
        judges=[
            (judge, facts(about))
            for judge, about in (judges.items() if isinstance(judges, Mapping) else ())
            if isinstance(about, Mapping)
        ],
        data=facts(report.data, ("notices",)),
    )


def threats(report: AuditReport) -> list[threat_models.Threat]:
    """Return the threat model of every attack."""
    return threat_models.threats(report)


def reproducibility(report: AuditReport, stored: AuditReport) -> ReproducibilitySection:
    """Return the section on reproducibility; ``stored`` is the record as it lies on disk."""
    return ReproducibilitySection(
        identity=context.identity(report),
        versions=facts(report.environment),
        configuration=escape(as_yaml(report.config)),  # cleaned already, and too long to be cut
        fingerprint=context.fingerprint(stored),
    )
