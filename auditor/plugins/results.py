"""What a plug-in gives back, taken over only if it is what it must be.

A plug-in may return anything. Whatever does not fit ends its own step with the reason, and neither
the journal nor a page meets it.
"""

import math
import os
from collections.abc import Iterable, Mapping
from dataclasses import replace
from numbers import Real
from pathlib import Path
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError

from auditor.console import pathless, printable
from auditor.plugins.containment import contain
from auditor.plugins.shared_state import restore_shared_state
from auditor.report import Curve, Measurement
from auditor.types import Attack, AttackResult, RunContext, Target

LONGEST = 1000
"""Letters of a reason or a note."""
MOST = 1000
"""Figures of one attack."""

_Kind = TypeVar("_Kind", Measurement, Curve)
_MEASUREMENT: TypeAdapter[Measurement] = TypeAdapter(Measurement)
_CURVE: TypeAdapter[Curve] = TypeAdapter(Curve)


class UnfitResultError(ValueError):
    """A plug-in returned something that cannot be taken over."""


def run_contained(attack: Attack, target: Target, ctx: RunContext) -> AttackResult:
    """Run an attack; its result is plain data, and its pictures lie in ``ctx.workdir``.

    Raises:
        UnfitResultError: if it returns anything else.
        StrangerExitError: if it tries to end the program.
        DisturbedError: if it changes the people's labels, which are then put back.
        Exception: what it raises.
    """
    with restore_shared_state(target.data), contain("the attack"):
        result = attack.run(target, ctx)
    return check_result(result, ctx.workdir)


def check_result(result: Any, workdir: Path) -> AttackResult:
    """Return the result of an attack as plain data of the right types.

    Raises:
        UnfitResultError: if it is not one, or shows what is not below ``workdir``.
    """
    if not isinstance(result, AttackResult):
        raise UnfitResultError(f"it returned {_kind(result)}; an attack returns an AttackResult")
    measurements = _each(result.measurements, Measurement, "measurements", _MEASUREMENT)
    if not measurements:
        raise UnfitResultError("it returned no measurement; the first one is its headline")
    names = [m.metric for m in measurements]
    if len(set(names)) < len(names):
        raise UnfitResultError("two of its measurements have the same name")
    if not isinstance(result.exhibits, Mapping):
        raise UnfitResultError(f"its exhibits are {_kind(result.exhibits)}, no mapping")
    return replace(
        result,
        measurements=measurements,
        curves=_each(result.curves, Curve, "curves", _CURVE),
        exhibits={_words(k): _inside(v, workdir) for k, v in result.exhibits.items()},
        notes=tuple(_words(note) for note in _list(result.notes, "notes")),
    )


def reason_of(error: BaseException) -> str:
    """Return what was raised, on one line that any file and terminal can hold."""
    try:
        text = str(error)
    except Exception:  # a stranger's exception may raise when it is asked what it is
        text = "it cannot say why"
    return f"{type(error).__name__}: {printable(pathless(text[: 10 * LONGEST]), LONGEST)}"


def _each(
    values: Any, kind: type[_Kind], name: str, adapter: TypeAdapter[_Kind]
) -> tuple[_Kind, ...]:
    return tuple(_plain(value, kind, name, adapter) for value in _list(values, name))


def _list(values: Any, name: str) -> Iterable[Any]:
    if not isinstance(values, tuple | list):
        raise UnfitResultError(f"its {name} are {_kind(values)}, no tuple")
    if len(values) > MOST:
        raise UnfitResultError(f"it returned {len(values)} {name}; at most {MOST} are taken")
    return values


def _plain(value: Any, kind: type[_Kind], name: str, adapter: TypeAdapter[_Kind]) -> _Kind:
    """Return a copy of plain numbers, whose own checks have been run (again)."""
    if type(value) is not kind:
        raise UnfitResultError(f"one of its {name} is {_kind(value)}, no {kind.__name__}")
    held = {key: _require_plain(part, name, key) for key, part in vars(value).items()}
    try:
        return adapter.validate_python(held)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        raise UnfitResultError(
            f"one of its {name} does not fit: {place} {printable(first['msg'], 200)}"
        ) from None


def _require_plain(part: Any, name: str, key: str) -> Any:
    """Return the value if it consists of texts and finite numbers alone: no tensors, no arrays."""
    if isinstance(part, Mapping):
        pairs = part.items()
        return {_require_plain(k, name, key): _require_plain(v, name, key) for k, v in pairs}
    if isinstance(part, tuple | list):
        return tuple(_require_plain(item, name, key) for item in part)
    if isinstance(part, str):
        return _words(part)
    if isinstance(part, Real) and not math.isfinite(part):
        raise UnfitResultError(f"one of its {name} contains a number that is not finite ({key})")
    if part is None or isinstance(part, Real):
        return part
    raise UnfitResultError(f"one of its {name} contains {_kind(part)} ({key}), no number")


def _words(text: Any) -> str:
    if not isinstance(text, str):
        raise UnfitResultError(f"it returned {_kind(text)} where a text belongs")
    return printable(text, LONGEST)


def _inside(place: Any, workdir: Path) -> Path:
    if not isinstance(place, str | Path):
        raise UnfitResultError(f"an exhibit is {_kind(place)}, no path")
    root = Path(os.path.abspath(workdir))  # noqa: PTH100 -- links are not followed
    path = Path(os.path.abspath(place))  # noqa: PTH100
    if not path.is_relative_to(root):
        path = Path(os.path.abspath(root / place))  # noqa: PTH100 -- named from the folder on
    try:
        whole = path.resolve(strict=True).is_relative_to(root.resolve()) and path.is_file()
    except (OSError, RuntimeError, ValueError):
        whole = False
    if not whole or not path.is_relative_to(root):
        raise UnfitResultError("an exhibit is not a file below the folder it was given")
    return workdir / path.relative_to(root)


def _kind(value: Any) -> str:
    return "nothing" if value is None else f"a {type(value).__name__}"
