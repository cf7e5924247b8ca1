"""How a plug-in of this house declares hyper-parameters: by fields whose types are checked.

Whoever writes a plug-in of their own may do the same or use the standard library's dataclass.
"""

from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from enum import Enum, auto
from pathlib import Path
from typing import Annotated, Any, TypeVar, cast, dataclass_transform, get_args, get_type_hints

import pydantic.dataclasses
from pydantic import ConfigDict, Field

_Class = TypeVar("_Class")

Share = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Weight = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Probability = Annotated[float, Field(gt=0, lt=1)]
"""Neither impossible nor certain."""
Several = Annotated[int, Field(ge=2)]


class Role(Enum):
    """What a text stands for that the configuration or the disk has to have."""

    FILE = auto()
    JUDGES = auto()


OwnFile = Annotated[str, Role.FILE]
"""Path of a file or folder of the plug-in's own; ``pathlib.Path`` stands for the same.

In a configuration file it starts at that file's folder; a record has its last part only, and the
hash of a file."""
JudgeLabel = Annotated[str, Role.JUDGES]
"""Label of one of the audit's judges; empty for none."""
JudgeLabels = Annotated[tuple[str, ...], Role.JUDGES]


def values_of(plugin: object, role: Role) -> dict[str, Any]:
    """Return the fields of a plug-in that have that role, with their values."""
    declared = getattr(type(plugin), "__pydantic_fields__", {})
    return {name: getattr(plugin, name) for name, f in declared.items() if role in f.metadata}


def path_options(plugin: type) -> dict[str, frozenset[str]]:
    """Return the options of a plug-in that are paths, with the words that are none.

    >>> from dataclasses import dataclass
    >>> from typing import Literal
    >>> @dataclass
    ... class Mixing:
    ...     partners: Literal["inside"] | OwnFile = "inside"
    ...     epochs: int = 3
    >>> path_options(Mixing)
    {'partners': frozenset({'inside'})}
    """
    words = words_of(plugin)
    paths = {Role.FILE, Path}
    return {name: words[name] for name, parts in _made_of(plugin).items() if parts & paths}


def words_of(plugin: type) -> dict[str, frozenset[str]]:
    """Return the options of a plug-in with the fixed words that each may be.

    >>> from dataclasses import dataclass
    >>> from typing import Literal
    >>> @dataclass
    ... class Split:
    ...     by: Literal["image", "camera"] = "image"
    >>> sorted(words_of(Split)["by"])
    ['camera', 'image']
    """
    return {
        name: frozenset(part for part in parts if isinstance(part, str))
        for name, parts in _made_of(plugin).items()
    }


def _made_of(plugin: type) -> dict[str, set[Any]]:
    """Return the options of a plug-in, with what their types are made of."""
    if not is_dataclass(plugin):
        return {}
    try:
        hints = get_type_hints(plugin, include_extras=True)
    except Exception:  # a stranger's annotation may name anything; building it tells of that
        return {}
    return {field.name: set(_parts(hints[field.name])) for field in fields(plugin)}


def _parts(hint: Any) -> Iterator[Any]:
    """Yield a type and what it is made of, as far as that matters for paths."""
    for part in get_args(hint):
        yield from _parts(part)
    if isinstance(hint, type | str | Role):
        yield hint


@dataclass_transform(frozen_default=True, kw_only_default=True)
def checked_dataclass(plugin: type[_Class]) -> type[_Class]:
    """Make a frozen keyword-only dataclass that checks its fields, whoever makes an instance.

    Raises:
        ValidationError: from the class, a ValueError that names the field and what it may be.
    """
    strict = ConfigDict(extra="forbid", allow_inf_nan=False)
    made = pydantic.dataclasses.dataclass(frozen=True, kw_only=True, config=strict)(plugin)
    return cast(type[_Class], made)
