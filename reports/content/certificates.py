"""What the controls said of every attack, as rows for a page and a sheet."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

from auditor.report import Finding, Power

Members = Sequence[tuple[str, Finding]]

HEADINGS = {
    "shown": ("pass", "controls passed"),
    "weak": ("fail", "planted leak missed"),
    "small-control": ("inconclusive", "control too small"),
    "self-deceived": ("fail", "null control failed"),
    "nothing-to-find": ("inconclusive", "nothing to find"),
    "not-run": ("inconclusive", "controls not run"),
}
"""Outcome -> how a badge looks and what it says."""


@dataclass(frozen=True, kw_only=True)
class Certificate:
    """One certificate, and the scenarios in which it is the same.

    Attributes:
        scenarios: their names.
        everywhere: whether that is every scenario of the attack.
        power: the certificate; None where the attack was not tried on the controls.
    """

    scenarios: tuple[str, ...]
    everywhere: bool
    power: Power | None

    @property
    def badge(self) -> tuple[str, str]:
        """How it looks, and what it says."""
        return HEADINGS[self.power.outcome] if self.power else ("inconclusive", "not tried")


def certificates(members: Members) -> list[Certificate]:
    """Return the certificates of an attack's headline, scenarios with the same one together."""
    return _together([(scenario, finding.power()) for scenario, finding in members])


def others(members: Members) -> list[Certificate]:
    """Return the certificates of its other metrics, by metric."""
    metrics = dict.fromkeys(p.metric for _, finding in members for p in finding.powers[1:])
    return [
        certificate
        for metric in metrics
        for certificate in _together([(s, f.power(metric)) for s, f in members if f.powers])
        if certificate.power is not None
    ]


def _together(pairs: Sequence[tuple[str, Power | None]]) -> list[Certificate]:
    return [
        Certificate(
            scenarios=(names := tuple(name for name, _ in group)),
            everywhere=len(names) == len(pairs),
            power=power,
        )
        for power, group in groupby(pairs, key=lambda pair: pair[1])
    ]
