"""Reads a file of weights without running anything in it.

Weights are read by torch's restricted unpickler or by safetensors. A file that either refuses stays
refused: falling back to full unpickling is how such loaders get broken.
"""

import pickle
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import safetensors
import safetensors.torch
import torch
from torch import Tensor

from auditor.console import printable
from auditor.errors import ModelError, ModelRefusedError
from auditor.models.extractor import reason
from auditor.models.files import ModelFiles
from auditor.models.sniff import Format
from auditor.models.wrappers import flatten

# torchreid stores its best rank-1 beside the weights as a NumPy number, which is two constructors
# and a class per number type. A name as well as an object stands for files older than NumPy 2.
_SCALAR = np.float64(0).__reduce__()[0]
OPTIMIZER = {"state", "param_groups"}
"""What torch.save(optimizer.state_dict()) leaves in a file."""
NUMPY_NUMBERS: tuple[Any, ...] = (
    _SCALAR,
    (_SCALAR, "numpy.core.multiarray.scalar"),
    np.dtype,
    *(type(np.dtype(code)) for code in "?bBhHiIlLefd"),
)


def read_state(form: Format, files: ModelFiles) -> dict[str, Tensor]:
    """Return the weights in a file that contains nothing else.

    Raises:
        AuditError: if it contains more, or is damaged.
    """
    return read_safetensors(files) if form == "safetensors" else read_checkpoint(files)


def read_checkpoint(files: ModelFiles) -> dict[str, Tensor]:
    """Every tensor in a file written by torch.save, those in nested dicts under dotted names.

    Raises:
        ModelRefusedError: if the file contains more than tensors and plain values.
        ModelError: if it is damaged, or contains no state dict.
    """
    path = files.path
    try:
        # a file and not its path: torch picks another reader by how a path ends
        with torch.serialization.safe_globals(list(NUMPY_NUMBERS)):
            content = torch.load(files.main, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise ModelRefusedError(_refusal(path, str(error))) from None
    except Exception as error:  # damage shows itself in many ways
        raise ModelError(f"{path} is damaged: {reason(error)}; copy it again") from None
    if isinstance(content, Mapping) and set(content) == OPTIMIZER:
        raise ModelError(
            f"{path} contains the state of an optimizer and no network; give the file with the "
            "network's weights, which is usually saved beside it"
        )
    state = flatten(content) if isinstance(content, Mapping) else {}
    if state:
        _check_plain(path, state)
        return state
    raise ModelError(
        f"{path} contains {_described(content)}, no state dict; "
        "save the network's weights with torch.save(model.state_dict(), ...)"
    )


def _check_plain(path: Path, state: Mapping[str, Tensor]) -> None:
    """Refuse weights with which no network here can compute, and name them."""
    for name, tensor in state.items():
        odd = tensor.layout != torch.strided or tensor.is_quantized or tensor.is_nested
        if odd or tensor.is_meta:
            raise ModelError(
                f"{path}: the weight {printable(name, 100)!r} is sparse, nested, quantised or "
                "without content; save it as plain numbers, or export the whole model"
            )


def read_safetensors(files: ModelFiles) -> dict[str, Tensor]:
    """Return the tensors of a safetensors file.

    Raises:
        ModelError: if it is damaged or empty.
    """
    path = files.path
    try:
        state = safetensors.torch.load(files.main.read())
    except (safetensors.SafetensorError, ValueError, OSError) as error:
        raise ModelError(f"{path} is damaged: {reason(error)}; copy it again") from None
    if not state:
        raise ModelError(f"{path} contains no tensors; save the network's state dict again")
    return state


def _refusal(path: Path, text: str) -> str:
    found = re.search(r"GLOBAL (\S+) was not an allowed", text)
    held = f"the Python object {found[1]}" if found else "more than tensors and plain values"
    return (
        f"{path} contains {held}, and opening it would run code of its author's choosing; "
        "on a machine that trusts it, save the weights alone: "
        "safetensors.torch.save_file(model.state_dict(), ...), which audit convert-weights says how"
    )


def _described(content: object) -> str:
    if isinstance(content, Mapping) and not content:
        return "an empty dict"
    if isinstance(content, Mapping):
        keys = [printable(repr(key), 100) for key in list(content)[:5]]
        return f"a dict with the keys {', '.join(keys)}"
    return f"a {type(content).__name__}"
