"""Plain data with one part of it replaced by something odd, for whoever reads records and files."""

import copy
from collections.abc import Iterator
from typing import Any

Place = tuple[Any, Any]

ODD: tuple[Any, ...] = (
    *(None, True, False, 0, -1, 1, 2.5, -0.5, 1e308, -1e308, float("nan"), float("inf")),
    *(10**400, 2**63, "", "x", "\x1b[2J\n", "\ud800", "../..", "9" * 5000, "a/b/c", "none"),
    *([], {}, [[]], [{}], {"": None}, {"metric": 1}, [None] * 3, ["a", 1], {"value": "x"}),
)
"""What may stand in the place of anything."""


def places(plain: Any) -> Iterator[Place]:
    """Every (container, key) in plain data, in its order."""
    keys = plain if isinstance(plain, dict) else range(len(plain))
    for key in keys:
        yield plain, key
        if isinstance(plain[key], dict | list):
            yield from places(plain[key])


def altered(plain: Any, changes: list[tuple[int, int]]) -> Any:
    """A copy in which the places that are named by number hold odd values, named likewise."""
    changed = copy.deepcopy(plain)
    for place, value in changes:
        found = list(places(changed))
        if found:
            container, key = found[place % len(found)]
            if value == len(ODD):
                del container[key]
            else:
                container[key] = copy.deepcopy(ODD[value % len(ODD)])
    return changed
