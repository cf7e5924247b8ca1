"""The record made of whatever results there are; plain data in, plain data out.

An interrupted run reads like a finished one with findings missing.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from auditor import plugins
from auditor.certification import certificates
from auditor.certification.proving import Controls
from auditor.config import BARE, AuditConfig
from auditor.config.blocks import CHAIN
from auditor.evaluation.budget import Budget
from auditor.evaluation.exposure import exposure
from auditor.evaluation.ladders import comparable, families, ladder, ladders, strongest
from auditor.evaluation.saturation import complete_curve
from auditor.evaluation.utility import Utility
from auditor.gates.evidence import doubts
from auditor.metrics import scores
from auditor.pipeline.journal import Result, controls_of
from auditor.report import (
    AuditReport,
    Finding,
    Ladder,
    Measurement,
    Power,
    Scenario,
    Score,
)
from auditor.types import Attack, Defense

PU_LEAKAGE = ("top1", "mean_f1", "reid_rank1")
"""The figures that stand for a family's success in the PU-score."""
REVERSAL = "reid_rank1"
"""The figure that stands for reversibility in URR; ``.JUDGE`` follows if the judge is another."""


def assemble(
    config: AuditConfig, head: AuditReport, results: Mapping[str, Result], *, complete: bool
) -> AuditReport:
    """Return the record made of the results there are.

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
    compared = [_compare(ground_certificates(scenario, scenarios[0])) for scenario in scenarios]
    scored = tuple(_score(scenario, compared[0]) for scenario in compared)
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
    for attack, built in config.attacks.items():
        finding = results.get(f"{label}/{attack}")
        if not isinstance(finding, Finding):
            reason = "the audit was interrupted before this attack ran"
            finding = blank_finding(attack, built, status="failed", reason=reason)
        elif config.budget and label in config.budget_scenarios:
            finding = _with_budget(finding, results.get(f"{label}/{attack}/budget"))
        powers = certificates.about(_powers(label, attack, results), finding.measurements)
        findings.append(replace(finding, powers=powers))
    name, summary = "", "The model as it is."
    params: dict[str, Any] = {}
    if label != BARE:
        name, summary, params = _describe(config.defenses[label])
    return Scenario(
        defense=label,
        plugin=name,
        summary=summary,
        params=params,
        claims=utility.claims,
        co_trained=utility.co_trained,
        utility=utility.measurements,
        findings=tuple(findings),
        matches=utility.matches,
        rank_lists=utility.rank_lists,
        embedding=utility.embedding,
        status="failed" if utility.reason else "done",
        reason=utility.reason,
        notes=utility.notes,
        utility_bias=utility.bias,
    )


def _powers(label: str, attack: str, results: Mapping[str, Result]) -> tuple[Power, ...]:
    """Return the attack's certificates in one scenario; none where the controls did not run."""
    bare = results.get(controls_of(BARE, attack))
    tried = results.get(controls_of(label, attack))
    if not isinstance(bare, Controls) or not isinstance(tried, Controls):
        return ()
    if label == BARE or tried.as_bare:
        return bare.powers
    return certificates.behind(tried.powers, bare.powers)


def _describe(defenses: Sequence[Defense]) -> tuple[str, str, dict[str, Any]]:
    """Name, summary and hyper-parameters of a defense, or of a chain of them."""
    summary = " ".join(plugins.summary(defense) for defense in defenses)
    named = [(plugins.name_of("defenses", d), plugins.recorded(d)) for d in defenses]
    if len(named) == 1:
        return named[0][0], summary, named[0][1]
    chain = [{"use": name, **params} for name, params in named]
    return "+".join(name for name, _ in named), summary, {CHAIN: chain}


def _with_budget(finding: Finding, budget: Result | None) -> Finding:
    """Return a finding with its budget curves, or with a note on why there are none."""
    headline = finding.headline
    if finding.status != "done" or headline is None:
        return finding
    if not isinstance(budget, Budget):
        return _note(finding, "its budget curves are missing: the audit was interrupted before")
    notes, curves = list(budget.notes), []
    for part in budget.curves:
        headline = _named(finding.measurements, part.curve.metric) or headline
        if curve := complete_curve(part.curve, part.whole, headline):
            curves.append(curve)
        else:
            notes.append(
                f"{headline.metric} does not depend on {part.curve.x}: from "
                f"{part.curve.points[0][0]:g} to {part.whole:g} it is the same to the last digit"
            )
    return _note(replace(finding, curves=(*curves, *finding.curves)), *notes)


def _note(finding: Finding, *notes: str) -> Finding:
    return replace(finding, notes=(*finding.notes, *notes))


def blank_finding(label: str, attack: Attack, **fields: Any) -> Finding:
    """Return a finding with all facts about its attack; ``fields`` give the outcome."""
    name = plugins.name_of("attacks", attack)
    installed, info = name in plugins.installed("attacks"), plugins.describe(attack)
    return Finding(
        attack=label,
        plugin=name,
        family=info.family or (name if installed else label),
        summary=plugins.summary(attack),
        threat_model=plugins.threat_model(attack),
        adversary=info.adversary,
        params=plugins.recorded(attack),
        **fields,
    )


def ground_certificates(scenario: Scenario, bare: Scenario) -> Scenario:
    """Return where there is nothing to find, an attack counts only if it works on the bare target.

    Else an attack that never finds anything would be excused by any release that hides the planted
    leak.
    """
    able = {
        (finding.attack, power.metric)
        for finding in bare.findings
        for power in finding.powers
        if power.shown
    }
    findings = tuple(
        replace(
            finding,
            powers=tuple(
                power if (finding.attack, power.metric) in able else _withdraw_excuse(power)
                for power in finding.powers
            ),
        )
        for finding in scenario.findings
    )
    return replace(scenario, findings=findings)


def _withdraw_excuse(power: Power) -> Power:
    if power.outcome != "nothing-to-find":
        return power
    reason = f"it has not been shown to work on the bare target, and here {power.reason}"
    return replace(power, outcome="weak", reason=reason)


def _compare(scenario: Scenario) -> Scenario:
    """Add what follows from all findings together: the strongest rungs, the most exposed people."""
    return replace(
        scenario, ladders=ladders(scenario.findings), exposure=exposure(scenario.findings)
    )


def _score(scenario: Scenario, bare: Scenario) -> Scenario:
    """Add the PU-scores, and URR-1 where there is a bare scenario to compare with.

    What goes in is the strongest rung of each family, so that adding a weak attack changes nothing.
    """
    utility, bare_utility = _named(scenario.utility, "map"), _named(bare.utility, "map")
    if utility is None:
        return scenario
    found: list[Score] = []
    for family, rungs in families(scenario.findings).items():
        tops = (ladder(rungs, metric) for metric in PU_LEAKAGE)
        if top := next((top for top in tops if top is not None), None):
            found.append(_pu(f"pu_{family}", utility, top))
    metric = _reversal_metric(bare)
    pair = [_strongest(s, metric) for s in (scenario, bare)] if metric else []
    if bare_utility and len(pair) == 2 and pair[0] and pair[1]:
        found.append(scores.urr1(utility, pair[0], bare_utility, pair[1]))
    return replace(scenario, scores=tuple(found))


def _pu(name: str, utility: Measurement, top: Ladder) -> Score:
    if top.void:
        return Score(
            name=name,
            definition="pu",
            formula=scores.PU_FORMULA,
            measurement=None,
            undefined=top.reason,
        )
    return scores.pu(name, utility, top.measurement)


def _frontier(scenarios: tuple[Scenario, ...]) -> dict[str, tuple[float, float]]:
    """Return scenario -> (excess reversibility, relative utility), but for biased utility."""
    points = {s.defense: scores.trade_off(s.scores) for s in scenarios if not s.utility_bias}
    return {name: point for name, point in points.items() if point is not None}


def _reversal_metric(bare: Scenario) -> str:
    """Return the type-II re-identification rate, by an independent judge if there was one."""
    rates = [
        m.metric
        for finding in bare.findings
        for m in finding.measurements
        if m.metric == REVERSAL or m.metric.startswith(f"{REVERSAL}.")
    ]
    independent = [metric for metric in rates if metric != REVERSAL]
    return next(iter(independent or rates), "")


def _strongest(scenario: Scenario, metric: str) -> Measurement | None:
    """Return the worst value of ``metric`` over the scenario's rungs, with its persons."""
    sound = [f for f in comparable(scenario.findings, metric) if not doubts(f, metric).failing]
    picked = strongest(sound, metric)
    return picked[1] if picked else None


def _named(measurements: tuple[Measurement, ...], metric: str) -> Measurement | None:
    return next((m for m in measurements if m.metric == metric), None)
