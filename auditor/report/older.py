"""Brings a record of an earlier schema to the present one. What it did not say stays unsaid."""

from collections.abc import Iterator
from typing import Any

CERTAINTY = 1.0
"""Schema 1 planted a leak without noise, from which everything can be recovered."""
SHARE = 0.5
"""The efficiency that schema 1 asked for."""
WIDEN = 3.29 / 1.96
"""From a 95% to a 99.9% half-width: schema 1 forgave a null control so much bad luck."""


def upgrade(plain: Any) -> Any:
    """Return the same record as a reader of the present schema expects it; anything else as it is.

    Raises:
        ValueError: if it says that it is older and is not of that form.
    """
    if not isinstance(plain, dict) or plain.get("schema") != 1:
        return plain
    try:
        for finding in _findings(plain):
            if (power := finding.pop("power", None)) is not None:
                finding["powers"] = [_certificate(power)]
    except (LookupError, TypeError, AttributeError):
        raise ValueError("it is not of the form of schema 1, which it names") from None
    return plain | {"schema": 2}


def _findings(plain: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for scenario in plain.get("scenarios", ()):
        yield from scenario.get("findings", ())
        yield from scenario.get("co_trained", ())


def _certificate(power: dict[str, Any]) -> dict[str, Any]:
    """One attack had one certificate, of its headline, by an absolute threshold."""
    shown = power.pop("shown")
    return power | {
        "reference": CERTAINTY,
        "adversary": "certainty",
        "required": SHARE,
        "outcome": "shown" if shown else _shortfall(power),
    }


def _shortfall(power: dict[str, Any]) -> str:
    planted, null = power.get("planted"), power.get("null")
    if planted is None or null is None:
        return "not-run"
    least = null["value"] - WIDEN * (null["value"] - null["low"])
    return "self-deceived" if least > (null.get("chance") or 0.0) else "weak"
