"""From an attack's figures on its controls to its certificates, one per metric.

Power is relative to what could be found: an attack's *efficiency* is the share of the reference
adversary's excess over chance that it recovers of a faint leak. The point estimate is compared with
what is required, because both adversaries meet the same entries of the same people: who happens to
be easy is easy for both, and their ratio is far steadier than either figure. What they disagree on
by luck is not held against an attack: a shortfall within one standard error of the paired
difference over people is forgiven. At the sizes of a plant that is a few points, while an
undertrained attack misses by tens.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

import numpy as np
from scipy.stats import norm

from auditor.report import Measurement, Power, PowerOutcome

REQUIRED = 0.8
"""The efficiency asked for where nothing else is configured."""
CERTAINTY = "certainty: the leak is planted without noise"
CERTAIN_SHARE = 0.5
"""The share of the way from chance to certainty asked for in a world without noise.

How near to certainty the best adversary gets there is not known: membership figures are cut by what
blind extractors reach, others by a budget of queries or steps. So the bar is lower, and has to be
reached with a standard error to spare, because nothing is shared with a reference.
"""
FALSE_ALARM = 0.0005
"""How likely it may be that an honest attack seems to deceive itself, over all its metrics."""
TELLING = 1.5
"""The reference's excess over chance must be so many times its interval's lower half."""


def certificates(
    headline: str,
    planted: Sequence[Measurement],
    null: Sequence[Measurement] | None,
    reference: Mapping[str, Measurement] | None,
    *,
    adversary: str = CERTAINTY,
    required: float = REQUIRED,
    remark: str = "",
) -> tuple[Power, ...]:
    """One certificate for the headline, and for each metric that both controls give a measure of.

    Args:
        headline: its certificate comes first, and says so if it could not be measured.
        planted: the attack's figures where something is to be found.
        null: its figures where nothing is; None: not tried in this scenario.
        reference: metric -> what the best adversary reaches on the plant; None: certainty.
        adversary: who that is, in a few words.
        required: the efficiency asked for.
        remark: what a reader must know of how the controls were run.
    """
    blind = {m.metric: m for m in null or ()}
    best = _certain(planted) if reference is None else reference
    required = required if reference is not None else min(required, CERTAIN_SHARE)
    judged = [m for m in planted if m.metric in best and m.chance is not None]
    if null is not None:
        judged = [m for m in judged if m.metric in blind]
    widen = float(norm.isf(FALSE_ALARM / max(1, len(judged))) / norm.isf(0.025))
    found = {
        m.metric: _judge(m, blind.get(m.metric), best[m.metric], adversary, required, widen, remark)
        for m in judged
    }
    missing = not_run(headline, "its controls did not measure it", required)
    first = found.pop(headline, None) or missing
    return first, *found.values()


def _certain(planted: Iterable[Measurement]) -> dict[str, Measurement]:
    """Whoever knows everything, by the metrics of which it is known what that comes to."""
    return {
        m.metric: replace(m, value=1.0, low=1.0, high=1.0, persons={})
        for m in planted
        if m.unit == "fraction" and m.worse == "higher"
    }


def _judge(
    planted: Measurement,
    null: Measurement | None,
    reference: Measurement,
    adversary: str,
    required: float,
    widen: float,
    remark: str,
) -> Power:
    power = Power(
        metric=planted.metric,
        planted=replace(planted, persons={}),
        null=None if null is None else replace(null, persons={}),
        reference=reference.value,
        adversary=adversary,
        required=required,
        outcome="shown",
        reason="",
    )
    outcome, reason = _outcome(power, planted, null, reference, widen)
    reason = f"{reason} ({remark})" if remark else reason
    return replace(power, outcome=outcome, reason=reason)


def _outcome(
    power: Power,
    planted: Measurement,
    null: Measurement | None,
    reference: Measurement,
    widen: float,
) -> tuple[PowerOutcome, str]:
    chance = planted.chance or 0.0
    if null is not None and (deceived := _claims(null, widen)):
        return "self-deceived", deceived
    if not _telling(reference, chance):
        found = f"{reference.value:.3f} where chance is {chance:.3f}"
        if null is not None:  # nothing was done to the leak, so it is the people who are too few
            return "small-control", (
                "on so few people the reference adversary itself is hardly told from chance: "
                f"{found}"
            )
        return "nothing-to-find", (
            f"even the reference adversary finds next to nothing of the planted leak here: {found}"
        )
    efficiency = power.efficiency or 0.0
    of_what = (
        f"of what the reference finds of a planted leak ({planted.value:.3f} of "
        f"{reference.value:.3f}, chance {chance:.3f})"
    )
    allowance = _allowance(planted, reference, chance, power.required)
    if efficiency + allowance < power.required:
        surely = f", surely {efficiency + allowance:.2f}," if allowance < 0 else ""
        return "weak", (
            f"it recovers {efficiency:.2f}{surely} {of_what} where {power.required:.2f} is required"
        )
    honest = "" if null is None else f" and stays at chance on the null model ({null.value:.3f})"
    return "shown", f"it recovers {efficiency:.2f} {of_what}{honest}"


def _claims(null: Measurement, widen: float) -> str:
    """Return what the attack claims where there is nothing to find, or an empty string."""
    sign = 1.0 if null.worse == "higher" else -1.0
    least = null.value - widen * (null.value - null.optimistic)
    if sign * least <= sign * (null.chance or 0.0):
        return ""
    return (
        f"it claims {null.value:.3f} where there is nothing to find "
        f"(chance {null.chance or 0.0:.3f})"
    )


def _telling(reference: Measurement, chance: float) -> bool:
    """Return whether the reference finds enough for a share of it to mean something."""
    sign = 1.0 if reference.worse == "higher" else -1.0
    excess = sign * (reference.value - chance)
    return excess > max(1e-9, TELLING * abs(reference.value - reference.optimistic))


def _allowance(
    planted: Measurement, reference: Measurement, chance: float, required: float
) -> float:
    """Return what is added to an efficiency before it is judged: negative, without a reference."""
    if reference.low == reference.high == 1.0 and not reference.persons:
        return -_own_error(planted, 1 - chance)
    return _standard_error(planted, reference, chance, required)


def _standard_error(
    planted: Measurement, reference: Measurement, chance: float, required: float
) -> float:
    """Of the efficiency, over people whom both adversaries met.

    Where single people are not told, it is that of the attack's own figure.
    """
    if planted.persons.keys() != reference.persons.keys() or len(planted.persons) < 2:
        return _own_error(planted, abs(reference.value - chance))
    rows = [(*planted.persons[pid], *reference.persons[pid]) for pid in planted.persons]
    found, images, best, _ = np.array(rows).T
    short = (found - chance * images) - required * (best - chance * images)
    total = abs(float((best - chance * images).sum()))
    return float(short.std(ddof=1)) * math.sqrt(len(rows)) / max(total, 1e-12)


def _own_error(planted: Measurement, excess: float) -> float:
    """Return the standard error of an efficiency over ``excess``, by the attack's own interval."""
    return abs(planted.value - planted.optimistic) / float(norm.isf(0.025)) / max(excess, 1e-12)


def not_run(metric: str, reason: str, required: float = REQUIRED) -> Power:
    """Return the certificate of an attack whose controls could not be run."""
    return Power(
        metric=metric,
        planted=None,
        null=None,
        reference=None,
        adversary="",
        required=required,
        outcome="not-run",
        reason=reason,
    )


def about(powers: Sequence[Power], figures: Sequence[Measurement]) -> tuple[Power, ...]:
    """Certificates beside the figures they are of: one of no named figure is of the headline.

    Controls that did not run cannot say what the headline of an attack is that declares none.
    """
    headline = figures[0].metric if figures else ""
    return tuple(power if power.metric else replace(power, metric=headline) for power in powers)


def behind(powers: Sequence[Power], bare: Sequence[Power]) -> tuple[Power, ...]:
    """Return a defended scenario's certificates, with what only the bare one can say.

    Self-deception is tried once: a null leak has nothing to do with people, whatever is done to its
    pictures and features afterwards. And where a mechanism leaves even the reference nothing,
    an attack that was weak without it stays weak: it might miss a stronger leak than the plant; a
    control that was too small stays so.
    """
    known = {power.metric: power for power in bare}
    return tuple(_complete(p, known[p.metric]) for p in powers if p.metric in known)


def doubt(powers: Sequence[Power], reason: str) -> tuple[Power, ...]:
    """Certificates that vouch for nothing here, and why: the control is not like the gallery."""
    return tuple(
        replace(power, outcome="weak", reason=reason)
        if power.outcome in ("shown", "nothing-to-find")
        else power
        for power in powers
    )


def _complete(power: Power, bare: Power) -> Power:
    if power.outcome == "not-run":
        return power
    power = replace(power, null=bare.null)
    if bare.outcome == "self-deceived":
        return replace(power, outcome="self-deceived", reason=bare.reason)
    if power.outcome == "nothing-to-find" and not bare.shown:
        reason = f"{power.reason}; and without a defense {bare.reason}"
        small = bare.outcome == "small-control"
        return replace(power, outcome="small-control" if small else "weak", reason=reason)
    return power
