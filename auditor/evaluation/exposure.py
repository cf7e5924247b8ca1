"""For whom it is worst: leakage person by person, from the sums that headline rates carry."""

import math
from collections.abc import Sequence
from functools import partial

import numpy as np

from auditor.gates.evidence import doubts
from auditor.report import Exposed, Exposure, Finding, Measurement
from auditor.statistics.intervals import high_end, low_end, proportion, simulate

WORST = 0.05
"""The share of people that the tail is averaged over."""
MOST = 0.01
"""The share of people who are listed."""
LONGEST_LIST = 20


def worst_case(headline: Measurement) -> tuple[Measurement, ...]:
    """Share of people hit on every image, and mean over the most exposed 5%; none without persons.

    The second is a tail mean (CVaR; Rockafellar and Uryasev, 2000). Its people are picked by their
    own outcome, so it lies above what the same people would show a second time.
    """
    rates = np.array(list(_rates(headline).values()))
    if len(rates) < 2:
        return ()
    whole, count = int((rates >= 1).sum()), math.ceil(WORST * len(rates))
    tail = float(_top(rates, np.ones(len(rates))))
    low = low_end(simulate(len(rates) + 1, partial(_top, np.append(rates, 0.0))))
    high = high_end(simulate(len(rates) + 1, partial(_top, np.append(rates, 1.0))))
    fully = _share(f"{headline.metric}.fully_exposed", whole, len(rates), "every image was hit")
    worst = Measurement(
        metric=f"{headline.metric}.worst_5_percent",
        value=tail,
        n=len(rates),
        low=min(low, tail),
        high=max(high, tail),
        note=f"mean over the {count} most exposed people, picked by their own outcome",
    )
    return fully, worst


def exposure(findings: Sequence[Finding]) -> Exposure | None:
    """Return the most exposed people over all attacks, or None if none counts images of people.

    An attack that claims success where there is nothing to find is left out.

    Args:
        findings: of one scenario, their people under pseudonyms.
    """
    tables = {
        finding.attack: (_rates(finding.headline), finding.headline.persons)
        for finding in findings
        if not doubts(finding).failing and finding.worst_case and finding.headline
    }
    people = sorted({pid for rates, _ in tables.values() for pid in rates})
    if not people:
        return None
    rows = []
    for pid in people:
        own = {attack: rates[pid] for attack, (rates, _) in tables.items() if pid in rates}
        attack = max(own, key=lambda name: own[name])
        rows.append(
            Exposed(
                pseudonym=pid,
                leakage=own[attack],
                attack=attack,
                images=round(tables[attack][1][pid][1]),
                average=math.fsum(own.values()) / len(own),
            )
        )
    rows.sort(key=lambda row: (-row.leakage, -row.average, row.pseudonym))
    most = rows[: min(LONGEST_LIST, math.ceil(MOST * len(rows)))]
    whole = sum(row.leakage >= 1 for row in rows)
    return Exposure(
        attacks=tuple(tables),
        people=len(rows),
        fully=_share("fully_exposed", whole, len(rows), "every image was hit by one attack"),
        most=tuple(most),
        tied=sum(row.leakage >= most[-1].leakage for row in rows),
    )


def _rates(headline: Measurement) -> dict[str, float]:
    """Identity -> share of its images that were hit; distractors (0) are nobody."""
    if headline.unit != "fraction" or headline.worse != "higher":
        return {}
    return {pid: hits / n for pid, (hits, n) in headline.persons.items() if pid != "0" and n > 0}


def _top(rates: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Average the highest ``rates (P,)`` that make up `WORST` of ``weights (…, P)`` to ``(…)``.

    Whoever straddles the border counts in part.
    """
    order = np.argsort(-rates, kind="stable")
    reached = (weights / weights.sum(-1, keepdims=True))[..., order].cumsum(-1).clip(max=WORST)
    return np.asarray(np.diff(reached, axis=-1, prepend=0) @ rates[order] / WORST)


def _share(metric: str, count: int, people: int, note: str) -> Measurement:
    low, high = proportion(count, people)
    return Measurement(
        metric=metric, value=count / people, n=people, low=low, high=high, note=f"share: {note}"
    )
