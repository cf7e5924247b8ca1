"""The threat model of every attack, one row each: knowledge, access, auxiliary data, budget."""

from dataclasses import dataclass

from auditor.report import Adversary, AuditReport, Finding
from reports.content.facts import facts
from reports.content.tables import by_attack

SPENT = (
    "epochs",
    "surrogate_epochs",
    "iterations",
    "steps",
    "rounds",
    "restarts",
    "queries",
    "candidates",
    "samples",
    "population",
    "shadows",
    "releases",
    "keys",
    "pairs",
    "anchors",
    "per_person",
    "images",
    "people",
    "train_share",
)
"""Hyper-parameters that say how much an attack may spend."""


@dataclass(frozen=True, kw_only=True)
class Threat:
    """One attack's threat model.

    Attributes:
        attack: its label.
        recovers: what it recovers.
        adversary: in a few words; None where its plug-in does not say.
        prose: at length, for where it does not.
        budget: what it may spend.
        doubt: why it was not run; empty if it was, in any scenario.
    """

    attack: str
    recovers: str
    adversary: Adversary | None
    prose: str
    budget: str
    doubt: str = ""


def threats(report: AuditReport) -> list[Threat]:
    """One per attack, in the order of the configuration."""
    return [
        Threat(
            attack=first.attack,
            recovers=first.summary,
            adversary=first.adversary,
            prose=first.threat_model,
            budget=budget(first),
            doubt=""
            if any(finding.status == "done" for _, finding in members)
            else members[0][1].reason,
        )
        for first, members in by_attack(report)
    ]


def budget(finding: Finding) -> str:
    """Return what the attack may spend, from its hyper-parameters.

    >>> params = {"epochs": 40, "lr": 1}
    >>> budget(Finding(attack="a", plugin="a", summary="", status="done", params=params))
    'epochs 40'
    """
    spent = {name: finding.params[name] for name in SPENT if name in finding.params}
    return ", ".join(f"{name} {value}" for name, value in facts(spent)) or "one pass"
