"""Judges a record against limits; three outcomes, and what was not shown never passes.

A gate passes only if the whole 95 % interval lies on the good side of the limit and, for a leakage
figure, only if a certificate vouches for it. It fails if the whole interval lies on the bad side:
a high figure is its own proof. All else is `inconclusive`. A gate on several figures fails by no
more of them than Holm's correction leaves standing.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from fnmatch import fnmatchcase
from typing import Literal

from auditor.errors import did_you_mean
from auditor.evidence import Doubts, doubts, doubts_on, family_of, undone, unshown
from auditor.multiplicity import ALPHA, holm, tail
from auditor.report import AuditReport, Finding, Measurement, Scenario

Outcome = Literal["pass", "fail", "inconclusive"]

CLAIMS = "claims"
"""The middle part of a claim's address, such as ``dp_gallery/claims/epsilon_identity``."""

WITHHELD = "the group is too small to be shown, or would give away one that is"
"""Why a subgroup cannot be judged: its people are protected, and nothing went wrong."""

EXIT_OK, EXIT_FAILED, EXIT_INCONCLUSIVE = 0, 3, 4


@dataclass(frozen=True, kw_only=True)
class Gate:
    """A limit on one address or a pattern of addresses.

    Attributes:
        address: ``scenario/attack/metric`` with shell wildcards, such as ``*/identity/top1``.
        limit: in the metric's unit; which side is good follows from the metric's ``worse``.
        level: an ``error`` gate decides the exit code, a ``warn`` gate only shows.
        judge: ``pessimistic`` wants the whole interval on the good side; ``value`` looks at the
            point estimate alone and says so in the verdict.
        adjust: ``holm`` holds the chance that any of the gate's failures is false at 2.5 %, however
            many figures its pattern matches; ``none`` judges each figure as if it were the only
            one. Passes need no correction, because every figure has to pass.
        cites: why the limit is where it is: who decided it, or which text asks for it; printed
            beside the verdict.
    """

    address: str
    limit: float
    level: Literal["error", "warn"] = "error"
    judge: Literal["pessimistic", "value"] = "pessimistic"
    adjust: Literal["holm", "none"] = "holm"
    cites: str = ""


@dataclass(frozen=True, kw_only=True)
class Waiver:
    """A known shortfall that somebody answers for until a day.

    Attributes:
        address: of the verdicts it covers, with shell wildcards.
        owner: who answers for it; without an owner it covers nothing.
        reason: why the shortfall is borne.
        expires: the last day on which it covers anything.
    """

    address: str
    owner: str
    reason: str
    expires: date


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """One gate on one address.

    Attributes:
        gate: the limit.
        address: what it was held against.
        observed: the figure that was compared; None where there is none.
        outcome: what was found, whether or not somebody waived it.
        reason: of the outcome, and of its waiver.
        waiver: what keeps it from deciding the exit code, if anything does.
    """

    gate: Gate
    address: str
    observed: float | None
    outcome: Outcome
    reason: str
    waiver: Waiver | None = None

    @property
    def standing(self) -> Outcome | Literal["waived"]:
        """What the verdict counts for."""
        return self.outcome if self.waiver is None else "waived"

    @property
    def decides(self) -> bool:
        """Whether the exit code depends on it."""
        return self.gate.level == "error" and self.waiver is None


def check(report: AuditReport, gates: Sequence[Gate]) -> list[Verdict]:
    """One verdict per gate and matching address; a gate that matches nothing is inconclusive."""
    return [verdict for gate in gates for verdict in _judge_gate(report, gate)]


def overall(report: AuditReport, verdicts: Sequence[Verdict]) -> Outcome:
    """The audit's outcome: its error-level verdicts, and whether everything planned was shown.

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


def exit_code(outcome: Outcome) -> int:
    """0 proven, 3 a gate failed, 4 inconclusive."""
    return {"pass": EXIT_OK, "fail": EXIT_FAILED, "inconclusive": EXIT_INCONCLUSIVE}[outcome]


def unmatched(gate: Gate, scenarios: Sequence[str], attacks: Sequence[str]) -> str | None:
    """Why ``gate`` can never match a planned address, or None if it may.

    Only the first two parts are known before a run; metrics are the attack's own business.
    """
    parts = gate.address.split("/", 2)
    if len(parts) != 3 or not all(parts):
        return f"gate {gate.address!r} is not of the form scenario/attack/metric"
    for part, known, kind in (
        (parts[0], list(scenarios), "scenario"),
        (parts[1], [*attacks, "utility", "ladder", "scores"], "attack"),
    ):
        if not any(fnmatchcase(name, part) for name in known):
            hint = did_you_mean(part, known, f"there are {', '.join(known)}")
            return f"gate {gate.address!r} matches nothing: no {kind} named {part!r}; {hint}"
    return None


def _judge_gate(report: AuditReport, gate: Gate) -> Iterator[Verdict]:
    # A pattern may match findings that never produced its metric: those are judged too.
    missing = list(_missing(report, gate))
    found = [(a, m) for a, m in report.measurements() if fnmatchcase(a, gate.address)]
    heard = {address: doubts_on(report, address) for address, _ in found}
    corrected = _corrected(gate, [(a, m) for a, m in found if not heard[a].failing])
    for address, measurement in found:
        judged = corrected.get(address) or _judge(gate, measurement)
        outcome, reason = _doubted(*judged, heard[address])
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
            reason=_why_nothing(report, gate),
        )


def _why_nothing(report: AuditReport, gate: Gate) -> str:
    """Why no figure has a gate's address."""
    _, attack, metric = (*gate.address.split("/", 2), "", "")[:3]
    for score in report.scores:
        if attack == "scores" and fnmatchcase(score.name, metric):
            return (
                f"{score.name} sums up all scenarios and has no interval, so it shows nothing that "
                "a gate could rest on; set a gate on urr1 of each scenario"
            )
    return "no measurement has this address, so nothing was shown"


def _corrected(
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


def _doubted(outcome: Outcome, reason: str, heard: Doubts) -> tuple[Outcome, str]:
    """What is left of an outcome once the doubts about its figure are heard."""
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
    """Outcome and reason of one figure as if it were the only one."""
    if not _can_be(gate.limit, measurement):
        return "inconclusive", (
            f"the limit {limit_text(gate.limit)} is none for a share, which lies between 0 and 1; "
            "write 0.05 for 5 %"
        )
    side, sign = ("at most", 1.0) if measurement.worse == "higher" else ("at least", -1.0)
    wanted, limit = f"{side} {limit_text(gate.limit)}", sign * gate.limit
    if gate.judge == "value":
        shown = decimals(measurement.value, gate.limit)
        passes = sign * measurement.value <= limit
        verb = "is" if passes else "is not"
        return (
            "pass" if passes else "fail",
            f"judged without its interval: {shown} {verb} {wanted}",
        )
    best, worst = measurement.optimistic, measurement.pessimistic
    if sign * worst <= limit:
        return "pass", f"{decimals(worst, gate.limit)} is {wanted}"
    if sign * best > limit:
        shown = decimals(best, gate.limit)
        return "fail", f"even the favourable end of the interval, {shown}, is not {wanted}"
    ends = " to ".join(decimals(end, gate.limit) for end in sorted((best, worst)))
    return "inconclusive", f"the interval {ends} holds the limit {limit_text(gate.limit)}"


def _can_be(limit: float, measurement: Measurement) -> bool:
    """Whether a limit lies where the figure can; beyond, nothing found would matter."""
    least = 0.0 if measurement.low >= 0 else -1.0
    return measurement.unit != "fraction" or least <= limit <= 1


def decimals(observed: float, limit: float) -> str:
    """``observed`` with as many decimals as it takes to lie visibly on its own side of ``limit``.

    >>> decimals(0.10004, 0.1)
    '0.10004'
    >>> decimals(0.25, 0.1)
    '0.250'
    """
    for digits in range(3, 17):
        text = f"{observed:.{digits}f}"
        if _side(float(text), limit) == _side(observed, limit):
            return text
    return repr(observed)


def _side(number: float, limit: float) -> int:
    return (number > limit) - (number < limit)


def limit_text(limit: float) -> str:
    """``limit`` as it was written: six digits, or all of them where six would change it.

    >>> limit_text(0.1), limit_text(300.0), limit_text(0.1234567)
    ('0.1', '300', '0.1234567')
    """
    short = f"{limit:g}"
    return short if float(short) == limit else repr(limit)


def _missing(report: AuditReport, gate: Gate) -> Iterator[tuple[str, str]]:
    """Findings (and failed scenarios) the gate speaks of that have no measurement to judge."""
    parts = gate.address.split("/", 2)
    if len(parts) != 3:
        return
    for scenario in report.scenarios:
        if not fnmatchcase(scenario.defense, parts[0]):
            continue
        if scenario.status == "failed":
            address = f"{scenario.defense}/{parts[1]}/{parts[2]}"
            yield address, f"the scenario failed: {scenario.reason}"
            continue
        for finding in scenario.findings:
            address = f"{scenario.defense}/{finding.attack}/{parts[2]}"
            if not fnmatchcase(finding.attack, parts[1]):
                continue
            if finding.status != "done":
                yield address, undone(finding)
            elif not _measures(finding, parts[2]) and _measured_elsewhere(report, finding, parts):
                yield address, "measured in another scenario, but not in this one"
            for name in _hidden(finding, parts[2]):
                yield f"{scenario.defense}/{finding.attack}/{name}", WITHHELD
        if parts[1] == "ladder":
            for name in _absent(report, scenario, parts[2]):
                yield f"{scenario.defense}/ladder/{name}", "no rung has measured it here"
        for score in scenario.scores:
            address = f"{scenario.defense}/scores/{score.name}"
            if score.measurement is None and fnmatchcase(address, gate.address):
                yield address, f"the score is undefined: {score.undefined}"


def _measures(finding: Finding, metric: str) -> bool:
    return any(fnmatchcase(m.metric, metric) for m in finding.figures())


def _hidden(finding: Finding, pattern: str) -> Iterator[str]:
    """Subgroups that ``pattern`` speaks of and whose figure is withheld."""
    shown = (group.measurement.metric for group in finding.subgroups if group.measurement)
    headline = next((metric.partition("@")[0] for metric in shown), None)
    if headline is None and finding.headline:
        headline = finding.headline.metric
    for group in finding.subgroups:
        name = f"{headline}@{group.attribute}={group.value}"
        if "@" in pattern and group.measurement is None and fnmatchcase(name, pattern):
            yield name


def _absent(report: AuditReport, scenario: Scenario, pattern: str) -> list[str]:
    """Ladders that match ``pattern`` in another scenario and have no counterpart in this one."""
    here = {ladder.name for ladder in scenario.ladders}
    known = dict.fromkeys(ladder.name for s in report.scenarios for ladder in s.ladders)
    return [name for name in known if fnmatchcase(name, pattern) and name not in here]


def _measured_elsewhere(report: AuditReport, finding: Finding, parts: Sequence[str]) -> bool:
    """Whether any scenario has the metric; if none has, the pattern is not about this attack."""
    return any(
        other.attack == finding.attack and _measures(other, parts[2])
        for scenario in report.scenarios
        for other in scenario.findings
    )


def outranked(report: AuditReport, verdicts: Sequence[Verdict]) -> Iterator[str]:
    """Where a gate decides by one rung while a stronger one of its family is not gated."""
    gated = dict.fromkeys(v.address for v in verdicts if v.gate.level == "error")
    for address in gated:
        scenario, attack, metric = address.split("/", 2)
        finding = report.finding(scenario, attack)
        own = _counting(finding, metric) if finding else None
        if finding is None or own is None:
            continue
        strongest, worst = _strongest(report, scenario, family_of(finding), metric)
        rung = f"{scenario}/{strongest}/{metric}"
        ladder = f"{scenario}/ladder/{family_of(finding)}.{metric}"
        if _badness(worst) > _badness(own) and not {rung, ladder} & gated.keys():
            known = any(address == ladder for address, _ in report.measurements())
            yield (
                f"{address} gates one rung ({own.value:.3g}), but {strongest} is a stronger one "
                f"of the same ladder ({worst.value:.3g}): gate {ladder if known else rung}"
            )


def _strongest(
    report: AuditReport, scenario: str, family: str, metric: str
) -> tuple[str, Measurement]:
    """The rung that found most, by any figure it has: groups have no ladder of their own."""
    judged = report.scenario(scenario)
    rungs = [f for f in judged.findings if family_of(f) == family] if judged else []
    values = [(f.attack, m) for f in rungs if (m := _counting(f, metric)) is not None]
    return max(values, key=lambda pair: _badness(pair[1]))


def _counting(finding: Finding, metric: str) -> Measurement | None:
    """A rung's figure, unless it proves nothing."""
    if doubts(finding, metric).failing:
        return None
    return next((m for m in finding.figures() if m.metric == metric), None)


def _badness(m: Measurement) -> float:
    return m.value if m.worse == "higher" else -m.value


def unexcused(report: AuditReport, verdicts: Sequence[Verdict]) -> Iterator[tuple[str, str]]:
    """What `unshown` gives, but for the places that somebody waived."""
    waived = {verdict.address for verdict in verdicts if verdict.waiver}
    return (pair for pair in unshown(report) if shown_address(pair[0]) not in waived)


def shown_address(place: str) -> str:
    """The address of "it was shown at all", for a waiver to name.

    >>> shown_address("none/identity"), shown_address("dp_gallery")
    ('none/identity/shown', 'dp_gallery/scenario/shown')
    """
    return f"{place}/shown" if "/" in place else f"{place}/scenario/shown"
