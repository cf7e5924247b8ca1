import io
import os
import pickle
import warnings
import zipfile

import numpy as np
import pytest
import safetensors.torch
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import nn

from auditor.errors import ModelError, ModelRefusedError
from auditor.models import onnx_network
from auditor.models.card import PRESETS, Card, card_from
from auditor.models.extractor import CardedExtractor
from auditor.models.files import open_files
from auditor.models.programs import open_program
from tests.opening import open_model
from tests.real import real_weights

__all__ = ["real_weights"]

SMALL = Card(height=16, width=8)
TINY = "tests.unit.auditor.models.test_loaders:Tiny"


class Tiny(nn.Module):
    """A network without classifier: 5-D features."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 5, 3, stride=2)
        self.bn = nn.BatchNorm2d(5)

    def forward(self, images):
        return self.bn(self.conv(images)).mean((2, 3))


class Classifying(Tiny):
    """Keeps its classifier; in evaluation it gives features, unless asked for everything."""

    def __init__(self, classes=7, features=True):
        super().__init__()
        self.classifier = nn.Linear(5, classes)
        self.features = features

    def forward(self, images):
        features = super().forward(images)
        return features if self.features else self.classifier(features)


def logits():
    return Classifying(features=False)


def not_a_module():
    return {}


def broken():
    raise RuntimeError("no such layer")


class Returns(nn.Module):
    def __init__(self, shape):
        super().__init__()
        self.shape = shape

    def forward(self, images):
        return self.shape(images)


@pytest.fixture
def net():
    with torch.random.fork_rng():
        torch.manual_seed(3)
        net = Tiny().eval()
        net.bn.running_mean.uniform_(-1, 1)
    return net


@pytest.fixture
def images():
    return torch.rand(4, 3, 16, 8, generator=torch.Generator().manual_seed(1))


def saved(tmp_path, content, **options):
    path = tmp_path / "model.pth"
    torch.save(content, path, **options)
    return path


def expected(net, images, card=SMALL):
    mean, std = (torch.tensor(v).view(1, 3, 1, 1) for v in (card.mean, card.std))
    with torch.no_grad():
        return net((images - mean) / std)


# -- state dicts --------------------------------------------------------------------------------


def wrappings(state):
    return {
        "bare": state,
        "torchreid": {
            "state_dict": state,
            "epoch": 60,
            "rank1": np.float64(0.5),
            "rank5": np.float32(0.5),
            "optimizer": {"state": {}, "param_groups": [{"lr": 0.1}]},
        },
        "fast-reid": {"model": state, "iteration": 3},
        "parallel": {"state_dict": {f"module.{n}": t for n, t in state.items()}},
        "deep prefix": {f"module.backbone.{n}": t for n, t in state.items()},
        "half": {n: t.half() if t.is_floating_point() else t for n, t in state.items()},
    }


@pytest.mark.parametrize("how", wrappings({}))
@pytest.mark.parametrize("zipped", [True, False])
def test_checkpoints_as_they_are_found(tmp_path, net, images, how, zipped):
    content = wrappings(net.state_dict())[how]
    path = saved(tmp_path, content, _use_new_zipfile_serialization=zipped)
    model = open_model(path, arch=TINY, card=SMALL)
    tolerance = 1e-2 if how == "half" else 1e-5
    torch.testing.assert_close(
        model.extractor(images).detach(), expected(net, images), atol=tolerance, rtol=tolerance
    )
    assert model.facts["format"] == ("checkpoint" if zipped else "legacy-checkpoint")
    assert model.facts["feature_dim"] == model.extractor.feature_dim == 5
    assert model.facts["parameters"] == 3 * 5 * 9 + 5 + 10
    assert model.facts["differentiable"] is True
    assert model.facts["trust"] == "program"  # the architecture is the user's own code


def test_numbers_saved_by_an_older_numpy(tmp_path, net):
    path = saved(tmp_path, {"state_dict": net.state_dict(), "rank1": np.float64(0.5)})
    with zipfile.ZipFile(path) as archive:
        members = [(info.filename, archive.read(info)) for info in archive.infolist()]
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members:
            archive.writestr(name, content.replace(b"numpy._core", b"numpy.core"))
    assert open_model(path, arch=TINY, card=SMALL).extractor.feature_dim == 5


def test_safetensors(tmp_path, net, images):
    path = tmp_path / "weights.bin"
    safetensors.torch.save_file(net.state_dict(), path)
    model = open_model(path, arch=TINY, card=SMALL)
    torch.testing.assert_close(model.extractor(images).detach(), expected(net, images))
    assert model.facts["format"] == "safetensors"
    assert len(model.facts["sha256"]) == 64
    assert model.facts["bytes"] == path.stat().st_size
    assert model.facts["card"]["height"] == 16


def test_osnet_without_architecture_is_recognised(tmp_path):
    from auditor.models.architectures.osnet import OSNet

    path = saved(tmp_path, {f"module.{n}": t for n, t in OSNet("osnet_x0_5").state_dict().items()})
    with pytest.raises(ModelError, match="give it with --arch"):
        open_model(saved(tmp_path, {"a": torch.ones(1)}), arch=None, card=SMALL)
    path = saved(tmp_path, OSNet("osnet_x0_5").state_dict())
    with pytest.raises(ModelError, match="--arch osnet_x0_5"):
        open_model(path, arch=None, card=SMALL)


def test_torchvision_gives_pooled_features_and_drops_the_classifier(tmp_path):
    import torchvision

    path = saved(tmp_path, torchvision.models.resnet18(num_classes=9).state_dict())
    model = open_model(path, arch="resnet18", card=replace_size(PRESETS["torchreid"], 64, 32))
    assert model.extractor.feature_dim == 512
    assert model.facts["dropped"] == ("fc.weight", "fc.bias")
    assert model.facts["trust"] == "data"


def replace_size(card, height, width):
    return Card(height=height, width=width, mean=card.mean, std=card.std)


def test_timm(tmp_path):
    import timm

    state = timm.create_model("vit_tiny_patch16_224", img_size=(32, 16), num_classes=9)
    path = saved(tmp_path, state.state_dict())
    card = Card(height=32, width=16)
    model = open_model(path, arch="timm:vit_tiny_patch16_224", card=card)
    assert model.extractor.feature_dim == 192
    with pytest.raises(ModelError, match="did you mean 'vit_tiny_patch16_224'"):
        open_model(path, arch="vit_tiny_patch16_225", card=card)
    with pytest.raises(ModelError, match="no architecture"):
        open_model(path, arch="timm:hf_hub:someone/something", card=card)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda s: s.pop("conv.weight"), r"1 missing \(conv.weight\)"),
        (lambda s: s.update({"layer9.weight": torch.ones(1)}), r"1 unexpected \(layer9.weight\)"),
        (
            lambda s: s.update({"conv.weight": torch.ones(5, 3, 5, 5)}),
            r"of another shape \(conv.weight \(5, 3, 5, 5\) instead of \(5, 3, 3, 3\)\)",
        ),
        (lambda s: s.update({"heads.bottleneck.0.weight": torch.ones(5)}), "heads.bottleneck"),
    ],
)
def test_another_architecture_is_refused(tmp_path, net, change, said):
    state = dict(net.state_dict())
    change(state)
    with pytest.raises(ModelError, match=f"wrong architecture: .*{said}"):
        open_model(saved(tmp_path, state), arch=TINY, card=SMALL)


def test_counters_of_training_steps_do_not_matter(tmp_path, net):
    state = dict(net.state_dict())
    del state["bn.num_batches_tracked"]
    assert open_model(saved(tmp_path, state), arch=TINY, card=SMALL).facts["dropped"] == ()


def test_a_classifier_of_another_size_may_lie_idle(tmp_path, images):
    state = Classifying(classes=3).state_dict()
    own = "tests.unit.auditor.models.test_loaders:Classifying"
    model = open_model(saved(tmp_path, state), arch=own, card=SMALL)
    assert set(model.facts["unfilled"]) == {"classifier.weight", "classifier.bias"}
    assert model.extractor(images).isfinite().all()
    assert all(p.isfinite().all() for p in model.extractor.parameters())


def test_but_features_must_not_depend_on_it(tmp_path):
    path = saved(tmp_path, Classifying(classes=3).state_dict())
    with pytest.raises(ModelError, match=r"no weights for classifier.weight.*features depend"):
        open_model(path, arch="tests.unit.auditor.models.test_loaders:logits", card=SMALL)


@pytest.mark.parametrize(
    ("arch", "said"),
    [
        ("osnet_x0_26", "did you mean 'osnet_x0_25'"),
        ("no.such.package:net", "PYTHONPATH"),
        ("tests.unit.auditor.models.test_loaders:nothing", "PYTHONPATH"),
        ("tests.unit.auditor.models.test_loaders:not_a_module", "gives dict"),
        ("tests.unit.auditor.models.test_loaders:broken", "failed when called: no such layer"),
    ],
)
def test_unknown_architectures(tmp_path, net, arch, said):
    with pytest.raises(ModelError, match=said):
        open_model(saved(tmp_path, net.state_dict()), arch=arch, card=SMALL)


@pytest.mark.parametrize("content", [[1, 2], {"epoch": 3}, torch.ones(3), {}])
def test_files_without_a_state_dict(tmp_path, content):
    with pytest.raises(ModelError, match="no state dict"):
        open_model(saved(tmp_path, content), arch=TINY, card=SMALL)


def test_damaged_files(tmp_path, net):
    path = saved(tmp_path, net.state_dict())
    path.write_bytes(path.read_bytes()[:-300])
    with pytest.raises(ModelError, match="damaged"):
        open_model(path, arch=TINY, card=SMALL)
    safetensors.torch.save_file(net.state_dict(), path)
    path.write_bytes(path.read_bytes()[:-8])
    with pytest.raises(ModelError, match="damaged"):
        open_model(path, arch=TINY, card=SMALL)


# -- refusals -----------------------------------------------------------------------------------


class Evil:
    def __init__(self, canary):
        self.canary = canary

    def __reduce__(self):
        return os.system, (f"touch {self.canary}",)


def hostile(canary):
    evil, legacy = Evil(canary), {"_use_new_zipfile_serialization": False}
    buffer = io.BytesIO()
    torch.save({"a": torch.ones(1)}, buffer, **legacy)
    return {
        "zip": lambda path: torch.save(evil, path),
        "beside the weights": lambda path: torch.save({"state_dict": {}, "x": evil}, path),
        "as a weight": lambda path: torch.save({"w": torch.ones(1), "x": evil}, path),
        "legacy torch": lambda path: torch.save(evil, path, **legacy),
        "plain pickle": lambda path: path.write_bytes(pickle.dumps(evil)),
        "protocol 2": lambda path: path.write_bytes(pickle.dumps(evil, protocol=2)),
        "after the magic": lambda path: path.write_bytes(
            buffer.getvalue()[:15] + pickle.dumps(evil, protocol=2)
        ),
        "whole module": lambda path: torch.save(Tiny(), path),
    }


@pytest.mark.parametrize("arch", [None, TINY])
@pytest.mark.parametrize("how", hostile(""))
def test_nothing_is_unpickled(tmp_path, how, arch):
    canary, path = tmp_path / "canary", tmp_path / "model.safetensors"
    hostile(canary)[how](path)
    with pytest.raises(ModelRefusedError, match=r"(?s)runs? code.*save the weights") as refusal:
        open_model(path, arch=arch, card=SMALL)
    assert refusal.value.exit_code == 5
    assert "\n" not in str(refusal.value)
    assert not canary.exists()


def test_the_canary_would_have_sung(tmp_path):
    pickle.loads(pickle.dumps(Evil(tmp_path / "canary")))
    assert (tmp_path / "canary").exists()


def test_native_code_is_refused(tmp_path):
    path = tmp_path / "model.pth"
    path.write_bytes(b"ftrt" + bytes(100))
    with pytest.raises(ModelRefusedError, match="native code"):
        open_model(path, arch=None, card=SMALL)


# -- torch.export -------------------------------------------------------------------------------


def exported(path, module, batch=None):
    """A .pt2 for batches of any size, or of one."""
    example = torch.rand(batch or 2, 3, 16, 8)
    free = None if batch else ({0: torch.export.Dim("batch")},)
    torch.export.save(torch.export.export(module.eval(), (example,), dynamic_shapes=free), path)
    return path


@pytest.mark.parametrize("batch", [None, 1, 2, 16])
def test_pt2_with_gradients_at_any_batch_size(tmp_path, net, images, batch):
    model = open_model(exported(tmp_path / "model.pt2", net, batch), arch=None, card=SMALL)
    assert (model.facts["tier"], model.facts["trust"]) == ("C", "program")
    assert model.facts["differentiable"] is True
    want, got = images.clone().requires_grad_(), images.clone().requires_grad_()
    extractor = CardedExtractor(net.eval(), SMALL)
    torch.testing.assert_close(model.extractor(got), extractor(want))
    model.extractor(got).square().sum().backward()
    extractor(want).square().sum().backward()
    torch.testing.assert_close(got.grad, want.grad)


class Two(nn.Module):
    def forward(self, images, camera):
        return images.mean((2, 3)) + camera


class Whole(nn.Module):
    def forward(self, images):
        return images.float().mean((2, 3))


def test_pt2_that_takes_something_else(tmp_path):
    path = tmp_path / "model.pt2"
    two = (torch.rand(2, 3, 16, 8), torch.rand(2, 1))
    torch.export.save(torch.export.export(Two(), two), path)
    with pytest.raises(ModelError, match=r"takes 2 inputs \(images, camera\)"):
        open_model(path, arch=None, card=SMALL)
    pixels = torch.zeros(2, 3, 16, 8, dtype=torch.uint8)
    torch.export.save(torch.export.export(Whole(), (pixels,)), path)
    with pytest.raises(ModelError, match=r"takes whole pixels; set the card"):
        open_model(path, arch=None, card=SMALL)


def test_pt2_brings_its_architecture(tmp_path, net):
    path = exported(tmp_path / "model.pt2", net)
    with pytest.raises(ModelError, match="leave out the architecture 'osnet_x1_0'"):
        open_model(path, arch="osnet_x1_0", card=SMALL)


def test_pt2_that_does_not_load(tmp_path, net):
    path = tmp_path / "model.pt2"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("m/archive_format", "pt2")
        archive.writestr("m/models/model.json", "{}")
    with pytest.raises(ModelError, match=r"the \.pt2 does not load"):
        open_model(path, arch=None, card=SMALL)


# -- TorchScript --------------------------------------------------------------------------------


def scripted(tmp_path, module):
    path = tmp_path / "model.pt"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        torch.jit.save(torch.jit.script(module), path)
    return path


def test_torchscript(tmp_path, net, images):
    model = open_model(scripted(tmp_path, net.train()), arch=None, card=SMALL)
    torch.testing.assert_close(model.extractor(images).detach(), expected(net.eval(), images))
    assert (model.facts["trust"], model.facts["arch"]) == ("program", "Tiny")
    images.requires_grad_()
    model.extractor(images).sum().backward()
    assert images.grad.abs().sum() > 0


def test_torchscript_brings_its_architecture(tmp_path, net):
    with pytest.raises(ModelError, match="leave out the architecture 'osnet_x1_0'"):
        open_model(scripted(tmp_path, net), arch="osnet_x1_0", card=SMALL)


def test_torchscript_that_does_not_load(tmp_path):
    path = tmp_path / "model.pt"
    with zipfile.ZipFile(path, "w") as archive:
        for name in ("constants.pkl", "data.pkl", "code/__torch__.py", "version"):
            archive.writestr(f"m/{name}", b"3")
    with pytest.raises(ModelError, match="TorchScript does not load"):
        open_model(path, arch=None, card=SMALL)


# -- ONNX ---------------------------------------------------------------------------------------


def onnx_model(batch="b", height="h", width="w", channels=3, inputs=("images",)):
    """Global average pooling and a 1×1 convolution: (B, 4, 1, 1)."""
    weight = np.arange(12, dtype=np.float32).reshape(4, 3, 1, 1)
    values = [
        helper.make_tensor_value_info(n, TensorProto.FLOAT, [batch, channels, height, width])
        for n in inputs
    ]
    nodes = [
        helper.make_node("GlobalAveragePool", [inputs[0]], ["pooled"]),
        helper.make_node("Conv", ["pooled", "weight"], ["features"]),
        helper.make_node("Abs", ["pooled"], ["other"]),
    ]
    outputs = [
        helper.make_tensor_value_info(n, TensorProto.FLOAT, [batch, c, 1, 1])
        for n, c in (("features", 4), ("other", 3))
    ]
    graph = helper.make_graph(
        nodes, "g", values, outputs, [numpy_helper.from_array(weight, "weight")]
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def written(tmp_path, model):
    path = tmp_path / "model.onnx"
    path.write_bytes(model.SerializeToString())
    return path


RAW = Card(height=16, width=8, mean=(0, 0, 0), std=(1, 1, 1), output=0)


@pytest.mark.parametrize("batch", ["b", 1, 3])
def test_onnx_at_any_exported_batch_size(tmp_path, images, batch):
    model = open_model(written(tmp_path, onnx_model(batch)), arch=None, card=RAW)
    weight = torch.arange(12.0).view(4, 3)
    torch.testing.assert_close(model.extractor(images), images.mean((2, 3)) @ weight.T)
    assert model.facts["differentiable"] is model.extractor.differentiable is False
    assert (model.facts["parameters"], model.facts["trust"]) == (12, "data")


@pytest.mark.parametrize(
    ("device", "offered", "started", "asked", "runs_on"),
    [
        ("cuda", ["CUDA", "CPU"], ["CUDA", "CPU"], ["CUDA", "CPU"], "cuda"),
        ("cuda", ["CUDA", "CPU"], ["CPU"], ["CUDA", "CPU"], "cpu: onnxruntime has no CUDA here"),
        ("cuda", ["Azure", "CPU"], ["CPU"], ["CPU"], "cpu: onnxruntime has no CUDA here"),
        ("cpu", ["CUDA", "CPU"], ["CPU"], ["CPU"], "cpu"),
    ],
)
def test_onnx_runs_on_cuda_where_that_is_and_says_where(
    tmp_path, monkeypatch, device, offered, started, asked, runs_on
):
    path, wanted = written(tmp_path, onnx_model()), []
    whole = onnx_network.RUNTIME.InferenceSession

    def session(content, options, providers):
        wanted.extend(name.removesuffix("ExecutionProvider") for name in providers)
        opened = whole(content, options, providers=["CPUExecutionProvider"])
        monkeypatch.setattr(
            opened, "get_providers", lambda: [f"{name}ExecutionProvider" for name in started]
        )
        return opened

    monkeypatch.setattr(onnx_network.RUNTIME, "InferenceSession", session)
    monkeypatch.setattr(
        onnx_network.RUNTIME,
        "get_available_providers",
        lambda: [f"{name}ExecutionProvider" for name in offered],
    )
    with open_files(path, "onnx") as files:
        network, facts = open_program("onnx", files, torch.device(device))
    assert (wanted, network.shape[1]) == (asked, 3)
    assert facts["runs_on"].startswith(runs_on)
    assert facts["parameters"] > 0


def test_onnx_output_is_picked_by_the_card(tmp_path, images):
    path = written(tmp_path, onnx_model())
    card = Card(height=16, width=8, mean=(0, 0, 0), std=(1, 1, 1), output=1)
    torch.testing.assert_close(
        open_model(path, arch=None, card=card).extractor(images), images.mean((2, 3))
    )
    with pytest.raises(ModelError, match="2 outputs, so there is no output 2"):
        open_model(path, arch=None, card=card_from("torchreid", {"output": 2}))


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"height": 32, "width": 16}, "takes images of 3×32×16, not 3×16×8; set the card's"),
        ({"inputs": ("images", "camera")}, r"takes 2 inputs \(images, camera\)"),
        ({"channels": 16, "height": 8, "width": 3}, "height, width and axes"),
    ],
)
def test_onnx_that_takes_something_else(tmp_path, options, said):
    with pytest.raises(ModelError, match=said):
        open_model(written(tmp_path, onnx_model(**options)), arch=None, card=RAW)


def test_onnx_that_onnxruntime_does_not_open(tmp_path):
    model = onnx_model()
    model.graph.node[0].op_type = "NoSuchOperation"
    with pytest.raises(ModelError, match=r"onnxruntime does not open it.*NoSuchOperation"):
        open_model(written(tmp_path, model), arch=None, card=RAW)


def external(model, location):
    tensor = model.graph.initializer[0]
    raw = tensor.raw_data
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value=location)
    return raw


def test_onnx_with_external_data_beside_it(tmp_path, images):
    model = onnx_model()
    (tmp_path / "weights.bin").write_bytes(external(model, "weights.bin"))
    opened = open_model(written(tmp_path, model), arch=None, card=RAW)
    weight = torch.arange(12.0).view(4, 3)
    torch.testing.assert_close(opened.extractor(images), images.mean((2, 3)) @ weight.T)
    # the file of the graph stays the same when its weights change
    (tmp_path / "weights.bin").write_bytes(bytes(48))
    other = open_model(tmp_path / "model.onnx", arch=None, card=RAW)
    assert other.facts["sha256"] == opened.facts["sha256"]
    assert other.facts["external_data"].keys() == {"weights.bin"}
    assert other.facts["external_data"] != opened.facts["external_data"]


@pytest.mark.parametrize("where", ["symlink", "hardlink", "../secret", "sub/secret", "absolute"])
def test_onnx_with_external_data_elsewhere_is_refused(tmp_path, where):
    folder = tmp_path / "models"
    (folder / "sub").mkdir(parents=True)
    secrets = [tmp_path / "secret", folder / "sub" / "secret"]
    model = onnx_model()
    raw = external(model, str(secrets[0]) if where == "absolute" else where)
    for secret in secrets:
        secret.write_bytes(raw)
    (folder / "symlink").symlink_to(secrets[0])
    (folder / "hardlink").hardlink_to(secrets[0])
    with pytest.raises(ModelRefusedError, match=r"link|points outside"):
        open_model(written(folder, model), arch=None, card=RAW)


def test_onnx_without_its_external_data(tmp_path):
    model = onnx_model()
    external(model, "weights.bin")
    with pytest.raises(ModelError, match=r"needs its external data 'weights.bin' beside it"):
        open_model(written(tmp_path, model), arch=None, card=RAW)


def test_external_data_hidden_in_an_attribute_is_refused(tmp_path):
    (tmp_path / "secret").write_bytes(bytes(48))
    model = onnx_model()
    hidden = numpy_helper.from_array(np.ones((4, 3, 1, 1), np.float32), "hidden")
    node = helper.make_node("Constant", [], ["weight2"], value=hidden)
    tensor = node.attribute[0].t
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="../secret")
    model.graph.node.insert(0, node)
    folder = tmp_path / "models"
    folder.mkdir()
    with pytest.raises(ModelRefusedError, match="points outside"):
        open_model(written(folder, model), arch=None, card=RAW)


# -- the card -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "card",
    [
        SMALL,
        Card(height=16, width=8, colour="bgr"),
        Card(height=16, width=8, value_range="0..255", mean=(123, 116, 103), std=(58, 57, 56)),
    ],
)
def test_images_are_prepared_as_the_card_says(images, card):
    prepared = CardedExtractor(Tiny(), card).prepare(images)
    channels = images.numpy()[:, ::-1] if card.colour == "bgr" else images.numpy()
    scaled = channels * (255 if card.value_range == "0..255" else 1)
    want = np.stack([(scaled[:, c] - card.mean[c]) / card.std[c] for c in range(3)], axis=1)
    np.testing.assert_allclose(prepared.numpy(), want, rtol=1e-4, atol=1e-4)


def test_another_size_is_resized(net):
    flat = torch.full((2, 3, 64, 40), 0.25)
    extractor = CardedExtractor(net, SMALL)
    torch.testing.assert_close(extractor(flat), extractor(flat[:, :, :16, :8]))


def test_l2_norm(net, images):
    card = Card(height=16, width=8, l2_norm=True)
    norms = CardedExtractor(net, card)(images).norm(dim=1)
    torch.testing.assert_close(norms, torch.ones(4))


def test_with_card_shares_the_network(tmp_path, net, images):
    model = open_model(saved(tmp_path, net.state_dict()), arch=TINY, card=SMALL)
    other = model.with_card(RAW)
    assert other.network is model.extractor.network
    torch.testing.assert_close(other(images).detach(), expected(net, images, RAW))


def test_half_precision_inside_float_outside(net, images):
    extractor = CardedExtractor(net.bfloat16(), SMALL)
    assert extractor(images).dtype == torch.float32


@pytest.mark.parametrize(
    ("shape", "said"),
    [
        (lambda x: x, r"shape \(2, 3, 16, 8\), not \(2, D\)"),
        (lambda x: x.mean((1, 2, 3)), r"shape \(2,\)"),
        (lambda x: x.mean((1, 2, 3))[:, None], r"shape \(2, 1\)"),
        (lambda x: x.flatten()[None], r"shape \(1, 768\)"),
        (lambda x: "features", "gives str, not a tensor"),
        (lambda x: [], "0 outputs"),
        (lambda x: x.flatten(1) @ torch.ones(7, 7), "does not take a batch of 2 images of 3×16×8 "),
    ],
)
def test_what_is_no_extractor(shape, said):
    with pytest.raises(ModelError, match=said) as error:
        CardedExtractor(Returns(shape), SMALL)
    assert "\n" not in str(error.value)


def test_outputs_by_place_or_name(images):
    card = Card(height=16, width=8, output=1)
    pair = Returns(lambda x: (x.mean((2, 3)), x.amax((2, 3))))
    named = Returns(lambda x: {"logits": x.mean((2, 3)), "features": x.amax((2, 3))})
    torch.testing.assert_close(
        CardedExtractor(pair, card)(images), CardedExtractor(named, card)(images)
    )
    with pytest.raises(ModelError, match="one output, so there is no output 1"):
        CardedExtractor(Returns(lambda x: x.mean((2, 3))), card)


def test_a_detached_network_is_not_differentiable():
    assert not CardedExtractor(Returns(lambda x: x.detach().mean((2, 3))), SMALL).differentiable
    assert CardedExtractor(Returns(lambda x: x.mean((2, 3))), SMALL).differentiable


def test_wrong_images_are_named(net):
    with pytest.raises(ModelError, match=r"not \(3, 16, 8\)"):
        CardedExtractor(net, SMALL)(torch.zeros(3, 16, 8))


def test_global_randomness_is_left_alone(tmp_path, net):
    path = saved(tmp_path, net.state_dict())
    before = torch.get_rng_state()
    open_model(path, arch=TINY, card=SMALL)
    CardedExtractor(Returns(lambda x: nn.functional.dropout(x).mean((2, 3))), SMALL)
    assert torch.equal(before, torch.get_rng_state())


# -- real models --------------------------------------------------------------------------------


def test_one_real_network_in_two_formats(real_weights):
    card = PRESETS["torchreid"]
    images = torch.rand(2, 3, 256, 128, generator=torch.Generator().manual_seed(0))
    for first, arch, second in (
        ("osnet_x0_25_msmt17.pth", "osnet_x0_25", "osnet_x0_25_msmt17.onnx"),
        ("intel_reid_0267.torchscript.pt", None, "intel_reid_0267.onnx"),
    ):
        mine = open_model(real_weights / first, arch=arch, card=card)
        theirs = open_model(real_weights / second, arch=None, card=card)
        assert mine.facts["differentiable"]
        assert not theirs.facts["differentiable"]
        with torch.no_grad():
            torch.testing.assert_close(
                mine.extractor(images), theirs.extractor(images), rtol=1e-3, atol=1e-4
            )
