"""What a defense's own adversary reached, beside the strongest fresh one of its family."""

from dataclasses import dataclass

from auditor.gates.evidence import family_of
from auditor.report import AFRESH, AuditReport, Finding, Measurement, Scenario

SHOWN = ("top1", "reid_rank1", "reid_map", "ssim", "lpips")
"""Beginnings of the metrics that say how well a person was named, or a picture reconstructed."""


@dataclass(frozen=True, kw_only=True)
class Pair:
    """One figure, twice.

    Attributes:
        scenario: the defended one.
        own: of the adversary that the defense was trained against.
        fresh: of the strongest attack that was trained afterwards; None where none measured it.
        attack: that attack.
    """

    scenario: str
    own: Measurement
    fresh: Measurement | None
    attack: str


def pairs(report: AuditReport) -> list[Pair]:
    """Return every such figure of every scenario, in the order of the record."""
    return [pair for scenario in report.scenarios for pair in _pairs(scenario)]


def _pairs(scenario: Scenario) -> list[Pair]:
    found = []
    for trained in scenario.co_trained:
        rungs = [f for f in scenario.findings if family_of(f) == trained.family]
        for own in trained.measurements:
            if own.metric.startswith(SHOWN) and not own.metric.endswith(AFRESH):
                attack, fresh = _beside(own, trained, rungs)
                pair = Pair(scenario=scenario.defense, own=own, fresh=fresh, attack=attack)
                found.append(pair)
    return found


def _beside(
    own: Measurement, trained: Finding, rungs: list[Finding]
) -> tuple[str, Measurement | None]:
    """Return what a fresh one reached on the same people, or else the family's strongest attack."""
    for other in trained.measurements:
        if other.metric == f"{own.metric}{AFRESH}":
            return "afresh, on the same people", other
    return _strongest(rungs, own.metric)


def _strongest(rungs: list[Finding], metric: str) -> tuple[str, Measurement | None]:
    having = [(f.attack, m) for f in rungs for m in f.measurements if m.metric == metric]
    if not having:
        return "", None
    return max(having, key=lambda pair: pair[1].value * (1 if pair[1].worse == "higher" else -1))
