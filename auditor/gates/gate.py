"""What is asked of a record, and what the answer may be."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from fnmatch import fnmatchcase
from typing import Literal

from auditor.errors import did_you_mean

Outcome = Literal["pass", "fail", "inconclusive"]


CLAIMS = "claims"
"""The middle part of a claim's address, such as ``dp_gallery/claims/epsilon_identity``."""


WITHHELD = "the group is too small to be shown, or would give away one that is"
"""Why a subgroup cannot be judged: its people are protected, and nothing went wrong."""


EXIT_OK, EXIT_FAILED, EXIT_INCONCLUSIVE = 0, 3, 4


@dataclass(frozen=True, kw_only=True)
class Gate:
    """A limit on one address or a pattern of addresses.

    Attributes:
        address: ``scenario/attack/metric`` with shell wildcards, such as ``*/identity/top1``.
        limit: in the metric's unit; which side is good follows from the metric's ``worse``.
        level: an ``error`` gate decides the exit code, a ``warn`` gate only shows.
        judge: ``pessimistic`` wants the whole interval on the good side; ``value`` looks at the
            point estimate alone and says so in the verdict.
        adjust: ``holm`` keeps the chance that any of the gate's failures is false at 2.5%, however
            many figures its pattern matches; ``none`` judges each figure as if it were the only
            one. Passes need no correction, because every figure has to pass.
        cites: why the limit is where it is: who decided it, or which text asks for it; printed
            beside the verdict.
    """

    address: str
    limit: float
    level: Literal["error", "warn"] = "error"
    judge: Literal["pessimistic", "value"] = "pessimistic"
    adjust: Literal["holm", "none"] = "holm"
    cites: str = ""


@dataclass(frozen=True, kw_only=True)
class Waiver:
    """A known shortfall that somebody answers for until a day.

    Attributes:
        address: of the verdicts it covers, with shell wildcards.
        owner: who answers for it; without an owner it covers nothing.
        reason: why the shortfall is borne.
        expires: the last day on which it covers anything.
    """

    address: str
    owner: str
    reason: str
    expires: date


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """One gate on one address.

    Attributes:
        gate: the limit.
        address: what it was held against.
        observed: the figure that was compared; None where there is none.
        outcome: what was found, whether or not somebody waived it.
        reason: of the outcome, and of its waiver.
        waiver: what keeps it from deciding the exit code, if anything does.
    """

    gate: Gate
    address: str
    observed: float | None
    outcome: Outcome
    reason: str
    waiver: Waiver | None = None

    @property
    def standing(self) -> Outcome | Literal["waived"]:
        """What the verdict counts for."""
        return self.outcome if self.waiver is None else "waived"

    @property
    def decides(self) -> bool:
        """Whether the exit code depends on it."""
        return self.gate.level == "error" and self.waiver is None


def exit_code(outcome: Outcome) -> int:
    """0 proven, 3 a gate failed, 4 inconclusive."""
    return {"pass": EXIT_OK, "fail": EXIT_FAILED, "inconclusive": EXIT_INCONCLUSIVE}[outcome]


def unmatched(gate: Gate, scenarios: Sequence[str], attacks: Sequence[str]) -> str | None:
    """Say why ``gate`` can never match a planned address, or None if it may.

    Only the first two parts are known before a run; metrics are the attack's own business.
    """
    parts = gate.address.split("/", 2)
    if len(parts) != 3 or not all(parts):
        return f"gate {gate.address!r} is not of the form scenario/attack/metric"
    for part, known, kind in (
        (parts[0], list(scenarios), "scenario"),
        (parts[1], [*attacks, "utility", "ladder", "scores"], "attack"),
    ):
        if not any(fnmatchcase(name, part) for name in known):
            hint = did_you_mean(part, known, f"there are {', '.join(known)}")
            return f"gate {gate.address!r} matches nothing: no {kind} named {part!r}; {hint}"
    return None


def decimals(observed: float, limit: float) -> str:
    """``observed`` with as many decimals as it takes to lie visibly on its own side of ``limit``.

    >>> decimals(0.10004, 0.1)
    '0.10004'
    >>> decimals(0.25, 0.1)
    '0.250'
    """
    for digits in range(3, 17):
        text = f"{observed:.{digits}f}"
        if _side(float(text), limit) == _side(observed, limit):
            return text
    return repr(observed)


def _side(number: float, limit: float) -> int:
    return (number > limit) - (number < limit)


def limit_text(limit: float) -> str:
    """Return ``limit`` as it was written: six digits, or all of them where six would change it.

    >>> limit_text(0.1), limit_text(300.0), limit_text(0.1234567)
    ('0.1', '300', '0.1234567')
    """
    short = f"{limit:g}"
    return short if float(short) == limit else repr(limit)


def shown_address(place: str) -> str:
    """Return the address of "it was shown at all", for a waiver to name.

    >>> shown_address("none/identity"), shown_address("dp_gallery")
    ('none/identity/shown', 'dp_gallery/scenario/shown')
    """
    return f"{place}/shown" if "/" in place else f"{place}/scenario/shown"
