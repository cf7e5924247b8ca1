"""One attack per rung, and the strongest rung speaks for its family. Plain data, no torch."""

from collections.abc import Sequence
from dataclasses import replace

from auditor.gates.evidence import NONE, Doubts, doubts, family_of, void
from auditor.report import Finding, Ladder, Measurement
from auditor.statistics.multiplicity import widen


def ladders(findings: Sequence[Finding]) -> tuple[Ladder, ...]:
    """Return the strongest rung of every family, by each metric that can be gated.

    These are the headlines, what several rungs measured, and what a certificate vouches for, so
    that the address of a ladder does not come and go with its rungs.
    """
    found = []
    for rungs in families(findings).values():
        done = [rung for rung in rungs if rung.status == "done"]
        headlines = [rung.headline.metric for rung in done if rung.headline]
        names = [m.metric for rung in done for m in rung.measurements]
        shared = [name for name in names if names.count(name) > 1]
        certified = [power.metric for rung in done for power in rung.powers]
        metrics = dict.fromkeys([*headlines, *shared, *certified])
        tops = (ladder(rungs, metric) for metric in metrics)
        found += [top for top in tops if top is not None]
    return tuple(found)


def families(findings: Sequence[Finding]) -> dict[str, list[Finding]]:
    """Return the rungs of every family that apply to the target, in the order given."""
    table: dict[str, list[Finding]] = {}
    for finding in findings:
        if finding.status != "not-applicable":
            table.setdefault(family_of(finding), []).append(finding)
    return table


def comparable(rungs: Sequence[Finding], metric: str) -> list[Finding]:
    """Return the rungs that measured ``metric``, without those that fool themselves unless all do.

    A rung without power stays: what it found, it found.
    """
    done = [r for r in rungs if r.status == "done" and _figures([r], metric)]
    return [rung for rung in done if not doubts(rung, metric).failing] or done


def strongest(rungs: Sequence[Finding], metric: str) -> tuple[Finding, Measurement] | None:
    """Return the rung whose value is worst, with its measurement; the first one of equals."""
    having = [(rung, m) for rung in rungs for m in rung.measurements if m.metric == metric]
    return max(having, key=lambda pair: _badness(pair[1], pair[1].value), default=None)


def ladder(rungs: Sequence[Finding], metric: str) -> Ladder | None:
    """Return the strongest of one family's rungs by ``metric``.

    None if none of those compared has it.
    """
    compared = comparable(rungs, metric)
    picked = strongest(compared, metric)
    if picked is None:
        return None
    rung, best = picked
    figures = _figures(compared, metric)
    careful, least = (max(ends, key=lambda end: _badness(best, end)) for ends in _ends(figures))
    low, high = sorted((least, careful))
    note = f"the strongest of {len(figures)}: {rung.attack}" if len(figures) > 1 else best.note
    measurement = replace(best, low=low, high=high, persons={}, note=note)
    doubt = _doubts(rungs, compared, metric)
    return Ladder(
        family=family_of(rung),
        rungs=tuple(r.attack for r in compared),
        strongest=rung.attack,
        measurement=measurement,
        shown=not doubt.passing,
        reason=doubt.passing,
        void=bool(doubt.failing),
    )


def _figures(rungs: Sequence[Finding], metric: str) -> list[Measurement]:
    return [m for rung in rungs for m in rung.measurements if m.metric == metric]


def _ends(figures: Sequence[Measurement]) -> tuple[list[float], list[float]]:
    """Return the pessimistic ends, and the favourable ones after Bonferroni's correction."""
    return [m.pessimistic for m in figures], [_least(m, len(figures)) for m in figures]


def _least(m: Measurement, count: int) -> float:
    least = m.value - widen(m.value - m.optimistic, count)
    return min(max(least, 0.0), 1.0) if m.unit == "fraction" else least


def _doubts(rungs: Sequence[Finding], compared: Sequence[Finding], metric: str) -> Doubts:
    each = [doubts(rung, metric) for rung in compared]
    if all(doubt.failing for doubt in each):
        return void("every rung of the ladder claims success where there is nothing to find")
    failed = [rung.attack for rung in rungs if rung.status == "failed"]
    if failed:
        crash = f"a rung of the ladder failed, and might have been the strongest: {failed[0]}"
        return Doubts(passing=crash)
    if all(doubt.passing for doubt in each):
        reason = f"no rung of the ladder passed its controls by {metric}"
        return Doubts(passing=f"{reason}: {compared[0].attack}: {each[0].passing}")
    return NONE


def _badness(m: Measurement, number: float) -> float:
    return number if m.worse == "higher" else -number
