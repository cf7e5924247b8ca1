"""The outline of a pickle: what it names and which tensors it contains, without making any of it.

Whatever a pickle asks for by name is answered with an inert thing that does nothing when it is
called, so that no code is imported and none is run.
"""

import io
import math
import pickle
import pickletools
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, BinaryIO

LARGEST = 2**26
"""Bytes of a pickle that is looked into: the tensors themselves lie beside it."""
DEEPEST = 12
MOST_STEPS = 2_000_000
"""Instructions of a pickle that are followed; a tensor in a state dict takes some thirty."""

TENSORS = {"torch._utils _rebuild_tensor_v2", "torch._utils _rebuild_tensor"}
PARAMETERS = {"torch._utils _rebuild_parameter", "torch._utils _rebuild_parameter_with_state"}
DICTS = {"collections OrderedDict"}
REMEMBERING = {"PUT", "BINPUT", "LONG_BINPUT"}
PLAIN = ("torch._utils _rebuild_", "torch ", "torch.serialization ", "collections OrderedDict")
"""How names begin that a state dict may use."""


@dataclass(frozen=True)
class TensorOutline:
    """A tensor's name, element type and shape."""

    name: str
    dtype: str
    shape: tuple[int, ...]

    @property
    def count(self) -> int:
        """How many numbers it has."""
        return math.prod(self.shape)


@dataclass
class PickleOutline:
    """What a pickle is made of.

    Attributes:
        names: everything that it would import, ``module name``.
        tensors: in the order of the pickle, nested dicts by dotted names.
        whole: whether it could be followed to its end.
    """

    names: list[str] = field(default_factory=list)
    tensors: list[TensorOutline] = field(default_factory=list)
    whole: bool = True

    @property
    def objects(self) -> list[str]:
        """Names that no file of mere weights needs."""
        return [name.replace(" ", ".") for name in self.names if not name.startswith(PLAIN)]


def outline(file: BinaryIO, *, pickles: int = 1) -> PickleOutline:
    """Follow the pickles at the beginning of ``file``; the last of them contains the tensors."""
    found = PickleOutline()
    content: Any = None
    stream = io.BytesIO(file.read(LARGEST))
    try:
        for _ in range(pickles):
            _weigh(stream)
            content = _Reader(stream, found.names).load()
    except Exception:  # it is no pickle, or not one that mere weights need
        found.whole = False
    found.names = list(dict.fromkeys(found.names))
    found.tensors = list(_tensors(content, (), set()))
    return found


def _weigh(stream: io.BytesIO) -> None:
    """Refuse the next pickle if following it takes more memory or time than its length explains.

    CPython's unpickler makes room for everything that is remembered below the largest number that
    is named, so that twenty bytes can ask for gigabytes.
    """
    begun, length = stream.tell(), stream.getbuffer().nbytes
    for step, (code, argument, _) in enumerate(pickletools.genops(stream)):
        if step > MOST_STEPS or (code.name in REMEMBERING and int(argument or 0) > length):
            raise pickle.UnpicklingError("more than its length explains")
    stream.seek(begun)


class _Dict(dict[Any, Any]):
    """An ordered dict, to which torch ties what it knows of the modules."""


class Inert:
    """Stands for whatever a pickle names: takes everything, keeps its state and does nothing."""

    state: Any = None

    def __init__(self, *arguments: Any, **others: Any) -> None:
        pass

    def __setstate__(self, state: Any) -> None:
        """Keep what the object held."""
        self.state = state

    def __setitem__(self, key: Any, value: Any) -> None:
        """As a mapping: nothing."""

    def append(self, value: Any) -> None:
        """As a list: nothing."""

    def extend(self, values: Any) -> None:
        """As a list: nothing."""


class _Reader(pickle.Unpickler):
    """An unpickler that makes nothing but plain values and inert things."""

    def __init__(self, stream: BinaryIO, names: list[str]) -> None:
        super().__init__(stream)
        self.names = names

    def find_class(self, module: str, name: str, /) -> Any:
        """Return an inert thing in the place of whatever has that name."""
        full = f"{module} {name}"
        self.names.append(full)
        if full in TENSORS:
            return _tensor
        if full in PARAMETERS:
            return _first
        if full in DICTS:
            return _Dict
        return type(name, (Inert,), {})

    def persistent_load(self, pid: Any, /) -> Any:
        """Return a storage, by its element type."""
        kind = pid[1] if isinstance(pid, tuple) and len(pid) > 1 else None
        return str(getattr(kind, "__name__", kind)).removesuffix("Storage").lower()


def _tensor(storage: Any, offset: Any, shape: Any, *others: Any) -> TensorOutline:
    sides = shape if isinstance(shape, tuple) else ()
    plain = tuple(side for side in sides if isinstance(side, int) and 0 <= side < 2**40)
    return TensorOutline("", storage if isinstance(storage, str) else "?", plain[:16])


def _first(value: Any, *others: Any) -> Any:
    return value


def _tensors(content: Any, path: tuple[str, ...], seen: set[int]) -> Iterator[TensorOutline]:
    if isinstance(content, TensorOutline):
        yield TensorOutline(".".join(path), content.dtype, content.shape)
    elif isinstance(content, dict | list | tuple) and id(content) not in seen:
        seen.add(id(content))
        parts = content.items() if isinstance(content, dict) else enumerate(content)
        for key, value in parts if len(path) < DEEPEST else ():
            yield from _tensors(value, (*path, str(key)), seen)
