"""Takes the weights out of a pickled network without any of its code.

A whole model that was pickled names the classes it is made of, and opening it calls whatever it
names. Here every name but those of tensors stands for a class that does nothing; a network is then
what torch keeps in it: parameters, buffers, and further networks. Meant for a worker all the same.
"""

import collections
import io
import pickle
import warnings
from collections.abc import Iterator, Mapping
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor

from auditor.errors import ModelError
from auditor.models.extractor import reason
from auditor.models.files import ModelFiles
from auditor.models.inspection import pickles
from auditor.models.sniff import Format

DEEPEST = 100
"""Networks inside each other."""


class Inert(pickles.Inert):
    """Stands for an object of any class that torch itself may handle while it reads."""

    dump_patches = False
    """Old files have the source of their classes, and torch would write the difference to this."""

    def __new__(cls, *args: Any, **named: Any) -> "Inert":
        """Whatever the arguments."""
        return object.__new__(cls)

    def __call__(self, *args: Any, **named: Any) -> "Inert":
        """As a function: another such object."""
        return Inert()

    def add(self, value: Any) -> None:
        """As a set: nothing."""


def _storage(content: bytes) -> Any:
    """Return a tensor's numbers as they lie in a plain pickle: a file of torch in the file."""
    return torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)


KNOWN: Mapping[tuple[str, str], Any] = {
    ("collections", "OrderedDict"): collections.OrderedDict,
    ("torch", "Size"): torch.Size,
    ("torch._utils", "_rebuild_tensor"): torch._utils._rebuild_tensor,
    ("torch._utils", "_rebuild_tensor_v2"): torch._utils._rebuild_tensor_v2,
    ("torch._utils", "_rebuild_parameter"): torch._utils._rebuild_parameter,
    ("torch.storage", "_load_from_bytes"): _storage,
    **{
        ("torch", name): value
        for name, value in vars(torch).items()
        if isinstance(value, torch.dtype)
    },
}
"""What a pickle may name and get: containers, and how tensors are put together."""


class _Unpickler(pickle.Unpickler):
    """Finds nothing but `KNOWN`, and `Inert` for everything else."""

    def find_class(self, module: str, name: str) -> Any:
        """Return what the pickle means by a name."""
        if (module, name) in KNOWN:
            return KNOWN[module, name]
        if module == "torch" and name.endswith("Storage"):
            return getattr(torch, name, Inert)
        return Inert


def read_whole_model(form: Format, files: ModelFiles) -> dict[str, Tensor]:
    """Read the weights of a pickled network, or of networks in a pickled dict, by dotted names.

    Raises:
        ModelError: if it contains none, or is damaged.
    """
    try:
        if form == "legacy-pickle":
            content = _Unpickler(files.main).load()
        else:
            reader: Any = SimpleNamespace(Unpickler=_Unpickler, load=pickle.load, __name__="inert")
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # that the source is another one
                content = torch.load(
                    files.main, map_location="cpu", weights_only=False, pickle_module=reader
                )
    except Exception as error:  # damage shows itself in many ways
        raise ModelError(f"{files.path} is damaged: {reason(error)}; copy it again") from None
    state = {
        name: tensor.detach().clone().contiguous() for name, tensor in _weights(content, (), set())
    }
    if not state:
        raise ModelError(f"{files.path} contains no network of torch, and no weights")
    return state


def _weights(held: Any, path: tuple[str, ...], above: set[int]) -> Iterator[tuple[str, Tensor]]:
    """Yield the tensors of a network, a dict or a tensor, each under the names that lead there."""
    if isinstance(held, Tensor):
        yield ".".join(path), held
        return
    if id(held) in above or len(path) > DEEPEST:
        return
    if isinstance(held, Inert) and isinstance(held.state, Mapping):
        parts = [held.state.get(kind) for kind in ("_parameters", "_buffers", "_modules")]
    elif isinstance(held, Mapping):
        parts = [held]
    else:
        return
    for part in parts:
        for key, value in part.items() if isinstance(part, Mapping) else ():
            yield from _weights(value, (*path, str(key)), above | {id(held)})
