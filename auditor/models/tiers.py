"""How far a model file must be trusted to be opened: by what it is, and never less than that.

A   data: safetensors. Read in the audit's own process.
B   data behind a parser with a history: state dicts by the restricted unpickler, ONNX, OpenVINO.
C   programs: TorchScript, `torch.export`, and networks built by somebody's own Python.
D   native code, and formats that are code to their reader. Refused.

B and C are opened in a worker. A file that its tier's reader refuses is refused; no other reader
gets to try. The weights of A and B, once read, fill networks of the catalogue in the audit's own
process: they are numbers by then.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from auditor.errors import ModelRefusedError
from auditor.models.sniff import Format, sniff

Tier = Literal["A", "B", "C", "D"]

TIERS: Mapping[Format, Tier] = {
    "safetensors": "A",
    "checkpoint": "B",
    "legacy-checkpoint": "B",
    "onnx": "B",
    "openvino": "B",
    "torchscript": "C",
    "pt2": "C",
    "native": "D",
    "package": "D",
    "legacy-pickle": "D",
}

BRINGS_NETWORK: frozenset[Format] = frozenset({"onnx", "openvino", "torchscript", "pt2"})
"""Formats that bring their own architecture."""

REFUSED: Mapping[Format, str] = {
    "native": "compiled native code; give the state dict, TorchScript, .pt2 or ONNX it was made "
    "from",
    "package": "a torch.package archive, which is code; give the state dict with an architecture",
    "legacy-pickle": "a plain pickle, which runs code of its author's choosing when opened; "
    "save the weights alone: safetensors.torch.save_file(model.state_dict(), ...), which audit "
    "convert-weights says how",
}
"""Formats of tier D, and the way out."""


def admit(path: Path) -> Format:
    """Return the format of a model file that may be opened.

    Raises:
        ModelRefusedError: if it is of tier D, with the way out, or built to hurt.
        ModelError: if it is no model.
    """
    form = sniff(path)
    if form in REFUSED:
        raise ModelRefusedError(f"{path} is {REFUSED[form]}")
    return form


def names_code(arch: str) -> bool:
    """Whether an architecture's name is that of somebody's own code, ``package.module:factory``."""
    return ":" in arch and not arch.startswith("timm:")


def tier_of(form: Format, arch: str | None) -> Tier:
    """Return the tier of a file, and of the code its weights are to be put into.

    >>> tier_of("safetensors", "resnet50"), tier_of("safetensors", "mine.nets:make")
    ('A', 'C')
    """
    return "C" if arch is not None and names_code(arch) else TIERS[form]
