"""One attack per rung, and the strongest rung speaks for its family. Plain data, no torch."""

from collections.abc import Sequence
from dataclasses import replace

from auditor.gates import family_of, powerless
from auditor.multiplicity import widened
from auditor.report import Finding, Ladder, Measurement


def ladders(findings: Sequence[Finding]) -> tuple[Ladder, ...]:
    """The strongest rung of every family, by each rung's headline and every shared metric.

    A rung that has not shown its power is left out as soon as another one has: it can neither
    raise nor lower what its family leaks.
    """
    found = []
    for rungs in families(findings).values():
        compared = comparable(rungs)
        headlines = [rung.headline.metric for rung in compared if rung.headline]
        names = [m.metric for rung in compared for m in rung.measurements]
        shared = [name for name in names if names.count(name) > 1]
        tops = (ladder(rungs, metric) for metric in dict.fromkeys([*headlines, *shared]))
        found += [top for top in tops if top is not None]
    return tuple(found)


def families(findings: Sequence[Finding]) -> dict[str, list[Finding]]:
    """The rungs of every family that apply to the target, in the order given."""
    table: dict[str, list[Finding]] = {}
    for finding in findings:
        if finding.status != "not-applicable":
            table.setdefault(family_of(finding), []).append(finding)
    return table


def comparable(rungs: Sequence[Finding]) -> list[Finding]:
    """The rungs of one family that have shown their power; all that were run if none has."""
    done = [rung for rung in rungs if rung.status == "done"]
    return [rung for rung in done if not powerless(rung)] or done


def strongest(rungs: Sequence[Finding], metric: str) -> tuple[Finding, Measurement] | None:
    """The rung whose value is worst, with its measurement; the first one of equals."""
    having = [(rung, m) for rung in rungs for m in rung.measurements if m.metric == metric]
    return max(having, key=lambda pair: _badness(pair[1], pair[1].value), default=None)


def ladder(rungs: Sequence[Finding], metric: str) -> Ladder | None:
    """The strongest of one family's rungs by ``metric``; None if none of those compared has it."""
    compared = comparable(rungs)
    picked = strongest(compared, metric)
    if picked is None:
        return None
    rung, best = picked
    figures = {r.attack: m for r in compared for m in r.measurements if m.metric == metric}
    careful = max((m.pessimistic for m in figures.values()), key=lambda end: _badness(best, end))
    least = best.value - widened(best.value - best.optimistic, len(figures))
    if best.unit == "fraction":
        least = min(max(least, 0.0), 1.0)
    low, high = sorted((least, careful))
    note = f"the strongest of {len(figures)}: {rung.attack}" if len(figures) > 1 else best.note
    measurement = replace(best, low=low, high=high, persons={}, note=note)
    reason = _doubt(rungs)
    return Ladder(
        family=family_of(rung),
        rungs=tuple(figures),
        strongest=rung.attack,
        measurement=measurement,
        shown=not reason,
        reason=reason,
    )


def _doubt(rungs: Sequence[Finding]) -> str:
    """Why the ladder proves nothing, or an empty string."""
    failed = [rung.attack for rung in rungs if rung.status == "failed"]
    if failed:
        return f"a rung of the ladder failed, and might have been the strongest: {failed[0]}"
    if all(map(powerless, rungs)):
        return "no rung of the ladder has shown its power"
    return ""


def _badness(m: Measurement, number: float) -> float:
    return number if m.worse == "higher" else -number
