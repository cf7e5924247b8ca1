"""An audit as a list of checks, in the terms of a test runner; shared by what pipelines read.

Red here is exactly what keeps the audit from exiting with 0: a gate that decides and does not hold,
and everything planned that was not shown. What was not counted is skipped and never green.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from auditor.gates import CLAIMS, Verdict, decimals, limit_text, shown_address, unexcused
from auditor.gates.evidence import covered, powerless, unshown
from auditor.report import AuditReport, Finding, Scenario
from reports.redaction.identities import discretion
from reports.redaction.sanitize import clean

State = Literal["passed", "failed", "error", "skipped"]

LONGEST = 500
"""Characters of a reason; what does not fit is in the page."""
NAME = 200
"""Characters of an address."""


@dataclass(frozen=True, kw_only=True)
class Check:
    """One line of a test report.

    Attributes:
        group: ``gates`` or ``attacks``.
        name: an address, or ``scenario/attack``.
        state: ``failed`` where a limit is exceeded, ``error`` where nothing could be settled.
        kind: one word for why: ``pass``, ``fail``, ``inconclusive``, ``crash``, ``waived``,
            ``warning``, ``not-applicable``, ``not-counted``, ``interrupted``.
        reason: one sentence.
        pattern: of the gate; empty for an attack.
        wanted: the limit, in words; empty where there is none.
        observed: what was held against it; empty where there is nothing.
        cites: why the limit is there.
    """

    group: Literal["gates", "attacks"]
    name: str
    state: State
    kind: str
    reason: str
    pattern: str = ""
    wanted: str = ""
    observed: str = ""
    cites: str = ""


def checks(report: AuditReport, verdicts: Sequence[Verdict]) -> list[Check]:
    """Return every verdict, every attack, and whether the audit came to its end.

    Nobody is named.
    """
    return [*_gates(report, verdicts), *_attacks(report, verdicts)]


def _gates(report: AuditReport, verdicts: Sequence[Verdict]) -> Iterator[Check]:
    discreet = discretion(report)
    worse = {address: measurement.worse for address, measurement in report.measurements()}
    for verdict in verdicts:
        state, kind = _state(verdict)
        # where a figure was judged the reason is this house's own; else it may quote an exception
        say = discreet if verdict.observed is None else clean
        yield Check(
            group="gates",
            name=clean(verdict.address, NAME),
            state=state,
            kind=kind,
            reason=say(verdict.reason, LONGEST),
            pattern=clean(verdict.gate.address, NAME),
            wanted=_wanted(verdict, worse.get(verdict.address)),
            observed=_observed(verdict),
            cites=clean(verdict.gate.cites, LONGEST),
        )


def _wanted(verdict: Verdict, worse: str | None) -> str:
    """Return the limit and its side; a claim's verdict and "it was shown" are no figures."""
    limit, (_, kind, metric) = limit_text(verdict.gate.limit), _parts(verdict)
    if worse is not None:
        return f"{'at most' if worse == 'higher' else 'at least'} {limit}"
    if kind == CLAIMS:
        return "CONSISTENT" if metric.startswith("verdict") else f"at most {limit}"
    return "" if metric == "shown" else f"limit {limit}"


def _observed(verdict: Verdict) -> str:
    _, kind, metric = _parts(verdict)
    if verdict.observed is None or (kind == CLAIMS and metric.startswith("verdict")):
        return ""
    return decimals(verdict.observed, verdict.gate.limit)


def _parts(verdict: Verdict) -> list[str]:
    return [*verdict.address.split("/", 2), "", ""][:3]


def _state(verdict: Verdict) -> tuple[State, str]:
    if verdict.outcome == "pass":
        return "passed", "pass"
    if verdict.waiver is not None:
        return "skipped", "waived"
    if not verdict.decides:
        return "skipped", "warning"
    return ("failed", "fail") if verdict.outcome == "fail" else ("error", "inconclusive")


def _attacks(report: AuditReport, verdicts: Sequence[Verdict]) -> Iterator[Check]:
    discreet = discretion(report)
    missing, open_places = dict(unshown(report)), dict(unexcused(report, verdicts))
    waived = {v.address: v.reason for v in verdicts if v.waiver}

    def check(place: str, state: State, kind: str, reason: str) -> Check:
        if place in missing and place not in open_places:
            state, kind, reason = "skipped", "waived", waived[shown_address(place)]
        return Check(
            group="attacks",
            name=discreet(place, NAME),
            state=state,
            kind=kind,
            reason=discreet(reason, LONGEST),
        )

    for scenario in report.scenarios:
        if scenario.status == "failed":
            yield check(scenario.defense, "error", "crash", missing[scenario.defense])
        for finding in scenario.findings:
            yield check(f"{scenario.defense}/{finding.attack}", *_found(scenario, finding))
    if not report.complete:
        yield check("audit/complete", "error", "interrupted", "the audit was interrupted")
    if "audit" in missing:
        yield check("audit", "error", "inconclusive", missing["audit"])


def _found(scenario: Scenario, finding: Finding) -> tuple[State, str, str]:
    if finding.status == "failed":
        return "error", "crash", finding.reason
    if finding.status == "not-applicable":
        return "skipped", "not-applicable", finding.reason
    if not (doubt := powerless(finding)):
        return "passed", "pass", "the attack ran and passed its controls"
    if covered(scenario, finding):
        return "skipped", "not-counted", f"{doubt}; another rung of its family passed its controls"
    return "error", "inconclusive", doubt
