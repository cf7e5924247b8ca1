"""Says what a model file is by looking at its bytes, and refuses containers built to hurt.

Nothing is unpickled, executed or decompressed here, and the file's name plays no part.
"""

import stat
import struct
import zipfile
from pathlib import Path
from typing import BinaryIO, Literal
from xml.parsers import expat

from auditor.errors import ModelError, ModelRefusedError
from auditor.models.inspection.elements import element_parser
from auditor.models.inspection.wire import BYTES, VARINT, WireError, WireReader

Format = Literal[
    "torchscript",
    "checkpoint",
    "legacy-checkpoint",
    "safetensors",
    "onnx",
    "openvino",
    "pt2",
    "native",
    "package",
    "legacy-pickle",
]

ACCEPTED = (
    "a state dict (.pth, .pt, .safetensors, with an architecture), TorchScript, .pt2, ONNX or "
    "OpenVINO IR"
)

MAX_MEMBERS = 50_000
"""A checkpoint contains one member per tensor; the largest networks have a few thousand."""

ZIP_TAIL = 98
"""Bytes of a zip file's end in both of its forms."""

MAX_TOP_FIELDS = 100_000
"""At the top of an ONNX file: a version, a graph, and one field for each function of its own."""

MAX_XML_HEAD = 2**20
"""What an OpenVINO IR may have before its layers, which come first."""

MAX_CODE_BYTES = 2**26
"""TorchScript keeps its source text compressed; the rest of what torch writes is not."""

_LEGACY_TORCH = bytes.fromhex("80028a0a6cfc9c46f9206aa850192e")
"""What torch.save wrote first before it wrote zip files: a pickled magic number."""

_NATIVE_SUFFIXES = (".so", ".cubin", ".fatbin", ".dylib", ".dll", ".hsaco")

_KNOWN_OTHERS = {
    b"\x89HDF": "an HDF5 (Keras) file",
    b"\x93NUM": "a NumPy array",
    b"\x1f\x8b\x08": "a gzip file",
    b"<": "a markup file (XML, HTML), but no OpenVINO IR",
    b"version https://git-lfs": "a Git LFS pointer, not the file it points to",
}


def sniff(path: Path) -> Format:
    """Return the format of the model file ``path``.

    Raises:
        ModelError: if it is no regular file, is empty, or is of no known format.
        ModelRefusedError: if it is a container built to exhaust or to confuse its reader.
    """
    size = _size(path)
    with path.open("rb") as file:
        head = file.read(64)
        if head.startswith(b"PK\x03\x04"):
            return _sniff_zip(path, size)
        if head.startswith((b"ptrt", b"ftrt")):  # a TensorRT engine
            return "native"
        if head.startswith(b"\x7fELF"):
            return "native"
        if head.startswith(_LEGACY_TORCH):
            return "legacy-checkpoint"
        if head[0] == 0x80 and 2 <= head[1] <= 5:
            return "legacy-pickle"
        if _is_safetensors(head, size):
            return "safetensors"
        if _is_onnx(file, size):
            return "onnx"
        if head.startswith((b"<?xml", b"<net")) and _is_openvino(path, file):
            return "openvino"
    raise ModelError(f"{path} is {_other(head)}; give {ACCEPTED}")


def _size(path: Path) -> int:
    try:
        status = path.stat()
    except OSError as error:
        raise ModelError(f"cannot read the model {path}: {error.strerror}") from None
    if stat.S_ISDIR(status.st_mode):
        raise ModelError(f"{path} is a folder; give the model file inside it")
    if not stat.S_ISREG(status.st_mode):
        raise ModelError(f"{path} is not a regular file; give {ACCEPTED}")
    if status.st_size < 2:
        raise ModelError(f"{path} is empty; was the download cut short?")
    return status.st_size


def _sniff_zip(path: Path, size: int) -> Format:
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
    except (zipfile.BadZipFile, NotImplementedError, ValueError, OSError, struct.error) as error:
        if "not a zip file" in str(error):  # it begins as one
            error = ValueError("its end is missing, as after an interrupted copy")
        raise ModelError(f"{path} is a damaged zip file ({error}); copy it again") from None
    _check_directory(path, size)
    _check_members(path, members, size)
    names = [member.filename for member in members]
    # torch puts everything below one folder, whose name is the file's
    inner = {name.partition("/")[2] for name in names}
    if any(name.endswith(_NATIVE_SUFFIXES) for name in names):
        return "native"
    if "archive_format" in inner or any(name.startswith("models/") for name in inner):
        return "pt2"
    if ".data/extern_modules" in inner:
        return "package"
    if "constants.pkl" in inner and any(name.startswith("code/") for name in inner):
        return "torchscript"
    if "data.pkl" in inner:
        return "checkpoint"
    raise ModelError(f"{path} is a zip file that contains no model; give {ACCEPTED}")


def _check_directory(path: Path, size: int) -> None:
    """Refuse a zip file of which two readers could find two tables of contents.

    What is checked here must be what torch opens: the one table ends where the file does, and
    begins where its end says.
    """
    with path.open("rb") as file:
        file.seek(max(0, size - ZIP_TAIL))
        tail = file.read()
    end = tail[-22:]
    begins = int.from_bytes(end[16:20], "little") + int.from_bytes(end[12:16], "little")
    ends = size - 22
    if tail[-42:-38] == b"PK\x06\x07":  # the longer form, for what four bytes do not hold
        longer = tail[-98:-42]
        begins = int.from_bytes(longer[48:56], "little") + int.from_bytes(longer[40:48], "little")
        ends = size - 98
        if longer[:4] != b"PK\x06\x06":
            begins = -1
    if not end.startswith(b"PK\x05\x06") or begins != ends:
        raise ModelRefusedError(
            f"{path} is a zip file whose table of contents is not where it ends; torch.save writes "
            "no such file: save it again"
        )


def _check_members(path: Path, members: list[zipfile.ZipInfo], size: int) -> None:
    """Refuse what torch itself never writes: compression, repeated, overlapping or odd members."""
    names = {member.filename for member in members}
    packed = [member for member in members if member.compress_type != zipfile.ZIP_STORED]
    if len(members) > MAX_MEMBERS:
        fault = f"{len(members)} members"
    elif any("/code/" not in member.filename for member in packed):
        fault = "compressed members, which may expand without limit"
    elif sum(member.file_size for member in packed) > MAX_CODE_BYTES:
        fault = "more source text than any network needs"
    elif sum(member.compress_size for member in members) > size:
        fault = "members that together claim to be larger than the file"
    elif len(names) < len(members):
        fault = "two members of the same name"
    elif any(name.startswith("/") or ".." in name.split("/") for name in names):
        fault = "members that point outside it"
    else:
        return
    raise ModelRefusedError(
        f"{path} is a zip file with {fault}; torch.save writes no such file: save it again"
    )


def _is_safetensors(head: bytes, size: int) -> bool:
    if len(head) < 10 or head[8:9] != b"{":
        return False
    length = int.from_bytes(head[:8], "little")
    return 2 <= length <= min(size - 8, 100_000_000)


def _is_onnx(file: BinaryIO, size: int) -> bool:
    """Return whether the top level of the file is that of an ONNX ModelProto, to its last byte.

    Fields 1 (ir_version) and 5 (model_version) are numbers, all others have a length; 7 is the
    graph.
    """
    seen = set()
    try:
        for field in WireReader(file, size, MAX_TOP_FIELDS).fields():
            numeric = field.number in {1, 5}
            if field.number not in {*range(1, 9), 14, 20, 25, 26}:
                return False
            if field.kind != (VARINT if numeric else BYTES):
                return False
            seen.add(field.number)
    except WireError:
        return False
    return {1, 7} <= seen


def _is_openvino(path: Path, file: BinaryIO) -> bool:
    """Return whether the root element is ``net`` and contains ``layers``.

    No entity is ever expanded.
    """
    elements: list[str] = []
    parser = element_parser(path, lambda name, attributes: elements.append(name))
    file.seek(0)
    try:
        while len(elements) < 2 and file.tell() < MAX_XML_HEAD and (chunk := file.read(4096)):
            parser.Parse(chunk)
    except expat.ExpatError:
        return False
    return elements[:2] == ["net", "layers"]


def _other(head: bytes) -> str:
    for magic, name in _KNOWN_OTHERS.items():
        if head.startswith(magic):
            return name
    if head[4:8] == b"TFL3":
        return "a TensorFlow Lite file"
    return "in no known model format"
