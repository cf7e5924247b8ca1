"""What a model file says of itself, while nothing in it runs."""

import json
import os
import pickle
import resource
import time
import warnings
import zipfile

import pytest
import safetensors.torch
import torch
from onnx import TensorProto, helper, numpy_helper, save
from torch import nn

from auditor.errors import ModelError
from auditor.models.inspection.describe import inspect, lines
from auditor.models.inspection.onnx import outline
from auditor.models.sniff import sniff


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 1)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.conv(images).mean((2, 3))


class Saves(Net):
    def forward(self, images: torch.Tensor) -> torch.Tensor:
        torch.save(images, "canary")
        return self.conv(images).mean((2, 3))


class Evil:
    def __init__(self, canary):
        self.canary = canary

    def __reduce__(self):
        return os.system, (f"touch {self.canary}",)


def scripted(path, module):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.save(torch.jit.script(module), path)


def exported(path):
    free = ({0: torch.export.Dim("batch")},)
    images = torch.rand(2, 3, 16, 8)
    torch.export.save(torch.export.export(Net().eval(), (images,), dynamic_shapes=free), path)


def onnx_file(path):
    weight = numpy_helper.from_array(torch.ones(4, 3, 1, 1).numpy(), "weight")
    shape = ["batch", 3, 16, 8]
    graph = helper.make_graph(
        [helper.make_node("Conv", ["images", "weight"], ["features"])],
        "net",
        [helper.make_tensor_value_info("images", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("features", TensorProto.FLOAT, ["batch", 4, 16, 8])],
        [weight],
    )
    save(helper.make_model(graph, producer_name="tests"), path)


WRITERS = {
    "safetensors": lambda path: safetensors.torch.save_file(Net().state_dict(), path),
    "checkpoint": lambda path: torch.save({"state_dict": Net().state_dict(), "epoch": 3}, path),
    "legacy-checkpoint": lambda path: torch.save(
        Net().state_dict(), path, _use_new_zipfile_serialization=False
    ),
    "onnx": onnx_file,
    "torchscript": lambda path: scripted(path, Net()),
    "pt2": exported,
}
TIERS = {"safetensors": "A", "torchscript": "C", "pt2": "C"}


@pytest.mark.parametrize("form", WRITERS)
def test_what_each_format_says(tmp_path, form):
    path = tmp_path / "model.bin"
    WRITERS[form](path)
    found = inspect(path)
    assert (found.format, found.tier) == (form, TIERS.get(form, "B"))
    assert found.bytes == path.stat().st_size
    assert found.tensors == (1 if form == "onnx" else 2)
    if form != "torchscript":
        assert found.parameters == (12 if form == "onnx" else 16)
    if form in ("onnx", "pt2"):
        (given,) = found.inputs
        assert given.startswith("images: float32")
        assert given.endswith("3 × 16 × 8")
        assert "× 4" in found.outputs[0]
    if form == "torchscript":
        assert (found.inputs, found.outputs) == (["images: Tensor"], ["Tensor"])
    if "checkpoint" in form:
        assert any(held.endswith("conv.weight: float 4 × 3 × 1 × 1") for held in found.holds)
    assert not [note for note in found.notes if "damaged" in note or "objects" in note]
    assert all("\n" not in line for line in lines(found))


@pytest.mark.parametrize("form", WRITERS)
def test_a_cut_or_scrambled_file_ends_in_a_line(tmp_path, form):
    path = tmp_path / "model.bin"
    WRITERS[form](path)
    whole = path.read_bytes()
    generator = torch.Generator().manual_seed(0)
    for _ in range(20):
        place = int(torch.randint(16, len(whole), (), generator=generator))
        for content in (whole[:place], whole[:place] + b"\xff\x80" + whole[place + 2 :]):
            path.write_bytes(content)
            try:
                assert all(isinstance(line, str) for line in lines(inspect(path)))
            except ModelError:
                pass  # it is of no known format any more
            except Exception as error:
                assert type(error).__name__ == "ModelRefusedError"  # noqa: PT017


def test_nothing_is_unpickled(tmp_path):
    canary, path = tmp_path / "canary", tmp_path / "model.pth"
    torch.save({"state_dict": Net().state_dict(), "x": Evil(canary)}, path)
    found = inspect(path)
    assert any(f"{os.system.__module__}.system" in note for note in found.notes)
    assert (found.tensors, found.parameters) == (2, 16)
    path.write_bytes(pickle.dumps(Evil(canary)))
    found = inspect(path)
    assert (found.tier, found.format) == ("D", "legacy-pickle")
    assert "refused" in found.opening
    assert "safetensors.torch.save_file" in found.opening
    assert not canary.exists()


def test_a_member_whose_name_is_no_text(tmp_path):
    path = tmp_path / "model.pt"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("m/data.pkl", b"\x80\x02}.")
    raw = bytearray(path.read_bytes())
    raw[7] |= 8  # the member's own header says UTF-8, and is none
    raw[30] = 0x94
    path.write_bytes(raw)
    assert "it is damaged" in " ".join(inspect(path).notes)


@pytest.mark.parametrize(
    "asking",
    [b"r\x00\x00\x00\x08", b"p134217728\n", b"\x96" + (2**40).to_bytes(8, "little")],
    ids=["a memo of gigabytes", "the same in text", "a bytearray of a terabyte"],
)
def test_a_pickle_that_asks_for_more_than_its_length_explains(tmp_path, asking):
    path = tmp_path / "model.pkl"
    path.write_bytes(b"\x80\x05}" + asking + b".")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert "its pickle is damaged" in " ".join(inspect(path).notes)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss < before + 200_000  # KiB


def test_a_pickle_inside_an_exported_program_is_seen(tmp_path):
    good, path, evil = (tmp_path / name for name in ("good", "model.pt2", "evil.pt"))
    exported(good)
    torch.save(Evil(tmp_path / "canary"), evil)
    with zipfile.ZipFile(good) as source, zipfile.ZipFile(path, "w") as target:
        for name in source.namelist():
            replaced = name.endswith("sample_inputs/model.pt")
            target.writestr(name, evil.read_bytes() if replaced else source.read(name))
    assert any("names Python objects" in note for note in inspect(path).notes)
    assert not (tmp_path / "canary").exists()


def test_what_a_program_calls_beyond_numbers(tmp_path):
    path = tmp_path / "model.pt"
    scripted(path, Saves())
    assert "its text calls torch.save" in inspect(path).notes


def test_external_data_is_named_and_not_followed(tmp_path):
    path = tmp_path / "model.onnx"
    onnx_file(path)
    import onnx

    model = onnx.load(path)
    tensor = model.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="../secret")
    path.write_bytes(model.SerializeToString())
    with path.open("rb") as file:
        assert outline(file, path.stat().st_size).external == ["../secret"]
    assert inspect(path).beside == ["../secret"]


def test_a_file_of_tiny_fields_is_given_up(tmp_path):
    path = tmp_path / "model.onnx"
    path.write_bytes(b"\x08\x01\x3a\x00" + b"\x42\x00" * 5_000_000)
    began = time.monotonic()
    with pytest.raises(ModelError, match="no known model format"):
        sniff(path)
    assert time.monotonic() - began < 5


@pytest.mark.parametrize("shape", [[-1, 4], [2**62, 4], [2**31]])
def test_a_tensor_that_does_not_fit_into_its_bytes_is_said(tmp_path, shape):
    header = {"w": {"dtype": "F32", "shape": shape, "data_offsets": [0, 16]}}
    text = json.dumps(header).encode()
    path = tmp_path / "model.safetensors"
    path.write_bytes(len(text).to_bytes(8, "little") + text + bytes(16))
    found = inspect(path)
    assert found.notes == ["its header is damaged: 'w' does not fit into its bytes"]
    assert found.parameters is None


def test_openvino_is_read_layer_by_layer(tmp_path):
    path = tmp_path / "model.xml"
    path.write_text(
        '<?xml version="1.0"?><net name="n" version="11"><layers>'
        '<layer id="0" name="images" type="Parameter"><data shape="?,3,16,8" element_type="f32"/>'
        '</layer><layer id="1" name="w" type="Const"/><layer id="2" name="out" type="Result"/>'
        "</layers></net>"
    )
    found = inspect(path)
    assert found.inputs == ["images: f32 ? × 3 × 16 × 8"]
    assert (found.outputs, found.beside, found.tensors) == (["out"], ["model.bin"], 1)


def test_the_command(tmp_path, capsys):
    from auditor.cli.main import main

    path = tmp_path / "model.safetensors"
    safetensors.torch.save_file(Net().state_dict(), path, {"note": "\x1b[2J"})
    for flags in ([], ["--json"]):
        with pytest.raises(SystemExit) as stop:
            main(["inspect", str(path), *flags])
        assert not stop.value.code
        out = capsys.readouterr().out
        assert "\x1b" not in out
    assert json.loads(out)["tier"] == "A"
