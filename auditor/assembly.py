"""The record made of whatever results there are; plain data in, plain data out.

An interrupted run reads like a finished one with findings missing.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from auditor import plugins
from auditor.config import BARE, AuditConfig, plugin_of
from auditor.journal import Result, Utility
from auditor.metrics import scores
from auditor.report import AuditReport, Finding, Measurement, Power, Scenario, Score

PU_LEAKAGE = ("top1", "mean_f1", "reid_rank1")
"""The figures that stand for an attack's success in the PU-score."""


def assemble(
    config: AuditConfig, head: AuditReport, results: Mapping[str, Result], *, complete: bool
) -> AuditReport:
    """The record made of the results there are.

    Args:
        config: what was planned.
        head: the record before any step has run.
        results: step name -> result.
        complete: whether every planned step is among them.
    """
    probe = results.get("probe", ())
    scenarios = [
        _scenario(config, label, results)
        for label in (BARE, *config.defenses)
        if f"{label}/utility" in results
    ]
    scored = tuple(_scored(scenario, scenarios[0]) for scenario in scenarios)
    return replace(
        head,
        probe=probe if isinstance(probe, tuple) else (),
        scenarios=scored,
        scores=(scores.urr2(_frontier(scored)),) if scored else (),
        complete=complete,
    )


def _scenario(config: AuditConfig, label: str, results: Mapping[str, Result]) -> Scenario:
    utility = results[f"{label}/utility"]
    assert isinstance(utility, Utility)
    findings = []
    for attack in config.attacks:
        finding, power = results.get(f"{label}/{attack}"), results.get(f"controls/{attack}")
        if not isinstance(finding, Finding):
            reason = "the audit was interrupted before this attack ran"
            finding = blank_finding(config, attack, status="failed", reason=reason)
        findings.append(replace(finding, power=power if isinstance(power, Power) else None))
    name, summary = "", "The model as it is."
    params: dict[str, Any] = {}
    if label != BARE:
        name, params = plugin_of(label, config.defenses[label])
        defense = plugins.build("defenses", name, params)
        params, summary = plugins.parameters(defense), plugins.summary(defense)
    return Scenario(
        defense=label,
        plugin=name,
        summary=summary,
        params=params,
        claims=utility.claims,
        utility=utility.measurements,
        findings=tuple(findings),
        matches=utility.matches,
        status="failed" if utility.reason else "done",
        reason=utility.reason,
    )


def blank_finding(config: AuditConfig, label: str, **fields: Any) -> Finding:
    """A finding that knows everything about its attack but the outcome, given by ``fields``."""
    name, params = plugin_of(label, config.attacks[label])
    attack = plugins.build("attacks", name, params)
    return Finding(
        attack=label,
        plugin=name,
        family=getattr(attack, "family", name),
        summary=plugins.summary(attack),
        threat_model=plugins.threat_model(attack),
        params=plugins.parameters(attack),
        **fields,
    )


def _scored(scenario: Scenario, bare: Scenario) -> Scenario:
    """Add the PU-scores, and URR-1 where there is a bare scenario to compare with."""
    utility = _named(scenario.utility, "map")
    if utility is None:
        return scenario
    found: list[Score] = []
    for finding in scenario.findings:
        leaks = [m for m in finding.measurements if m.metric in PU_LEAKAGE]
        found += [scores.pu(f"pu_{finding.attack}", utility, leak) for leak in leaks]
    for finding in scenario.findings:
        pair = _reversal(finding), _reversal(_same(bare, finding.attack))
        bare_utility = _named(bare.utility, "map")
        if pair[0] and pair[1] and bare_utility:
            found.append(scores.urr1(utility, pair[0], bare_utility, pair[1]))
    return replace(scenario, scores=tuple(found))


def _frontier(scenarios: tuple[Scenario, ...]) -> dict[str, tuple[float, float]]:
    """Scenario -> (excess reversibility, relative utility), from the inputs of URR-1."""
    points = {}
    for scenario in scenarios:
        for score in scenario.scores:
            if score.name == "urr1" and score.measurement is not None:
                i = score.inputs
                span = i["reversal_bare"] - i["reversal_floor_bare"]
                excess = max(0.0, i["reversal"] - i["reversal_floor"]) / span
                points[scenario.defense] = (excess, i["utility"] / i["utility_bare"])
    return points


def _reversal(finding: Finding | None) -> Measurement | None:
    """A finding's type-II re-identification rate: an independent judge's if there was one."""
    if finding is None:
        return None
    rates = [m for m in finding.measurements if m.metric.startswith("reid_rank1")]
    independent = [m for m in rates if m.metric != "reid_rank1"]
    return next(iter(independent or rates), None)


def _same(scenario: Scenario, attack: str) -> Finding | None:
    return next((f for f in scenario.findings if f.attack == attack), None)


def _named(measurements: tuple[Measurement, ...], metric: str) -> Measurement | None:
    return next((m for m in measurements if m.metric == metric), None)
