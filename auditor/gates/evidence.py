"""What a figure can show: a high one is its own proof, a low one only where the attack works.

Missing power bars a figure from passing and never from failing. An attack that claims success where
there is nothing to find proves nothing in either direction.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from auditor.report import AuditReport, Finding, Measurement, Scenario
from auditor.statistics.multiplicity import widen
from auditor.statistics.unpaired import unpaired_interval


@dataclass(frozen=True, kw_only=True)
class Doubts:
    """Why a figure cannot show what it seems to; empty where it can.

    Attributes:
        passing: why it cannot show that little leaks.
        failing: why it cannot show that much leaks.
        remark: what a reader must know of a low figure that counts all the same.
    """

    passing: str = ""
    failing: str = ""
    remark: str = ""


NONE = Doubts()


def void(reason: str) -> Doubts:
    """Return the figure shows nothing at all."""
    return Doubts(passing=reason, failing=reason)


def doubts_on(report: AuditReport, address: str) -> Doubts:
    """Return what stands against the figure at ``address``."""
    scenario, attack, metric = address.split("/", 2)
    judged = report.scenario(scenario)
    if judged is None:
        return NONE
    if attack == "utility":
        return Doubts(passing=judged.utility_bias)
    if attack == "scores":
        return _score_doubts(report, judged, metric)
    if attack == "ladder":
        return _ladder_doubts(judged, metric)
    finding = report.finding(scenario, attack)
    return NONE if finding is None else doubts(finding, metric)


def doubts(finding: Finding, metric: str = "") -> Doubts:
    """Return what stands against one figure of a finding; its headline where no metric is named."""
    if finding.status != "done":
        return void(undone(finding))
    power, headline = finding.power(metric), finding.power()
    if power is None:
        if headline is None:
            return Doubts(
                passing="the attack was not tried on the controls, so a low figure proves nothing"
            )
        if headline.outcome == "self-deceived":
            return void(
                f"the attack reports success where there is nothing to find, by {headline.metric}: "
                f"{headline.reason}"
            )
        return Doubts(
            passing=f"no certificate vouches for {metric}, so a low figure proves nothing: "
            "the controls give no measure of it"
        )
    if power.outcome == "self-deceived":
        return void(f"the attack reports success where there is nothing to find: {power.reason}")
    if power.outcome == "nothing-to-find":
        return Doubts(remark=power.reason)
    if power.outcome == "small-control":
        return Doubts(passing=f"the attack's control is too small: {power.reason}")
    if not power.shown:
        return Doubts(passing=f"the attack did not pass its controls: {power.reason}")
    return NONE


def undone(finding: Finding) -> str:
    """Say why a finding has no figures."""
    happened = "failed" if finding.status == "failed" else "does not apply"
    return f"the attack {happened}: {finding.reason}"


def powerless(finding: Finding) -> str:
    """Say why a low headline of this finding proves nothing, or an empty string."""
    return doubts(finding).passing


def family_of(finding: Finding) -> str:
    """Return the ladder a finding is a rung of; one that names none is a ladder of its own."""
    return finding.family or finding.attack


def covered(scenario: Scenario, finding: Finding) -> bool:
    """Whether a rung without power is no loss, because another of its family has shown its own.

    A crash is never covered: what crashed might have been the strongest rung.
    """
    return finding.status == "done" and any(
        family_of(other) == family_of(finding) and not powerless(other)
        for other in scenario.findings
    )


def unshown(report: AuditReport) -> Iterator[tuple[str, str]]:
    """(place, reason) for everything planned that was not shown; it bars an audit from passing.

    A rung without power bars nothing where another rung of its family has shown its own: the
    ladder counts both. Gates on the rung itself cannot pass.
    """
    for scenario in report.scenarios:
        if scenario.status == "failed":
            yield scenario.defense, f"the scenario failed: {scenario.reason}"
        for finding, doubt in _uncovered(scenario):
            yield f"{scenario.defense}/{finding.attack}", doubt
    if not any(f.status == "done" for s in report.scenarios for f in s.findings):
        yield "audit", "no attack ran"


def _uncovered(scenario: Scenario) -> Iterator[tuple[Finding, str]]:
    """Yield the findings whose low figures prove nothing, and why; what does not apply is none."""
    for finding in scenario.findings:
        doubt = "" if finding.status == "not-applicable" else powerless(finding)
        if doubt and not covered(scenario, finding):
            yield finding, doubt


def _ladder_doubts(scenario: Scenario, name: str) -> Doubts:
    """Return a ladder knows its own doubts; what its power rests on, its rungs do."""
    ladder = scenario.ladder(name)
    if ladder is None:
        return NONE
    if ladder.void:
        return void(ladder.reason)
    metric = ladder.measurement.metric
    rungs = [finding for finding in scenario.findings if finding.attack in ladder.rungs]
    powers = [power for rung in rungs if (power := rung.power(metric)) is not None]
    shown = any(power.shown for power in powers)
    idle = (power.reason for power in powers if power.outcome == "nothing-to-find")
    return Doubts(passing=ladder.reason, remark="" if shown else next(idle, ""))


def _score_doubts(report: AuditReport, judged: Scenario, name: str) -> Doubts:
    """Return a score is made from the bare scenario and its own, so it inherits the doubts of both.

    A weak attack on the bare scenario makes a ratio to it look worse than it is, so that a poor
    ratio shows nothing either.
    """
    bare = report.scenarios[0]
    sources = [bare] if judged is bare else [bare, judged]
    found = [
        (source, f"{source.defense}/{finding.attack}: {doubt}")
        for source in sources
        for finding, doubt in _uncovered(source)
    ]
    passing = judged.utility_bias or next((doubt for _, doubt in found), "")
    relative = name.startswith("urr") and judged is not bare
    failing = next((doubt for source, doubt in found if source is bare and relative), "")
    return Doubts(passing=passing, failing=failing)


def shows_less(before: Measurement, after: Measurement, tries: int = 1) -> bool:
    """Whether a figure under a defense is better for privacy than chance explains.

    Args:
        before: without a defense.
        after: with the best of several defenses.
        tries: how many defenses that was picked from.
    """
    value = after.value - before.value
    low, high = unpaired_interval(before, after)
    less, reach = (-value, high - value) if after.worse == "higher" else (value, value - low)
    return less > widen(reach, tries)
