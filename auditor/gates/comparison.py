"""Two records side by side: what differs, by how much, and how sure that is. Needs no torch.

A figure may get worse by a margin and no more; a difference whose interval straddles the margin is
inconclusive, as is a figure that one of the records lacks.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any, Literal

from auditor.errors import UsageError
from auditor.gates.evidence import doubts_on
from auditor.gates.gate import Outcome, decimals, limit_text
from auditor.report import AuditReport, Measurement, pluralize
from auditor.statistics.multiplicity import ALPHA, holm, tail
from auditor.statistics.paired import paired_interval, shared_people
from auditor.statistics.unpaired import unpaired_interval

if TYPE_CHECKING:
    import pandas as pd

UTILITY = ("rank1", "map")
"""The utility figures that are compared unless others are asked for."""
IGNORED = ("created", "command", "seconds", "threads", "platform")
"""Facts about a run that say nothing about what was audited."""

How = Literal["paired", "unpaired", "identical"]


@dataclass(frozen=True, kw_only=True)
class Difference:
    """One figure in both records.

    Attributes:
        address: of the figure.
        before: in the first record.
        after: in the second record.
        low: lower end of the 95% interval of the difference, after minus before.
        high: its upper end.
        how: ``paired`` over ``people``; ``unpaired``; or ``identical``, where nothing behind the
            figure changed, so that it was computed twice.
        people: in both records; 0 where the records know none, or others.
        p: two-sided, of no difference; 1 where the interval contains it.
        p_adjusted: after Holm's correction for every figure compared.
        outcome: against the margin; None where none was given.
        reason: of the outcome.
    """

    address: str
    before: Measurement
    after: Measurement
    low: float
    high: float
    how: How
    people: int = 0
    p: float = 1.0
    p_adjusted: float = 1.0
    outcome: Outcome | None = None
    reason: str = ""

    @property
    def value(self) -> float:
        """After minus before."""
        return self.after.value - self.before.value

    @property
    def worsening(self) -> tuple[float, float, float]:
        """(low, value, high) of the change for the worse."""
        if self.after.worse == "higher":
            return self.low, self.value, self.high
        return 0.0 - self.high, 0.0 - self.value, 0.0 - self.low

    @property
    def direction(self) -> Literal["worse", "better", "no difference shown"]:
        """What the correction leaves standing."""
        if self.p_adjusted > 2 * ALPHA:
            return "no difference shown"
        return "worse" if self.worsening[1] > 0 else "better"


@dataclass(frozen=True, kw_only=True)
class Changed:
    """One setting or fact that the two records do not share; an empty text stands for none."""

    key: str
    before: str
    after: str


@dataclass(frozen=True, kw_only=True, repr=False)
class Comparison:
    """Two records side by side.

    Attributes:
        before: title of the first record.
        after: title of the second record.
        changed: settings, facts about model and data, and versions that differ.
        differences: in the order of the second record.
        missing: addresses that the first record alone has.
        added: addresses that the second record alone has.
        named_alike: whether a name stands for the same person in both; else nothing is paired.
        margin: by how much a figure may get worse; None where nothing is judged.
        outcome: over all figures; ``pass`` where nothing is judged.
        reason: why it is not ``pass``, as far as no single figure says so.
    """

    before: str
    after: str
    changed: tuple[Changed, ...]
    differences: tuple[Difference, ...]
    missing: tuple[str, ...]
    added: tuple[str, ...]
    named_alike: bool
    margin: float | None
    outcome: Outcome
    reason: str = ""

    def to_frame(self) -> "pd.DataFrame":
        """One row per figure: both values, the change with its interval, and what it amounts to."""
        import pandas as pd

        rows = [
            {
                "address": d.address,
                "before": d.before.value,
                "after": d.after.value,
                "change": d.value,
                "low": d.low,
                "high": d.high,
                "direction": d.direction,
                "how": d.how,
                "people": d.people,
                "outcome": d.outcome,
            }
            for d in self.differences
        ]
        return pd.DataFrame(rows)

    def __repr__(self) -> str:
        worse = sum(d.direction == "worse" for d in self.differences)
        better = sum(d.direction == "better" for d in self.differences)
        judged = "" if self.margin is None else f"; {self.outcome.upper()} at {self.margin:g}"
        return (
            f"<Comparison of {pluralize(len(self.differences), 'figure')}: "
            f"{worse} worse, {better} better, "
            f"{len(self.differences) - worse - better} not shown to differ{judged}>"
        )


def compare(
    before: AuditReport,
    after: AuditReport,
    addresses: Sequence[str] = (),
    margin: float | None = None,
) -> Comparison:
    """Compare every figure that both records have.

    Args:
        before: the record to compare with.
        after: the record that may have got worse.
        addresses: shell patterns of what is compared; without any, the headline of every attack,
            rank1 and mAP.
        margin: by how much a figure may get worse, in its own unit.

    Raises:
        UsageError: if a share that got worse by the margin would be none.
    """
    old, new = _select(before, addresses), _select(after, addresses)
    if margin is not None:
        _check_margin(margin, [measurement for name, measurement in new.items() if name in old])
    found = [_difference(before, after, name, old[name], new[name]) for name in new if name in old]
    found = [
        replace(difference, p_adjusted=adjusted)
        for difference, adjusted in zip(found, holm([d.p for d in found]), strict=True)
    ]
    missing = tuple(name for name in old if name not in new)
    if margin is not None:
        found = _judge(before, after, found, margin)
    outcome, reason = _overall(after, found, missing, margin)
    return Comparison(
        before=before.title,
        after=after.title,
        changed=tuple(changes(before, after)),
        differences=tuple(found),
        missing=missing,
        added=tuple(name for name in new if name not in old),
        named_alike=named_alike(before, after),
        margin=margin,
        outcome=outcome,
        reason=reason,
    )


def named_alike(before: AuditReport, after: AuditReport) -> bool:
    """Return whether a name stands for the same person in both records."""
    # records from before there were pseudonyms hold the dataset's own identities
    old, new = before.pseudonyms, after.pseudonyms
    return bool(old == new)


def changes(before: AuditReport, after: AuditReport) -> Iterator[Changed]:
    """Yield the settings, facts about the model and the data, and versions that differ."""
    for section in ("config", "model", "data", "environment"):
        old, new = (dict(_flat(getattr(report, section), section)) for report in (before, after))
        for key in dict.fromkeys([*old, *new]):
            if old.get(key) != new.get(key) and key.rpartition(".")[2] not in IGNORED:
                yield Changed(key=key, before=old.get(key, ""), after=new.get(key, ""))


def _flat(value: Any, key: str) -> Iterator[tuple[str, str]]:
    """Nested plain data as rows of (dotted key, short text)."""
    if isinstance(value, Mapping) and value:
        for name, item in value.items():
            yield from _flat(item, f"{key}.{name}")
    else:
        text = value if isinstance(value, str) else repr(value)
        yield key, text


def _select(report: AuditReport, patterns: Sequence[str]) -> dict[str, Measurement]:
    found = dict(report.measurements())
    if patterns:
        return {a: m for a, m in found.items() if any(fnmatchcase(a, p) for p in patterns)}
    wanted = {f"{s.defense}/utility/{metric}" for s in report.scenarios for metric in UTILITY}
    for scenario in report.scenarios:
        for finding in scenario.findings:
            if finding.headline:
                wanted.add(f"{scenario.defense}/{finding.attack}/{finding.headline.metric}")
    return {address: m for address, m in found.items() if address in wanted}


def _difference(
    before: AuditReport, after: AuditReport, address: str, old: Measurement, new: Measurement
) -> Difference:
    value = new.value - old.value
    people = shared_people(old, new) if named_alike(before, after) else 0
    how: How
    if old == new and _same_setup(before, after, address):
        how, (low, high), people = "identical", (0.0, 0.0), 0
    elif people:
        how, (low, high) = "paired", paired_interval(old, new)
    else:
        how, (low, high) = "unpaired", unpaired_interval(old, new)
    low, high = min(low, value), max(high, value)
    reach = value - low if value > 0 else high - value
    p = 1.0 if low <= 0 <= high else 2 * tail(abs(value), reach)
    return Difference(
        address=address, before=old, after=new, low=low, high=high, how=how, people=people, p=p
    )


def _same_setup(before: AuditReport, after: AuditReport, address: str) -> bool:
    """Whether nothing behind the figure changed: then it was computed twice, not drawn twice."""
    scenario, attack, _ = address.split("/", 2)
    if not before.model.get("sha256") or before.model != after.model or before.data != after.data:
        return False
    if before.config.get("seed") != after.config.get("seed"):
        return False
    return _made_by(before, scenario, attack) == _made_by(after, scenario, attack)


def _made_by(report: AuditReport, scenario: str, attack: str) -> list[object]:
    """Return everything that decides a figure, besides model, data and seed."""
    found: list[object] = []
    for each in report.scenarios:
        if each.defense == scenario:
            findings = [f for f in each.findings if attack in (f.attack, "ladder", "scores")]
            found += [each.plugin, each.params, *((f.attack, f.plugin, f.params) for f in findings)]
    return found


def _check_margin(margin: float, compared: Sequence[Measurement]) -> None:
    """Refuse a margin that nothing could exceed, such as percent given for a share."""
    shares = any(measurement.unit == "fraction" for measurement in compared)
    if not math.isfinite(margin) or margin < 0 or (shares and margin >= 1):
        raise UsageError(
            f"the margin {margin:g} lets every share get worse as far as it can; write 0.02 for 2%"
        )


def _judge(
    before: AuditReport, after: AuditReport, found: Sequence[Difference], margin: float
) -> list[Difference]:
    """Return every difference against the margin, failures corrected as gates correct them."""
    alone = [_against(difference, margin) for difference in found]
    adjusted = holm([p if outcome == "fail" else 1.0 for outcome, _, p in alone])
    judged = []
    for difference, (outcome, reason, _), p in zip(found, alone, adjusted, strict=True):
        if outcome == "fail" and p > ALPHA:
            outcome = "inconclusive"
            reason = (
                f"it fails if judged alone ({reason}), but not after Holm's correction for "
                f"{len(found)} figures"
            )
        if doubt := _doubt(before, after, difference.address, outcome):
            outcome, reason = "inconclusive", doubt
        judged.append(replace(difference, outcome=outcome, reason=reason))
    return judged


def _doubt(before: AuditReport, after: AuditReport, address: str, outcome: Outcome) -> str:
    """Say why a difference does not show what it seems to, or an empty string.

    A change for the worse needs a first figure that cannot hide any leak, and a second one that is
    real; that there is none needs the opposite.
    """
    old, new = doubts_on(before, address), doubts_on(after, address)
    if outcome == "fail":
        return old.passing or new.failing
    return new.passing or old.failing


def _against(difference: Difference, margin: float) -> tuple[Outcome, str, float]:
    """Outcome, reason and a failure's one-sided p-value, as if there were no other difference."""
    low, value, high = difference.worsening
    limit = limit_text(margin)
    if high <= margin:
        return "pass", f"it gets worse by {decimals(high, margin)} at most, within {limit}", 1.0
    if low > margin:
        p = tail(value - margin, value - low)
        return "fail", f"it gets worse by {decimals(low, margin)} at least, more than {limit}", p
    ends = f"{decimals(low, margin)} to {decimals(high, margin)}"
    return "inconclusive", f"it gets worse by {ends}, which straddles the margin {limit}", 1.0


def _overall(
    after: AuditReport,
    found: Sequence[Difference],
    missing: Sequence[str],
    margin: float | None,
) -> tuple[Outcome, str]:
    if margin is None:
        return "pass", ""
    outcomes = {difference.outcome for difference in found}
    if "fail" in outcomes:
        return "fail", ""
    if not after.complete:
        return "inconclusive", "the second audit was interrupted"
    if missing:
        return (
            "inconclusive",
            f"the second record lacks {pluralize(len(missing), 'figure')} of the first",
        )
    if not found:
        return "inconclusive", "there is nothing to compare"
    return ("inconclusive" if "inconclusive" in outcomes else "pass"), ""
