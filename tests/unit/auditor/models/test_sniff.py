import contextlib
import os
import pickle
import struct
import warnings
import zipfile

import onnx
import pytest
import safetensors.torch
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper
from torch import nn

from auditor.errors import AuditError, ModelError, ModelRefusedError
from auditor.models.sniff import sniff
from tests.real import real_weights

__all__ = ["real_weights"]

STATE = {"weight": torch.ones(2, 3)}


def write_zip(path, members, compression=zipfile.ZIP_STORED):
    with zipfile.ZipFile(path, "w", compression) as archive, warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # duplicate names
        for name, content in members:
            archive.writestr(name, content)


def write_script(path):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        torch.jit.save(torch.jit.script(nn.Linear(2, 2)), path)


def write_onnx(path):
    shape = [helper.make_tensor_value_info(n, TensorProto.FLOAT, [1]) for n in "xy"]
    graph = helper.make_graph([helper.make_node("Abs", ["x"], ["y"])], "g", shape[:1], shape[1:])
    onnx.save(helper.make_model(graph), path)


WRITERS = {
    "checkpoint": lambda path: torch.save(STATE, path),
    "legacy-checkpoint": lambda path: torch.save(STATE, path, _use_new_zipfile_serialization=False),
    "legacy-pickle": lambda path: path.write_bytes(pickle.dumps({"a": 1})),
    "safetensors": lambda path: safetensors.torch.save_file(STATE, path),
    "torchscript": write_script,
    "onnx": write_onnx,
    "pt2": lambda path: write_zip(
        path, [("m/archive_format", "pt2"), ("m/models/model.json", "{}")]
    ),
    "package": lambda path: write_zip(path, [("m/.data/extern_modules", ""), ("m/a.py", "")]),
    "native": lambda path: write_zip(
        path, [("m/archive_format", "pt2"), ("m/data/aotinductor/model/a.wrapper.so", b"\x7fELF")]
    ),
}


@pytest.mark.parametrize("name", ["model.pth", "model.onnx", "model.safetensors", "model"])
@pytest.mark.parametrize("form", WRITERS)
def test_the_content_decides_and_not_the_name(tmp_path, form, name):
    path = tmp_path / name
    WRITERS[form](path)
    assert sniff(path) == form


def test_real_exported_program(tmp_path):
    path = tmp_path / "model.bin"
    torch.export.save(torch.export.export(nn.Linear(2, 2), (torch.ones(1, 2),)), path)
    assert sniff(path) == "pt2"


@pytest.mark.parametrize("head", [b"ptrt", b"ftrt", b"\x7fELF"])
def test_native_code(tmp_path, head):
    path = tmp_path / "engine"
    path.write_bytes(head + bytes(100))
    assert sniff(path) == "native"


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "is empty"),
        (b"hello, world", "no known model format.*ONNX or OpenVINO IR"),
        (b"PK\x03\x04" + bytes(50), "damaged zip"),
        (b"\x89HDF\r\n\x1a\n", "HDF5"),
        (b"version https://git-lfs.github.com/spec/v1", "Git LFS pointer"),
        (b"\x1c\x00\x00\x00TFL3aaaa", "TensorFlow Lite"),
        (struct.pack("<Q", 10**12) + b"{}", "no known"),
        (b"\x08\x0a\x3a\x7f", "no known"),  # an ONNX model cut short
    ],
)
def test_other_files_are_named(tmp_path, content, said):
    path = tmp_path / "model.pt"
    path.write_bytes(content)
    with pytest.raises(ModelError, match=said):
        sniff(path)


def test_what_is_no_file(tmp_path):
    with pytest.raises(ModelError, match="No such file"):
        sniff(tmp_path / "gone")
    with pytest.raises(ModelError, match="is a folder"):
        sniff(tmp_path)
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ModelError, match="not a regular file"):
        sniff(tmp_path / "pipe")


@pytest.mark.parametrize(
    ("members", "compression", "fault"),
    [
        ([("m/data.pkl", bytes(10**6))], zipfile.ZIP_DEFLATED, "compressed"),
        ([("m/code/a.py", bytes(2**26 + 1))], zipfile.ZIP_DEFLATED, "source text"),
        ([("m/data.pkl", b"a"), ("m/data.pkl", b"b")], zipfile.ZIP_STORED, "same name"),
        ([("m/data.pkl", b"a"), ("m/../../x", b"b")], zipfile.ZIP_STORED, "outside"),
    ],
)
def test_hostile_containers_are_refused(tmp_path, members, compression, fault):
    path = tmp_path / "model.pth"
    write_zip(path, members, compression)
    with pytest.raises(ModelRefusedError, match=fault):
        sniff(path)


def test_members_that_overlap_are_refused(tmp_path):
    path = tmp_path / "model.pth"
    write_zip(path, [("m/data.pkl", bytes(1000)), ("m/data/0", bytes(1000))])
    raw = bytearray(path.read_bytes())
    for offset in range(len(raw)):  # each directory entry claims a megabyte
        if raw[offset : offset + 4] == b"PK\x01\x02":
            raw[offset + 20 : offset + 28] = struct.pack("<II", 10**6, 10**6)
    path.write_bytes(raw)
    with pytest.raises(ModelRefusedError, match="larger than the file"):
        sniff(path)


def test_too_many_members_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("auditor.models.sniff.MAX_MEMBERS", 3)
    path = tmp_path / "model.pth"
    write_zip(path, [(f"m/{i}", "") for i in range(4)])
    with pytest.raises(ModelRefusedError, match="4 members"):
        sniff(path)


@settings(max_examples=200, deadline=None)
@given(
    head=st.sampled_from([b"", b"PK\x03\x04", b"\x80\x02", b"\x08\x07", bytes(7) + b"\x01{"]),
    tail=st.binary(max_size=200),
)
def test_any_bytes_give_a_format_or_one_of_our_errors(tmp_path_factory, head, tail):
    path = tmp_path_factory.getbasetemp() / "any"
    path.write_bytes(head + tail)
    with contextlib.suppress(AuditError):
        assert isinstance(sniff(path), str)


def test_real_files(real_weights):
    found = {path.name: sniff(path) for path in sorted(real_weights.iterdir()) if _is_model(path)}
    assert set(found.values()) == {"checkpoint", "onnx", "torchscript"}


def _is_model(path):
    return path.suffix in {".pth", ".onnx", ".pt"}
