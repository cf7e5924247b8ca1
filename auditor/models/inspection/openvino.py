"""The outline of an OpenVINO description: its layers, and what goes in and comes out."""

from collections import Counter
from pathlib import Path
from typing import BinaryIO
from xml.parsers import expat

from auditor.errors import ModelRefusedError
from auditor.models.inspection.elements import element_parser
from auditor.models.inspection.inspection import Inspection

MOST_LAYERS = 200_000


def outline(path: Path, file: BinaryIO, found: Inspection) -> None:
    """Read a description layer by layer.

    Raises:
        ModelRefusedError: if it declares entities, or has more layers than any network.
    """
    kinds: Counter[str] = Counter()
    layer: dict[str, str] = {}

    def begin(name: str, attributes: dict[str, str]) -> None:
        if name == "layer":
            layer.clear()
            layer.update(attributes)
            kinds[attributes.get("type", "?")] += 1
            if kinds.total() > MOST_LAYERS:
                raise ModelRefusedError(f"{path} has more than {MOST_LAYERS} layers")
            if attributes.get("type") == "Result":
                found.outputs.append(attributes.get("name", "?"))
        elif name == "data" and layer.get("type") == "Parameter":
            shape = attributes.get("shape", "?").replace(",", " × ")
            kind = attributes.get("element_type", "?")
            found.inputs.append(f"{layer.get('name', '?')}: {kind} {shape}")

    parser = element_parser(path, begin)
    try:
        while chunk := file.read(2**16):
            parser.Parse(chunk)
        parser.Parse(b"", True)
    except expat.ExpatError as error:
        found.notes.append(f"its XML is damaged: {error}")
    found.tensors = kinds["Const"]
    found.holds += [f"{count} × {kind}" for kind, count in kinds.most_common(12)]
    found.beside.append(path.with_suffix(".bin").name)
