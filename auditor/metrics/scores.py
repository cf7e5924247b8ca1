"""Utility and leakage in one number: PU-score and URR, each with its definition id and inputs.

They summarise; they are never gated on alone, because a ratio rewards "destroy both". Needs no
torch. Formulas:

``pu``      2 / (I_u/U + I_p/(1 − L)), I_u + I_p = 2 (PIS, SCIS 69(1), 2026, Eq. 1).
``urr-1``   (U/U₀) / max(ρ, ρ_min), ρ = max(0, R − R_floor) / (R₀ − R_floor,₀): how much more
            reversibility than utility a defense removed. The published URR (TPAMI 2025) names the
            ratio without a public formula; this definition is ours.
``urr-2``   area under the best utility attainable at excess reversibility ρ, over all scenarios.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

import numpy as np
from scipy.linalg import block_diag

from auditor.report import Measurement, Score
from auditor.statistics.intervals import bootstrap, proportion, unseen_images

Persons = Mapping[str, tuple[float, float]]

PU_FORMULA = "2 / (I_u / utility + I_p / (1 − leakage)), I_u = I_p = 1"
URR1_FORMULA = (
    "(U / U₀) / max(ρ, ρ_min), ρ = max(0, R − floor) / (R₀ − floor₀); "
    "ρ_min is the upper 95% bound of zero successes among n people, on the same scale, at most 1"
)
URR2_FORMULA = "∫₀¹ max{ U/U₀ : scenarios with excess reversibility ≤ ρ } dρ"


def pu_score(utility: float, leakage: float, utility_weight: float = 1.0) -> float:
    """Weighted harmonic mean of utility and what does not leak; 0 if either is 0.

    Args:
        utility: fraction.
        leakage: fraction.
        utility_weight: I_u in [0, 2]; I_p is 2 − I_u.

    >>> round(pu_score(0.791, 0.900), 3)  # PIS, Table 2, first row
    0.178
    """
    kept = 1 - leakage
    if utility <= 0 or kept <= 0:
        return 0.0
    return 2 / (utility_weight / utility + (2 - utility_weight) / kept)


def pu(name: str, utility: Measurement, leakage: Measurement) -> Score:
    """PU-score; its interval is conservative: worst utility with worst leakage, best with best."""
    value = pu_score(utility.value, leakage.value)
    measurement = Measurement(
        metric=name,
        value=value,
        n=min(utility.n, leakage.n),
        low=pu_score(utility.low, min(1.0, leakage.high)),
        high=pu_score(utility.high, max(0.0, leakage.low)),
        worse="lower",
        unit="ratio",
        note=f"utility {utility.metric}, leakage {leakage.metric}",
    )
    inputs = {
        f"utility.{utility.metric}": utility.value,
        f"leakage.{leakage.metric}": leakage.value,
    }
    weighted = tuple(
        (step / 10, pu_score(utility.value, leakage.value, 2 - step / 10)) for step in range(21)
    )
    return Score(
        name=name,
        definition="pu",
        formula=PU_FORMULA,
        measurement=measurement,
        inputs=inputs,
        weighted=weighted,
    )


def urr1(
    utility: Measurement, reversal: Measurement, bare_utility: Measurement, bare: Measurement
) -> Score:
    """URR-1 of a defended scenario against the bare one, with a paired interval over people.

    Args:
        utility: of the defended target, with ``persons``.
        reversal: re-identification rate of reconstructions, its floor as ``chance``.
        bare_utility: of the bare target.
        bare: reversal of the bare target.
    """
    floor, bare_floor = reversal.chance or 0.0, bare.chance or 0.0
    inputs = {
        "utility": utility.value,
        "utility_bare": bare_utility.value,
        "reversal": reversal.value,
        "reversal_floor": floor,
        "reversal_bare": bare.value,
        "reversal_floor_bare": bare_floor,
        "people": float(reversal.n),
    }
    tables = [m.persons for m in (utility, bare_utility, reversal, bare)]
    score = Score(
        name="urr1", definition="urr-1", formula=URR1_FORMULA, measurement=None, inputs=inputs
    )
    if reason := _no_ratio(bare_utility, bare, tables):
        return replace(score, undefined=reason)
    least = proportion(0, reversal.n)[1]
    u, u0, r, r0 = np.array([m.value for m in (utility, bare_utility, reversal, bare)])
    value = float(_urr1(u, u0, r - floor, r0 - bare_floor, least))
    low, high = _ends(tables, floor, bare_floor, reversal.n, least)
    measurement = Measurement(
        metric="urr1",
        value=value,
        n=reversal.n,
        low=min(low, value),
        high=max(high, value),
        chance=1.0,
        worse="lower",
        unit="ratio",
        note=f"1 is the undefended model; reversal by {reversal.metric}",
    )
    if value > 0:
        inputs["log2"] = float(np.log2(value))
    return replace(score, measurement=measurement)


def trade_off(scores: Iterable[Score]) -> tuple[float, float] | None:
    """(excess reversibility ρ, relative utility) of a scenario by its scores; (1, 1) if bare.

    None where URR-1, from whose inputs they come, is undefined or missing.
    """
    for score in scores:
        if score.name == "urr1" and score.measurement is not None:
            i = score.inputs
            span = i["reversal_bare"] - i["reversal_floor_bare"]
            excess = max(0.0, i["reversal"] - i["reversal_floor"]) / span
            return excess, i["utility"] / i["utility_bare"]
    return None


def _no_ratio(bare_utility: Measurement, bare: Measurement, tables: Sequence[Persons]) -> str:
    """Say why there is no URR-1, or an empty string."""
    floor = bare.chance or 0.0
    above = proportion(floor * bare.n, bare.n)[1] - floor
    if bare.value - floor <= math.hypot(bare.value - bare.low, above):
        return (
            "the attack does not beat its feature-blind floor on the bare model: "
            "it has no power, so there is nothing a defense could remove"
        )
    if bare_utility.value <= 0:
        return "the bare model finds nobody, so there is no utility a defense could keep"
    if len(set.intersection(*(set(table) for table in tables))) < 2:
        return "fewer than two people were measured in both scenarios, so they cannot be resampled"
    return ""


def _ends(
    tables: Sequence[Persons], floor: float, bare_floor: float, people: int, least: float
) -> tuple[float, float]:
    """Return the interval of URR-1, people being weighed together in all four ``tables``.

    The floors are rates of as many people, whose own weights are independent of those.
    """
    common = sorted(set.intersection(*(set(table) for table in tables)))
    rows = np.array([[value for table in tables for value in table[pid]] for pid in common])
    images = [unseen_images(rows[:, column]) for column in (1, 3, 5, 7)]

    def one_more(*means: float) -> np.ndarray:
        """People whom nobody has seen: in the four tables, and behind either floor."""
        seen = [[mean * size, size] for mean, size in zip(means[:4], images, strict=True)]
        return np.asarray(block_diag(np.ravel(seen), [means[4], 1], [means[5], 1]))

    def statistic(sums: np.ndarray) -> np.ndarray:
        u, u0, r, r0, f, f0 = np.moveaxis(sums[..., ::2] / sums[..., 1::2], -1, 0)
        return _urr1(u, u0, r - f, r0 - f0, least)

    table = block_diag(rows, _as_people(floor, people), _as_people(bare_floor, people))
    return bootstrap(table, statistic, one_more(0, 1, 1, 0, 0, 1), one_more(1, 0, 0, 1, 1, 0))


def _urr1(
    u: np.ndarray, u0: np.ndarray, excess: np.ndarray, span: np.ndarray, least: float
) -> np.ndarray:
    """From utilities and reversals above their floors; NaN where the bare model finds nobody."""
    span = np.maximum(span, 1e-9)
    smallest = np.minimum(1.0, least / span)
    kept = np.where(u0 > 0, u / np.where(u0 > 0, u0, 1), np.nan)
    return np.asarray(kept / np.maximum(np.maximum(0.0, excess) / span, smallest))


def _as_people(rate: float, people: int) -> np.ndarray:
    """Return rows (hit, 1) of people of whom a share ``rate`` is hit, one of them in part."""
    hits = (rate * people - np.arange(people)).clip(0, 1)
    return np.stack([hits, np.ones(people)], axis=1)


def urr2(points: Mapping[str, tuple[float, float]]) -> Score:
    """URR-2 over scenarios.

    Args:
        points: scenario -> (excess reversibility ρ, relative utility); the bare model is (1, 1).
    """
    if len(points) < 2:
        return Score(
            name="urr2",
            definition="urr-2",
            formula=URR2_FORMULA,
            measurement=None,
            undefined="a frontier needs the bare model and one defended scenario at least",
        )
    area, best, at = 0.0, 0.0, 0.0
    for excess, utility in sorted(points.values()):
        excess = min(max(excess, 0.0), 1.0)
        area, at = area + best * (excess - at), excess
        best = max(best, min(utility, 1.0))
    area += best * (1 - at)
    inputs = {
        f"{name}.{part}": value
        for name, pair in points.items()
        for part, value in zip(("excess", "utility"), pair, strict=True)
    }
    return Score(
        name="urr2",
        definition="urr-2",
        formula=URR2_FORMULA,
        measurement=Measurement(
            metric="urr2",
            value=area,
            n=len(points),
            low=area,
            high=area,
            worse="lower",
            unit="ratio",
            note="n counts scenarios; no interval: compare scenarios by URR-1",
        ),
        inputs=inputs,
    )
