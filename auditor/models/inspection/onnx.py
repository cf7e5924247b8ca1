"""The outline of an ONNX file: who made it, what it takes and gives, and which files it wants.

Numbers of fields are those of ``onnx.proto``.
"""

import math
from collections import Counter
from dataclasses import dataclass, field
from typing import BinaryIO

from auditor.models.inspection.wire import BYTES, Field, WireReader

PRODUCER, PRODUCER_VERSION, GRAPH, OPSET = 2, 3, 7, 8
NODE, INITIALIZER, INPUT, OUTPUT = 1, 5, 11, 12
OPERATION, DOMAIN = 4, 7
DIMS, NAME, EXTERNAL = 1, 8, 13
KEY, VALUE = 1, 2

TYPES = {1: "float32", 10: "float16", 11: "float64", 16: "bfloat16", 2: "uint8", 3: "int8"}
TYPES |= {6: "int32", 7: "int64", 9: "bool", 8: "string"}


@dataclass
class OnnxOutline:
    """What an ONNX file is made of.

    Attributes:
        producer: who says to have written it.
        opsets: domain and version of the operators it is written in.
        inputs: name, type and shape, without the weights.
        outputs: likewise.
        operations: how often each operator occurs in the main graph.
        tensors: how many weights.
        parameters: numbers in them.
        external: files beside it in which weights lie.
    """

    producer: str = ""
    opsets: list[str] = field(default_factory=list)
    inputs: list[str] = field(default_factory=list)
    outputs: list[str] = field(default_factory=list)
    operations: Counter[str] = field(default_factory=Counter)
    tensors: int = 0
    parameters: int = 0
    external: list[str] = field(default_factory=list)


def outline(file: BinaryIO, size: int) -> OnnxOutline:
    """Read the outline of a model.

    Raises:
        WireError: if it is damaged, or built to keep its reader busy.
    """
    reader, found = WireReader(file, size), OnnxOutline()
    version = ""
    for part in reader.fields():
        if part.number == PRODUCER:
            found.producer = reader.text(part, 200)
        elif part.number == PRODUCER_VERSION:
            version = reader.text(part, 200)
        elif part.number == OPSET:
            found.opsets.append(_opset(reader, part))
        elif part.number == GRAPH:
            _graph(reader, part, found)
    found.producer = f"{found.producer} {version}".strip()
    return found


def _graph(reader: WireReader, graph: Field, found: OnnxOutline) -> None:
    weights: set[str] = set()
    inputs: list[tuple[str, str]] = []
    for part in reader.inside(graph):
        if part.number == NODE:
            found.operations[_operation(reader, part)] += 1
        elif part.number == INITIALIZER:
            weights.add(_tensor(reader, part, found))
        elif part.number == INPUT:
            inputs.append(_value(reader, part))
        elif part.number == OUTPUT:
            name, kind = _value(reader, part)
            found.outputs.append(f"{name}: {kind}")
    # older files list their weights among the inputs
    found.inputs += [f"{name}: {kind}" for name, kind in inputs if name not in weights]


def _opset(reader: WireReader, part: Field) -> str:
    domain, version = "ai.onnx", 0
    for inner in reader.inside(part):
        if inner.number == 1:
            domain = reader.text(inner, 200) or domain
        elif inner.number == 2:
            version = inner.value
    return f"{domain} {version}"


def _operation(reader: WireReader, node: Field) -> str:
    kind, domain = "", ""
    for inner in reader.inside(node):
        if inner.number == OPERATION:
            kind = reader.text(inner, 200)
        elif inner.number == DOMAIN:
            domain = reader.text(inner, 200)
    return f"{domain}:{kind}" if domain not in ("", "ai.onnx") else kind


def _tensor(reader: WireReader, part: Field, found: OnnxOutline) -> str:
    """Count a weight; gives its name."""
    shape: list[int] = []
    name = ""
    for inner in reader.inside(part):
        if inner.number == DIMS:
            shape += reader.numbers(inner)
        elif inner.number == NAME:
            name = reader.text(inner, 1000)
        elif inner.number == EXTERNAL:
            _external(reader, inner, found)
    found.tensors += 1
    found.parameters += math.prod(shape)
    return name


def _external(reader: WireReader, entry: Field, found: OnnxOutline) -> None:
    texts = {i.number: reader.text(i) for i in reader.inside(entry) if i.kind == BYTES}
    if texts.get(KEY) == "location" and (where := texts.get(VALUE, "")) not in found.external:
        found.external.append(where)


def _value(reader: WireReader, part: Field) -> tuple[str, str]:
    """Name, and type with shape, of an input or output."""
    name, kind = "", "?"
    for inner in reader.inside(part):
        if inner.number == 1:
            name = reader.text(inner, 200)
        elif inner.number == 2:
            for choice in reader.inside(inner):
                kind = _tensor_type(reader, choice) if choice.number == 1 else "no tensor"
    return name, kind


def _tensor_type(reader: WireReader, part: Field) -> str:
    kind, shape = "?", "?"
    for inner in reader.inside(part):
        if inner.number == 1:
            kind = TYPES.get(inner.value, f"type {inner.value}")
        elif inner.number == 2:
            sides = [_side(reader, side) for side in reader.inside(inner) if side.number == 1]
            shape = " × ".join(sides) or "a number"
    return f"{kind} {shape}"


def _side(reader: WireReader, side: Field) -> str:
    for inner in reader.inside(side):
        if inner.number == 1:
            return str(inner.value)
        if inner.number == 2:
            return reader.text(inner, 60)
    return "?"
