"""Messages of the Open Inference Protocol, version 2: tensors in JSON, or behind it in binary."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from auditor.errors import ModelError
from auditor.models.service.client import Answer, read_json, read_numbers

BINARY = "binary_tensor_data"
"""The extension by which tensors follow the JSON as they are."""
LENGTH = "inference-header-content-length"
KINDS = {"FP16": "<f2", "FP32": "<f4", "FP64": "<f8", "UINT8": "u1"}
"""Their name of a number -> numpy's."""


@dataclass(frozen=True)
class Port:
    """A model's input or output.

    Attributes:
        name: of it.
        kind: one of `KINDS`.
        shape: −1 for any length.
    """

    name: str
    kind: str
    shape: tuple[int, ...]


def read_ports(said: Any, side: str) -> list[Port]:
    """Return ``inputs`` or ``outputs`` of a model's metadata.

    Raises:
        ModelError: if they are not what the protocol says.
    """
    try:
        return [
            Port(str(port["name"]), str(port["datatype"]), tuple(map(int, port["shape"])))
            for port in said[side]
        ]
    except (KeyError, TypeError, ValueError, OverflowError):
        raise ModelError(
            f"the service says nothing usable about the model's {side}; is it one of the Open "
            "Inference Protocol, version 2?"
        ) from None


def write_request(
    images: NDArray[Any], port: Port, *, binary: bool
) -> tuple[bytes, dict[str, str]]:
    """Body and headers that ask for the features of ``images``."""
    tensor: dict[str, Any] = {
        "name": port.name,
        "shape": list(images.shape),
        "datatype": port.kind,
    }
    numbers = np.ascontiguousarray(images, KINDS[port.kind])
    if not binary:
        body = json.dumps({"inputs": [{**tensor, "data": numbers.ravel().tolist()}]}).encode()
        return body, {"Content-Type": "application/json"}
    tensor["parameters"] = {"binary_data_size": numbers.nbytes}
    asked = {"inputs": [tensor], "parameters": {"binary_data_output": True}}
    head = json.dumps(asked).encode()
    headers = {
        "Content-Type": "application/octet-stream",
        "Inference-Header-Content-Length": str(len(head)),
    }
    return head + numbers.tobytes(), headers


def read_answer(answer: Answer, count: int) -> dict[str, NDArray[Any]]:
    """Output -> its tensor, of ``count`` pictures.

    Raises:
        ModelError: if the answer is not what the protocol says.
    """
    length = {name.lower(): value for name, value in answer.headers.items()}.get(LENGTH, "")
    try:
        border = int(length) if length.isdecimal() else len(answer.body)
        said, rest = read_json(answer.body[:border]), answer.body[border:]
        found = {}
        for output in said["outputs"]:
            numbers, rest = _read_tensor(output, rest)
            found[str(output["name"])] = numbers
    except (KeyError, TypeError, ValueError, OverflowError):
        raise ModelError("the service's answer is not in the Open Inference Protocol") from None
    if not found:
        raise ModelError("the service's answer contains no output")
    for name, numbers in found.items():
        if numbers.shape[:1] != (count,):
            raise ModelError(
                f"the service's output {name[:80]!r} has shape {numbers.shape} for {count} images"
            )
    return found


def _read_tensor(output: Mapping[str, Any], rest: bytes) -> tuple[NDArray[Any], bytes]:
    kind, shape = KINDS[output["datatype"]], _read_shape(output["shape"])
    size = (output.get("parameters") or {}).get("binary_data_size")
    if size is None:
        return read_numbers(output["data"], kind).reshape(shape), rest
    wanted = math.prod(shape) * np.dtype(kind).itemsize
    if size != wanted or len(rest) < wanted:
        raise ValueError("a tensor is cut short")
    return np.frombuffer(rest[:wanted], kind).reshape(shape).copy(), rest[wanted:]


def _read_shape(shape: Sequence[Any]) -> tuple[int, ...]:
    if not all(isinstance(side, int) and side >= 0 for side in shape):
        raise ValueError("a shape is not a list of lengths")
    return tuple(shape)
