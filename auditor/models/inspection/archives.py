"""The outline of what torch keeps in zip files: state dicts, TorchScript, exported programs."""

import io
import json
import math
import re
import zipfile
from typing import Any

from auditor.models.inspection.inspection import Inspection
from auditor.models.inspection.pickles import PickleOutline, outline

LARGEST_TEXT = 2**26
"""Bytes of a member that is read whole."""
SHOWN = 12
REACHING_OUT = re.compile(r"\b(torch\.(?:save|load|from_file)|ops\.(?!prim|aten)\w+\.\w+|print)\(")
"""What the text of a TorchScript program may call to reach more than numbers."""
DTYPES = {
    **{1: "uint8", 2: "int8", 3: "int16", 4: "int32", 5: "int64", 6: "float16"},
    **{7: "float32", 8: "float64", 12: "bool", 13: "bfloat16"},
}
"""Of torch's schema for exported programs."""


def read_checkpoint(archive: zipfile.ZipFile, found: Inspection) -> None:
    """Describe a file of `torch.save`."""
    read_members(archive, found)
    name = _member(archive, "data.pkl")
    read_pickle(outline(io.BytesIO(_read(archive, name))), found)


def read_pickle(read: PickleOutline, found: Inspection) -> None:
    """Describe what a pickle of weights contains."""
    found.tensors = len(read.tensors)
    found.parameters = sum(t.count for t in read.tensors)
    found.holds += [
        f"{t.name or 'the file itself'}: {t.dtype} {_shape(t.shape)}" for t in read.tensors[:SHOWN]
    ]
    if len(read.tensors) > SHOWN:
        found.holds.append(f"… and {len(read.tensors) - SHOWN} more tensors")
    if read.objects:
        named = ", ".join(read.objects[:5])
        found.notes.append(f"it names Python objects ({named}); what runs code is refused")
    if not read.whole:
        found.notes.append("its pickle is damaged, or does what no file of weights does")


def read_script(archive: zipfile.ZipFile, found: Inspection) -> None:
    """Describe a TorchScript program, of which the text is read and nothing else."""
    read_members(archive, found)
    read = outline(io.BytesIO(_read(archive, _member(archive, "data.pkl"))))
    top = read.names[0] if read.names else ""
    texts = {name: _text(archive, name) for name in archive.namelist() if name.endswith(".py")}
    found.notes.append(f"a program of {sum(map(len, texts.values()))} characters, unread by torch")
    calls = sorted({call for text in texts.values() for call in REACHING_OUT.findall(text)})
    if calls:
        found.notes.append(f"its text calls {', '.join(calls)}")
    module, _, kind = top.partition(" ")
    for name, text in texts.items():
        if name.endswith("/code/" + module.replace(".", "/") + ".py"):
            _signature(text, kind, found)
    sizes = [i.file_size for i in archive.infolist() if re.search(r"/data/\d+$", i.filename)]
    found.tensors = len(sizes)


def _signature(text: str, kind: str, found: Inspection) -> None:
    start = text.find(f"class {kind}(")
    header = re.search(r"def forward\(self[^,)]*,?\s*([^)]*)\)\s*->\s*([^\n]+):", text[start:])
    if start >= 0 and header:
        found.inputs += [part.strip() for part in header[1].split(",\n") if part.strip()]
        found.outputs.append(header[2].strip())


def read_program(archive: zipfile.ZipFile, found: Inspection) -> None:
    """Describe a program of `torch.export`: its graph is JSON."""
    read_members(archive, found)
    names = [n for n in archive.namelist() if re.search(r"/models/[^/]+\.json$", n)]
    try:
        program = json.loads(_read(archive, names[0]))
        graph = program["graph_module"]["graph"]
        meta = graph["tensor_values"]
        specs = program["graph_module"]["signature"]
        given = [s["user_input"]["arg"] for s in specs["input_specs"] if "user_input" in s]
        results = [s["user_output"]["arg"] for s in specs["output_specs"] if "user_output" in s]
        found.inputs = [_value(argument, meta) for argument in given]
        found.outputs = [_value(argument, meta) for argument in results]
        weights = [s["parameter"]["arg"]["name"] for s in specs["input_specs"] if "parameter" in s]
        found.tensors = len(weights)
        found.parameters = sum(math.prod(_sides(meta[name])) for name in weights)
        versions = program.get("opset_version", {})
        found.notes.append(f"operators {versions}, written by torch {program.get('torch_version')}")
    except (LookupError, TypeError, ValueError, AttributeError, RecursionError):
        found.notes.append("its graph cannot be followed; it may be of another version of torch")
    for name in archive.namelist():
        if name.endswith(".pt"):
            objects = _objects(archive, name)
            if objects:
                found.notes.append(f"{name} names Python objects ({', '.join(objects[:5])})")


def _objects(archive: zipfile.ZipFile, name: str) -> list[str]:
    """Return what the pickle in a member that is itself a checkpoint names beyond tensors."""
    try:
        with zipfile.ZipFile(io.BytesIO(_read(archive, name))) as inner:
            return outline(io.BytesIO(_read(inner, _member(inner, "data.pkl")))).objects
    except (zipfile.BadZipFile, LookupError, ValueError):
        return []


def read_members(archive: zipfile.ZipFile, found: Inspection) -> None:
    """Describe the members and their sizes."""
    found.members = [(info.filename, info.file_size) for info in archive.infolist()]


def _value(argument: Any, meta: Any) -> str:
    name = argument["as_tensor"]["name"]
    sides = meta[name]["sizes"]
    shown = [str(s["as_int"]) if "as_int" in s else "any" for s in sides]
    return f"{name}: {DTYPES.get(meta[name]['dtype'], '?')} {' × '.join(shown)}"


def _sides(value: Any) -> list[int]:
    return [int(side["as_int"]) for side in value["sizes"]]


def _shape(shape: tuple[int, ...]) -> str:
    return " × ".join(map(str, shape)) or "scalar"


def _member(archive: zipfile.ZipFile, ending: str) -> str:
    return next(n for n in archive.namelist() if n.partition("/")[2] == ending)


def _read(archive: zipfile.ZipFile, name: str) -> bytes:
    with archive.open(name) as member:
        return member.read(LARGEST_TEXT)


def _text(archive: zipfile.ZipFile, name: str) -> str:
    return _read(archive, name).decode(errors="replace")
