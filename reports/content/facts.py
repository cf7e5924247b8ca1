"""Free-form facts of the record (model, data, environment, parameters) as rows and as text."""

from collections.abc import Iterator, Mapping
from typing import Any

import yaml

from reports.redaction.sanitize import clean

DEEPEST = 6
PERSONAL = ("identity_names",)
"""Facts about people by name: they stay in the record."""


def facts(mapping: Mapping[str, Any], skip: tuple[str, ...] = ()) -> list[tuple[str, str]]:
    """(name, value) of every leaf, without empty values, ``skip`` and what names people.

    >>> facts({"feature_dim": 512, "card": {"mean": [0.5, 0.5]}, "judges": {}})
    [('feature dim', '512'), ('card: mean', '0.5, 0.5')]
    """
    return [
        (": ".join(part.replace("_", " ") for part in path), text)
        for path, text in _leaves(mapping, ())
        if path[0] not in (*skip, *PERSONAL)
    ]


def _leaves(value: Any, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], str]]:
    if isinstance(value, Mapping) and len(path) < DEEPEST:
        for key, inner in value.items():
            yield from _leaves(inner, (*path, str(key)))
    elif isinstance(value, list | tuple) and any(isinstance(part, Mapping) for part in value):
        for position, inner in enumerate(value, start=1):
            yield from _leaves(inner, (*path, str(position)))
    elif text := _text(value):
        yield path, text


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        # groups of digits help from five digits on; years and sizes stay as they are
        return f"{value:,}" if abs(value) >= 10_000 else str(value)
    if isinstance(value, list | tuple):
        return ", ".join(map(_text, value))
    return "" if value is None else str(value)


def as_yaml(mapping: Mapping[str, Any]) -> str:
    """Plain data the way a configuration file would say it."""
    return clean(
        yaml.safe_dump(_plain(mapping), sort_keys=False, allow_unicode=True, width=88), 200_000
    )


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {clean(str(key)): _plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    return value if isinstance(value, bool | int | float | None) else clean(str(value))
