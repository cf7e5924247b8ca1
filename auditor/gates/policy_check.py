"""Holds a record against a policy.

What the policy cannot settle does not pass, and neither does what is covered by a waiver whose day
has passed or for which nobody answers.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import date
from difflib import get_close_matches
from fnmatch import fnmatchcase

from auditor.console import printable
from auditor.errors import ModelRefusedError, UsageError
from auditor.gates.evidence import unshown
from auditor.gates.gate import (
    CLAIMS,
    WITHHELD,
    Gate,
    Outcome,
    Verdict,
    Waiver,
    decimals,
    limit_text,
    shown_address,
)
from auditor.gates.policy import ClaimLimit, Limit, Policy
from auditor.gates.verdicts import check
from auditor.report import AuditReport, PrivacyClaim

ISOLATED = ("strong", "not needed")
"""What a policy that asks for strong isolation accepts: nothing of mere data is ever run."""


def judge(report: AuditReport, policy: Policy, today: date) -> list[Verdict]:
    """One verdict per limit and address, per claim, and per place not shown that has a waiver.

    Args:
        report: the record.
        policy: what it is held to.
        today: the day on which waivers count.

    Raises:
        UsageError: if a gate limits a metric on the side on which it cannot get worse.
    """
    for limit in policy.gates:
        _check_side(report, limit)
    verdicts = check(report, [limit.gate for limit in policy.gates])
    for pattern, wanted in policy.claims.items():
        verdicts += _claims(report, pattern, wanted)
    verdicts = [_missing(report, policy, verdict) for verdict in verdicts]
    waivers = [entry.waiver for entry in policy.waivers]
    verdicts += [v for v in _not_shown(report) if _waivers_on(v, waivers)]
    return [_waive(verdict, waivers, today) for verdict in verdicts]


def check_isolation(report: AuditReport, policy: Policy) -> None:
    """Refuse figures of models that ran less well isolated than the policy asks for.

    Raises:
        ModelRefusedError: if one did, or the record does not say.
    """
    if policy.isolation is None:
        return
    found = report.environment.get("isolation")
    levels = {
        name: entry.get("level") if isinstance(entry, Mapping) else None
        for name, entry in (found.items() if isinstance(found, Mapping) else ())
    }
    short = [name for name, level in levels.items() if level not in ISOLATED]
    if not levels or short:
        said = f"{short[0]!r} ran with isolation {levels[short[0]]!r}" if short else "nothing"
        raise ModelRefusedError(
            f"the policy asks for strong isolation and the record says {printable(said, 200)}; "
            "run the audit again with --isolation strong"
        )


def idle_waivers(policy: Policy, verdicts: Sequence[Verdict]) -> list[Waiver]:
    """Waivers on nothing that falls short, so that they can be taken out of the policy."""
    short = [verdict.address for verdict in verdicts if verdict.outcome != "pass"]
    waivers = [entry.waiver for entry in policy.waivers]
    return [w for w in waivers if not any(fnmatchcase(address, w.address) for address in short)]


def _check_side(report: AuditReport, limit: Limit) -> None:
    """Refuse ``max`` on what gets worse as it falls: it would guard the wrong side."""
    if limit.limit is not None:
        return
    given, worse = ("max", "higher") if limit.max is not None else ("min", "lower")
    for address, measurement in report.measurements():
        if fnmatchcase(address, limit.address) and measurement.worse != worse:
            needed = "min" if given == "max" else "max"
            raise UsageError(
                f"gate {limit.address!r} sets {given}, but {address} gets worse as it "
                f"{'falls' if given == 'max' else 'rises'}: give {needed}, or narrow the pattern"
            )


def _claims(report: AuditReport, pattern: str, wanted: ClaimLimit) -> Iterator[Verdict]:
    """Verdicts on the promises of every scenario that ``pattern`` names."""
    scenarios = [s for s in report.scenarios if fnmatchcase(s.defense, pattern)]
    for scenario in scenarios:
        if scenario.status == "failed":
            reason = f"the scenario failed: {scenario.reason}"
            yield _nothing(f"{scenario.defense}/{CLAIMS}/verdict", wanted, reason)
        for number, claim in enumerate(scenario.claims, start=1):
            suffix = f".{number}" if len(scenario.claims) > 1 else ""
            yield from _claim(f"{scenario.defense}/{CLAIMS}", suffix, claim, wanted)
    if not any(scenario.claims or scenario.status == "failed" for scenario in scenarios):
        yield _nothing(
            f"{pattern}/{CLAIMS}/verdict", wanted, "no scenario of this name makes a claim"
        )


def _claim(place: str, suffix: str, claim: PrivacyClaim, wanted: ClaimLimit) -> Iterator[Verdict]:
    if wanted.verdict is not None:
        broken = 0.0 if claim.verdict == wanted.verdict else 1.0
        outcome: Outcome = "fail" if broken else "pass"
        found = claim.verdict or "not judged"
        reason = f"{found}: {claim.reason}" if claim.reason else found
        if not claim.verdict:
            outcome, reason = "inconclusive", "the record does not say what the claim is worth"
        gate = _claim_gate(f"{place}/verdict{suffix}", 0.0, wanted)
        observed = broken if claim.verdict else None
        yield _verdict(gate, observed, outcome, reason)
    if wanted.max_epsilon_certified is not None:
        yield _epsilon(place, suffix, claim, wanted, wanted.max_epsilon_certified)


def _epsilon(
    place: str, suffix: str, claim: PrivacyClaim, wanted: ClaimLimit, limit: float
) -> Verdict:
    """Return the certified ε: a person's bounds that of each image, and not vice versa."""
    whole = wanted.unit == "identity"
    name = "epsilon_identity" if whole else "epsilon_certified"
    certified = claim.epsilon_identity if whole else claim.epsilon_certified
    gate = _claim_gate(f"{place}/{name}{suffix}", limit, wanted)
    whose = "a whole person" if whole else "one image"
    if claim.verdict == "VOID":
        return _verdict(gate, None, "fail", f"VOID: {claim.reason}")
    if certified is None:
        return _verdict(gate, None, "fail", f"no finite ε is certified for {whose}")
    passes = certified <= limit
    side = "at most" if passes else "above"
    shown = f"{decimals(certified, limit)} is {side} {limit_text(limit)}"
    return _verdict(gate, certified, "pass" if passes else "fail", f"ε for {whose}: {shown}")


def _claim_gate(address: str, limit: float, wanted: ClaimLimit) -> Gate:
    return Gate(address=address, limit=limit, level=wanted.level, judge="value", cites=wanted.cites)


def _nothing(address: str, wanted: ClaimLimit, reason: str) -> Verdict:
    return _verdict(_claim_gate(address, 0.0, wanted), None, "inconclusive", reason)


def _verdict(gate: Gate, observed: float | None, outcome: Outcome, reason: str) -> Verdict:
    return Verdict(
        gate=gate, address=gate.address, observed=observed, outcome=outcome, reason=reason
    )


def _missing(report: AuditReport, policy: Policy, verdict: Verdict) -> Verdict:
    """Return what a gate comes to that had nothing to judge.

    A group that is withheld stays open.
    """
    if verdict.observed is not None or verdict.outcome != "inconclusive":
        return verdict
    if verdict.reason == WITHHELD:
        return verdict
    reason = verdict.reason
    if "*" not in verdict.address and verdict.address == verdict.gate.address:
        known = [address for address, _ in report.measurements()]
        if close := get_close_matches(verdict.address, known, n=1, cutoff=0.8):
            reason += f" (did you mean {close[0]!r}?)"
    if policy.on_missing == "inconclusive":
        return replace(verdict, reason=reason)
    return replace(verdict, outcome="fail", reason=f"nothing to judge: {reason}")


def _not_shown(report: AuditReport) -> Iterator[Verdict]:
    for place, reason in unshown(report):
        if place != "audit":  # an audit in which no attack ran is no audit, whoever waives it
            gate = Gate(address=shown_address(place), limit=1.0)
            yield _verdict(gate, None, "inconclusive", reason)


def _waive(verdict: Verdict, waivers: Sequence[Waiver], today: date) -> Verdict:
    """Return the verdict with its waiver, or with why the waivers on it do not count."""
    if verdict.outcome == "pass":
        return verdict
    found = _waivers_on(verdict, waivers)
    if not found:
        return verdict
    counting = [waiver for waiver in found if not _void(waiver, today)]
    if not counting:
        return replace(verdict, reason=f"{verdict.reason}; {_void(found[0], today)}")
    waiver = max(counting, key=lambda each: each.expires)
    waived = f"waived until {waiver.expires} by {waiver.owner}: {waiver.reason}"
    return replace(verdict, waiver=waiver, reason=f"{verdict.reason}; {waived}")


def _waivers_on(verdict: Verdict, waivers: Sequence[Waiver]) -> list[Waiver]:
    return [waiver for waiver in waivers if fnmatchcase(verdict.address, waiver.address)]


def _void(waiver: Waiver, today: date) -> str:
    """Say why a waiver covers nothing, or an empty string."""
    if not re.search(r"\w", waiver.owner):
        return f"not waived: the waiver on {waiver.address} names no owner"
    if today > waiver.expires:
        return f"not waived: the waiver of {waiver.owner} expired on {waiver.expires}"
    return ""
