"""Says what a model file is, which tier it belongs to and what is in it, running none of it."""

import hashlib
import json
import math
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

from auditor.console import printable
from auditor.models.inspection import archives, onnx, openvino
from auditor.models.inspection.inspection import Inspection
from auditor.models.inspection.pickles import outline
from auditor.models.inspection.wire import WireError
from auditor.models.sniff import Format, sniff
from auditor.models.tiers import REFUSED, TIERS, Tier

OPENING: Mapping[Tier, str] = {
    "A": "opened in the audit's own process",
    "B": "opened in a worker",
    "C": "a program, run in a worker",
    "D": "refused",
}
DAMAGED = (
    *(WireError, zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError),
    *(EOFError, LookupError, StopIteration, ValueError, ArithmeticError, struct.error, OSError),
)
"""What reading a file raises that is not as its format wants it."""
LARGEST_HEADER = 100_000_000
MEMBERS = 20
"""Members of an archive that are printed."""


def inspect(path: Path) -> Inspection:
    """Return the outline of a model file.

    Raises:
        ModelError: if it is of no known format.
        ModelRefusedError: if it is built to exhaust or confuse its reader.
    """
    form = sniff(path)
    tier = TIERS[form]
    opening = OPENING[tier] + (f": it is {REFUSED[form]}" if form in REFUSED else "")
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
        found = Inspection(path.name, path.stat().st_size, digest, form, tier, opening)
        file.seek(0)
        try:
            _read(form, path, file, found)
        except DAMAGED as error:
            found.notes.append(f"it is damaged: {error or type(error).__name__}")
    return found


def _read(form: Format, path: Path, file: BinaryIO, found: Inspection) -> None:
    in_zip: Mapping[Format, Callable[[zipfile.ZipFile, Inspection], None]] = {
        "checkpoint": archives.read_checkpoint,
        "torchscript": archives.read_script,
        "pt2": archives.read_program,
        "package": archives.read_members,
        "native": archives.read_members,
    }
    if form == "safetensors":
        _safetensors(file, found)
    elif form == "onnx":
        _onnx(file, found)
    elif form == "openvino":
        openvino.outline(path, file, found)
    elif form in ("legacy-checkpoint", "legacy-pickle"):
        # before it wrote zip files, torch wrote a magic number, a version and its system first
        archives.read_pickle(outline(file, pickles=4 if form == "legacy-checkpoint" else 1), found)
    elif zipfile.is_zipfile(file):
        with zipfile.ZipFile(file) as archive:
            in_zip[form](archive, found)


def _safetensors(file: BinaryIO, found: Inspection) -> None:
    length = int.from_bytes(file.read(8), "little")
    try:
        header = json.loads(file.read(min(length, LARGEST_HEADER)))
        metadata = header.pop("__metadata__", {})
        tensors = [(name, e["dtype"], tuple(map(int, e["shape"]))) for name, e in header.items()]
        described = dict(metadata)
        _check_extents(header)
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        found.notes.append(f"its header is damaged: {error}")
        return
    found.tensors = len(tensors)
    found.parameters = sum(math.prod(shape) for _, _, shape in tensors)
    shown = tensors[: archives.SHOWN]
    found.holds += [f"{name}: {kind} {' × '.join(map(str, s))}" for name, kind, s in shown]
    if len(tensors) > len(shown):
        found.holds.append(f"… and {len(tensors) - len(shown)} more tensors")
    found.notes += [f"it says of itself: {key} = {value}" for key, value in described.items()]


def _check_extents(header: Mapping[str, Any]) -> None:
    """Make sure that no tensor has fewer than no numbers, or more than its bytes can hold.

    Raises:
        ValueError: if one has.
    """
    for name, entry in header.items():
        begin, end = map(int, entry["data_offsets"])
        if min(entry["shape"], default=0) < 0 or math.prod(entry["shape"]) > 8 * (end - begin):
            raise ValueError(f"{printable(name, 100)!r} does not fit into its bytes")


def _onnx(file: BinaryIO, found: Inspection) -> None:
    read = onnx.outline(file, found.bytes)
    found.inputs, found.outputs, found.beside = read.inputs, read.outputs, read.external
    found.tensors, found.parameters = read.tensors, read.parameters
    found.holds += [f"{count} × {name}" for name, count in read.operations.most_common(12)]
    found.notes.append(f"written by {read.producer or '?'}, operators {', '.join(read.opsets)}")
    foreign = sorted(name for name in read.operations if ":" in name)
    if foreign:
        found.notes.append(f"operators of other makers: {', '.join(foreign[:5])}")


def lines(found: Inspection) -> Iterator[str]:
    """Yield what to print, a line each."""
    yield f"{found.file}: {found.format}, {found.bytes:,} bytes"
    yield f"tier {found.tier}: {found.opening}"
    yield f"sha256 {found.sha256}"
    if found.parameters is not None:
        yield f"{found.tensors} tensors, {found.parameters:,} parameters"
    elif found.tensors is not None:
        yield f"{found.tensors} tensors"
    for title, values in (("input", found.inputs), ("output", found.outputs)):
        yield from (f"{title} {value}" for value in values)
    yield from (f"needs {name} beside it" for name in found.beside)
    yield from (f"note: {note}" for note in found.notes)
    yield from (f"  {held}" for held in found.holds)
    if found.members:
        total = sum(size for _, size in found.members)
        yield f"{len(found.members)} members, {total:,} bytes unpacked"
        yield from (f"  {size:>12,}  {name}" for name, size in found.members[:MEMBERS])
        if len(found.members) > MEMBERS:
            yield f"  … and {len(found.members) - MEMBERS} more; --json lists all"
