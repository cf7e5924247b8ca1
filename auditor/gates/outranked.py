"""Gates beside which a stronger attack stands, and figures that nobody answers for."""

from collections.abc import Iterator, Sequence

from auditor.gates.evidence import doubts, family_of, unshown
from auditor.gates.gate import Verdict, shown_address
from auditor.report import AuditReport, Finding, Measurement


def outranked(report: AuditReport, verdicts: Sequence[Verdict]) -> Iterator[str]:
    """Yield where a gate decides by one rung while a stronger one of its family is not gated."""
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
    """Return the rung that found most, by any figure it has: groups have no ladder of their own."""
    judged = report.scenario(scenario)
    rungs = [f for f in judged.findings if family_of(f) == family] if judged else []
    values = [(f.attack, m) for f in rungs if (m := _counting(f, metric)) is not None]
    return max(values, key=lambda pair: _badness(pair[1]))


def _counting(finding: Finding, metric: str) -> Measurement | None:
    """Return a rung's figure, unless it proves nothing."""
    if doubts(finding, metric).failing:
        return None
    return next((m for m in finding.figures() if m.metric == metric), None)


def _badness(m: Measurement) -> float:
    return m.value if m.worse == "higher" else -m.value


def unexcused(report: AuditReport, verdicts: Sequence[Verdict]) -> Iterator[tuple[str, str]]:
    """Return what `unshown` gives, but for the places that somebody waived."""
    waived = {verdict.address for verdict in verdicts if verdict.waiver}
    return (pair for pair in unshown(report) if shown_address(pair[0]) not in waived)
