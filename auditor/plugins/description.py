"""What an attack says of itself beside its hyper-parameters, read in one place."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from auditor.report import Adversary


@dataclass(frozen=True, kw_only=True)
class AttackInfo:
    """The declarations of an attack; see `auditor.types.Attack` for what each means.

    Attributes:
        family: of the ladder it is a rung of; empty if it names none.
        headline: the metric its power is judged by; empty: the first it measures.
        adversary: its threat model in a few words.
        slow: whether its controls take part of the people.
        disguise: twists the planted leak; None: it is tried as it is.
        make_planted: makes its own world to win in; None: the general one.
        make_null: makes its own world to find nothing in; None: the general one.
    """

    family: str = ""
    headline: str = ""
    adversary: Adversary | None = None
    slow: bool = False
    disguise: Callable[..., Any] | None = None
    make_planted: Callable[..., Any] | None = None
    make_null: Callable[..., Any] | None = None


def describe(attack: object) -> AttackInfo:
    """Return what ``attack``, or its class, declares; what it leaves out has its default."""
    declared = {
        name: value
        for name in AttackInfo.__dataclass_fields__
        if (value := getattr(attack, name, None)) is not None
    }
    return AttackInfo(**declared)
