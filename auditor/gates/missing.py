"""Why a gate that reads nothing reads nothing."""

from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase

from auditor.gates.evidence import undone
from auditor.gates.gate import WITHHELD, Gate
from auditor.report import AuditReport, Finding, Scenario


def explain_missing(report: AuditReport, gate: Gate) -> Iterator[tuple[str, str]]:
    """Yield the address and reason of each finding or failed scenario without a figure to judge."""
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
    """Return whether any scenario has the metric.

    If none has, the pattern is not about this attack.
    """
    return any(
        other.attack == finding.attack and _measures(other, parts[2])
        for scenario in report.scenarios
        for other in scenario.findings
    )


def why_nothing(report: AuditReport, gate: Gate) -> str:
    """Say why no figure has a gate's address."""
    _, attack, metric = (*gate.address.split("/", 2), "", "")[:3]
    for score in report.scores:
        if attack == "scores" and fnmatchcase(score.name, metric):
            return (
                f"{score.name} sums up all scenarios and has no interval, so it shows nothing that "
                "a gate could rest on; set a gate on urr1 of each scenario"
            )
    return "no measurement has this address, so nothing was shown"
