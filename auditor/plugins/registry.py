"""Finds attacks, defenses and renderers by entry point; the core imports none of them by name.

A plug-in is a frozen keyword-only dataclass with one method (`run` or `apply`), or for a renderer a
function. Its fields are its hyper-parameters and the keys of its YAML block; the first line of its
docstring is what `audit list` and the report print.
"""

import inspect
import math
import sys
from collections.abc import Callable, Iterable, Mapping
from copy import deepcopy
from dataclasses import fields, is_dataclass
from functools import lru_cache
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any, Literal, TypeVar

from pydantic import TypeAdapter, ValidationError
from pydantic_core import PydanticSerializationError, to_jsonable_python

from auditor.console import printable
from auditor.errors import UsageError, did_you_mean
from auditor.plugins.containment import contain

Kind = Literal[
    "attacks",
    "defenses",
    "renderers",
    "table_renderers",
    "study_renderers",
    "comparison_renderers",
]


_Plugin = TypeVar("_Plugin")

SEED = "seed"
MOST = 10_000_000
"""The largest whole number a hyper-parameter may be, for nearly all of them count work."""


def installed(kind: Kind) -> dict[str, EntryPoint]:
    """Return every installed plug-in of a kind, by name, sorted.

    Raises:
        UsageError: if two packages claim one name.
    """
    found: dict[str, EntryPoint] = {}
    for entry in _read(entry_points, f"auditor.{kind}", _state_of_path()):
        known = found.setdefault(entry.name, entry)
        if known.value != entry.value:
            raise UsageError(
                f"two installed packages claim the {kind[:-1]} {entry.name!r}: "
                f"{known.value} and {entry.value}; uninstall one"
            )
    return found


@lru_cache
def _read(
    read: Callable[..., Iterable[EntryPoint]], group: str, state: object
) -> tuple[EntryPoint, ...]:
    """Return the entry points of a group, sorted; they are read anew if the ``state`` is another.

    Reading takes every installed package's files, and an audit asks for them hundreds of times.
    """
    return tuple(sorted(read(group=group), key=lambda entry: (entry.name, entry.value)))


def _state_of_path() -> tuple[tuple[str, int], ...]:
    """Return where packages are looked for, and when anything was last put there or removed."""
    return tuple((place, _changed(place)) for place in sys.path)


def _changed(place: str) -> int:
    try:
        return Path(place).stat().st_mtime_ns
    except OSError:
        return 0


def load(kind: Kind, name: str) -> Any:
    """Return the class or function behind ``name``.

    Raises:
        UsageError: if nothing of that name is installed, or it does not import.
    """
    table = installed(kind)
    if name not in table:
        known = ", ".join(table) or "none; is the package installed?"
        hint = did_you_mean(name, table, f"installed: {known}")
        raise UsageError(f"no {kind[:-1]} named {name!r}; {hint}")
    try:
        with contain("its module"):
            return table[name].load()
    except Exception as error:  # a stranger's module may raise anything
        kind_of = "" if isinstance(error, ImportError) else f"{type(error).__name__}: "
        said = printable(f"{kind_of}{error}", 300)
        raise UsageError(f"the {kind[:-1]} {name!r} does not import: {said}") from error


def build(kind: Kind, name: str, params: Mapping[str, Any]) -> Any:
    """Make the plug-in ``name`` with hyper-parameters from plain data.

    Raises:
        UsageError: for an unknown name, an unknown key, or a value of the wrong type.
    """
    plugin: Callable[..., Any] = load(kind, name)
    if not is_dataclass(plugin):
        raise UsageError(f"the {kind[:-1]} {name!r} is not a dataclass, so it takes no parameters")
    fields = list(inspect.signature(plugin).parameters)
    for key in params:
        if key not in fields:
            hint = did_you_mean(key, fields, f"it takes {', '.join(fields)}")
            raise UsageError(f"{kind[:-1]} {name!r} has no parameter {key!r}; {hint}")
    for key, value in params.items():
        if key != SEED and isinstance(value, int) and abs(value) > MOST:
            raise UsageError(
                f"{kind[:-1]} {name!r}: {key}: more than {MOST} would never end; give less"
            )
        if isinstance(value, float) and not math.isfinite(value):
            raise UsageError(f"{kind[:-1]} {name!r}: {key}: {value} is no finite number; give one")
    try:
        with contain(f"the {kind[:-1]} {name!r}"):
            return TypeAdapter(plugin).validate_python(dict(params))
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(map(str, first["loc"])) or "parameters"
        raise UsageError(f"{kind[:-1]} {name!r}: {key}: {first['msg']}") from None


def render(kind: Kind, name: str, *what: Any, **how: Any) -> None:
    """Call the renderer ``name``; it cannot end the program.

    Raises:
        UsageError: if there is none, or it does not import.
        Exception: whatever else it raises.
    """
    renderer = load(kind, name)
    with contain(f"the renderer {name!r}"):
        renderer(*what, **how)


def name_of(kind: Kind, plugin: object) -> str:
    """Return the name under which a built plug-in is installed, or else the path of its class."""
    own = type(plugin)
    for name, entry in installed(kind).items():
        if entry.attr == own.__qualname__ and load(kind, name) is own:
            return name
    return class_path(plugin)


def class_path(thing: object) -> str:
    """Return the module and name of what ``thing`` is an instance of.

    >>> from datetime import date
    >>> class_path(date(2026, 1, 1))
    'datetime:date'
    """
    return f"{type(thing).__module__}:{type(thing).__qualname__}"


def parameters(plugin: object) -> dict[str, Any]:
    """Return a built plug-in's hyper-parameters as plain data.

    Of a value that is none, its class.
    """
    if not is_dataclass(plugin) or isinstance(plugin, type):
        return {}
    values = {field.name: getattr(plugin, field.name) for field in fields(plugin)}
    plain: dict[str, Any] = to_jsonable_python(values, fallback=class_path)
    return plain


def is_plain(plugin: object) -> bool:
    """Return whether all that a built plug-in contains is plain data in fields."""
    if not is_dataclass(plugin):
        return not object.__getstate__(plugin)
    try:
        to_jsonable_python([getattr(plugin, field.name) for field in fields(plugin)])
    except PydanticSerializationError:
        return False
    return True


def fresh(plugin: _Plugin) -> _Plugin:
    """Return a copy of a built plug-in, so that one run leaves nothing in it for the next.

    Raises:
        UsageError: if it contains something that cannot be copied.
    """
    try:
        return deepcopy(plugin)
    except Exception as error:  # a stranger's value may raise anything
        said = printable(f"{type(error).__name__}: {error}", 200)
        raise UsageError(
            f"{class_path(plugin)} cannot be copied ({said}); keep hyper-parameters in its fields, "
            "and open files and connections in its method"
        ) from None


def summary(plugin: object) -> str:
    """Return the first line of a plug-in's docstring."""
    return (inspect.getdoc(plugin) or "").partition("\n")[0]


def threat_model(plugin: object) -> str:
    """Return the docstring paragraph that begins ``Threat model:``, on one line."""
    for paragraph in (inspect.getdoc(plugin) or "").split("\n\n"):
        if paragraph.startswith("Threat model:"):
            return " ".join(paragraph.removeprefix("Threat model:").split())
    return ""
