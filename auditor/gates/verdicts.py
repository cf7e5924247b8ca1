"""Judges a record against limits; three outcomes, and what was not shown never passes.

A gate passes only if the whole 95% interval lies on the good side of the limit and, for a leakage
figure, only if a certificate vouches for it. It fails if the whole interval lies on the bad side:
a high figure is its own proof. All else is `inconclusive`. A gate on several figures fails by no
more of them than Holm's correction leaves standing.
"""

from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase

from auditor.gates.evidence import Doubts, doubts_on
from auditor.gates.gate import Gate, Outcome, Verdict, decimals, limit_text
from auditor.gates.missing import explain_missing, why_nothing
from auditor.gates.outranked import unexcused
from auditor.report import AuditReport, Measurement
from auditor.statistics.multiplicity import ALPHA, holm, tail


def check(report: AuditReport, gates: Sequence[Gate]) -> list[Verdict]:
    """One verdict per gate and matching address; a gate that matches nothing is inconclusive."""
    return [verdict for gate in gates for verdict in _judge_gate(report, gate)]


def overall(report: AuditReport, verdicts: Sequence[Verdict]) -> Outcome:
    """Return audit's outcome: its error-level verdicts, and whether everything planned was shown.

    Without gates there is nothing to pass or fail, yet a crashed scenario, a failed attack or an
    attack without power still makes the audit inconclusive, unless a verdict on `shown_address`
    was waived.
    """
    errors = {verdict.outcome for verdict in verdicts if verdict.decides}
    if "fail" in errors:
        return "fail"
    if "inconclusive" in errors or not report.complete or any(unexcused(report, verdicts)):
        return "inconclusive"
    return "pass"


def _judge_gate(report: AuditReport, gate: Gate) -> Iterator[Verdict]:
    # A pattern may match findings that never produced its metric: those are judged too.
    missing = list(explain_missing(report, gate))
    found = [(a, m) for a, m in report.measurements() if fnmatchcase(a, gate.address)]
    heard = {address: doubts_on(report, address) for address, _ in found}
    corrected = _correct(gate, [(a, m) for a, m in found if not heard[a].failing])
    for address, measurement in found:
        judged = corrected.get(address) or _judge(gate, measurement)
        outcome, reason = _weigh_doubts(*judged, heard[address])
        observed = measurement.pessimistic if gate.judge == "pessimistic" else measurement.value
        yield Verdict(gate=gate, address=address, observed=observed, outcome=outcome, reason=reason)
    for address, reason in missing:
        yield Verdict(
            gate=gate, address=address, observed=None, outcome="inconclusive", reason=reason
        )
    if not found and not missing:
        yield Verdict(
            gate=gate,
            address=gate.address,
            observed=None,
            outcome="inconclusive",
            reason=why_nothing(report, gate),
        )


def _correct(
    gate: Gate, found: Sequence[tuple[str, Measurement]]
) -> dict[str, tuple[Outcome, str]]:
    """Outcome and reason per address; a failure that Holm does not leave standing is inconclusive.

    One false failure fails the gate, so its failures share one error rate. It passes only if every
    figure does, and then no correction is due (an intersection-union test; Berger, 1982).
    """
    alone = {address: _judge(gate, measurement) for address, measurement in found}
    if gate.judge == "value" or gate.adjust == "none":
        return alone
    p_values = [
        tail(abs(gate.limit - m.value), abs(m.optimistic - m.value))
        if alone[address][0] == "fail"
        else 1.0
        for address, m in found
    ]
    corrected = dict(alone)
    for (address, _), adjusted in zip(found, holm(p_values), strict=True):
        outcome, reason = alone[address]
        if outcome == "fail" and adjusted > ALPHA:
            reason = (
                f"it fails if judged alone ({reason}), but not after Holm's correction for the "
                f"{len(found)} figures of this gate"
            )
            corrected[address] = "inconclusive", reason
    return corrected


def _weigh_doubts(outcome: Outcome, reason: str, heard: Doubts) -> tuple[Outcome, str]:
    """Return what is left of an outcome once the doubts about its figure are heard."""
    if outcome == "pass":
        if heard.passing:
            return "inconclusive", heard.passing
        return "pass", f"{reason}; {heard.remark}" if heard.remark else reason
    if outcome == "fail" and heard.failing:
        return "inconclusive", heard.failing
    if outcome == "inconclusive" and heard.passing:
        return "inconclusive", f"{reason}; {heard.passing}"
    return outcome, reason


def _judge(gate: Gate, measurement: Measurement) -> tuple[Outcome, str]:
    """Return outcome and reason of one figure as if it were the only one."""
    if not _can_be(gate.limit, measurement):
        return "inconclusive", (
            f"the limit {limit_text(gate.limit)} is not possible for a share, which lies between 0 "
            "and 1; write 0.05 for 5%"
        )
    sign = 1.0 if measurement.worse == "higher" else -1.0
    within, beyond = ("at most", "above") if sign > 0 else ("at least", "below")
    limit, text = sign * gate.limit, limit_text(gate.limit)
    if gate.judge == "value":
        shown = decimals(measurement.value, gate.limit)
        passes = sign * measurement.value <= limit
        return (
            "pass" if passes else "fail",
            f"judged without its interval: {shown} is {within if passes else beyond} {text}",
        )
    best, worst = measurement.optimistic, measurement.pessimistic
    if sign * worst <= limit:
        return "pass", f"{decimals(worst, gate.limit)} is {within} {text}"
    if sign * best > limit:
        shown = decimals(best, gate.limit)
        return "fail", f"even the favourable end of the interval, {shown}, is {beyond} {text}"
    ends = " to ".join(decimals(end, gate.limit) for end in sorted((best, worst)))
    return "inconclusive", f"the interval {ends} straddles the limit {text}"


def _can_be(limit: float, measurement: Measurement) -> bool:
    """Return whether a limit lies where the figure can; beyond, nothing found would matter."""
    least = 0.0 if measurement.low >= 0 else -1.0
    return measurement.unit != "fraction" or least <= limit <= 1
