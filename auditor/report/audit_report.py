"""The one record of an audit: plain data, JSON in and out, no torch.

Every page, sheet and verdict is made from `AuditReport` alone. Rates are fractions in [0, 1];
percent signs appear only in templates. A number never travels without its interval, its sample
size and what a blind adversary would reach.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from pydantic import ConfigDict, with_config

from auditor.report.finding import Finding
from auditor.report.measurement import Measurement
from auditor.report.scenario import Scenario, Score

SCHEMA = 2


@dataclass(frozen=True, kw_only=True)
class ProbeCheck:
    """One question of the sanity probe, asked before any attack."""

    name: str
    outcome: Literal["pass", "warn", "fail"]
    detail: str


@with_config(ConfigDict(allow_inf_nan=False))  # of its parts too, which have no other
@dataclass(frozen=True, kw_only=True)
class AuditReport:
    """The whole audit.

    Attributes:
        title: what was audited, for the head of the page.
        config: the resolved configuration.
        model: facts about the audited model, its preprocessing card among them.
        data: facts about the dataset: counts, cameras, broken files.
        environment: versions and device; when and by which command it ran lies in ``run.json``
            beside it, so that a repetition gives the same record to the last byte.
        probe: the sanity probe's answers.
        scenarios: ``none`` first.
        scores: scores over all scenarios (URR-2).
        complete: False while running, and for ever if the run was interrupted.
        real_people: whether the pictures show real people; then only blurred ones are embedded
            unasked.
        pseudonyms: digest of the table that undoes the pseudonyms. Records with the same one call
            the same people alike; in any others, one name is two people. Empty in records from
            before there was one, which hold the dataset's own identities.
        schema: version of this record's form.
    """

    title: str
    config: Mapping[str, Any]
    model: Mapping[str, Any] = field(default_factory=dict)
    data: Mapping[str, Any] = field(default_factory=dict)
    environment: Mapping[str, Any] = field(default_factory=dict)
    probe: tuple[ProbeCheck, ...] = ()
    scenarios: tuple[Scenario, ...] = ()
    scores: tuple[Score, ...] = ()
    complete: bool = False
    real_people: bool = True
    pseudonyms: str = ""
    schema: int = SCHEMA

    def measurements(self) -> Iterator[tuple[str, Measurement]]:
        """Yield (address, measurement), such as ``("dp_gallery/identity/top1", m)``.

        Addresses are ``scenario/attack/metric``, where the attack may also be ``utility``,
        ``scores``, or ``ladder`` with a metric such as ``inversion.reid_rank1``. A subgroup's
        metric is such as ``top1@gender=female``.
        """
        for scenario in self.scenarios:
            for measurement in scenario.utility:
                yield f"{scenario.defense}/utility/{measurement.metric}", measurement
            for finding in scenario.findings:
                for measurement in finding.figures():
                    yield f"{scenario.defense}/{finding.attack}/{measurement.metric}", measurement
            for ladder in scenario.ladders:
                yield f"{scenario.defense}/ladder/{ladder.name}", ladder.measurement
            for score in scenario.scores:
                if score.measurement is not None:
                    yield f"{scenario.defense}/scores/{score.name}", score.measurement

    def scenario(self, name: str) -> Scenario | None:
        """Return the scenario of that label, if there is one."""
        return next((s for s in self.scenarios if s.defense == name), None)

    def finding(self, scenario: str, attack: str) -> Finding | None:
        """Return the finding of ``attack`` under ``scenario``, if there is one."""
        under = self.scenario(scenario)
        findings = under.findings if under else ()
        return next((f for f in findings if f.attack == attack), None)
