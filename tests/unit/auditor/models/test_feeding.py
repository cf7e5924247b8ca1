"""What deployments feed networks with, and what is said where a network fails."""

import warnings

import numpy as np
import pytest
import torch
from onnx import TensorProto, helper
from PIL import Image
from torch import nn

from auditor.data.images import FileImages
from auditor.embedding import embed_pictures
from auditor.errors import ModelError, UsageError
from auditor.models.card import Card, card_from
from auditor.models.extractor import CardedExtractor, reason
from auditor.models.programs import ScriptNetwork
from auditor.resizing import InputSize, Resizing, resize_pixels
from auditor.types import MemoryImages, RunContext
from defenses.image_deid.changing import ChangedImages
from tests.opening import open_model

RAW = {"height": 16, "width": 8, "mean": [0, 0, 0], "std": [1, 1, 1]}
UINT8 = RAW | {"pixels": "uint8", "value_range": "0..255"}


def card(**fields):
    return card_from("torchreid", RAW | fields)


class Means(nn.Module):
    """The mean colour, after whatever ``look`` makes of the input."""

    def __init__(self, look=lambda images: images):
        super().__init__()
        self.look = look
        self.weight = nn.Parameter(torch.ones(1))

    def forward(self, images):
        return self.look(images).float().mean((2, 3)) * self.weight.float()


@pytest.fixture
def images():
    return torch.rand(3, 3, 16, 8, generator=torch.Generator().manual_seed(0))


def test_flip_averages_a_picture_and_its_mirror_image(images):
    left = Means(lambda x: x[..., :4])
    features = CardedExtractor(left, card(flip=True))(images)
    torch.testing.assert_close(features, images.mean((2, 3)))


def test_channels_last(images):
    def look(x):
        assert x.shape[1:] == (16, 8, 3)
        return x.permute(0, 3, 1, 2)

    features = CardedExtractor(Means(look), card(axes="nhwc"))(images)
    torch.testing.assert_close(features, images.mean((2, 3)))


def test_whole_pixels(images):
    def look(x):
        assert x.dtype == torch.uint8
        return x

    extractor = CardedExtractor(Means(look), card_from("torchreid", UINT8))
    torch.testing.assert_close(extractor(images), (images * 255).round().mean((2, 3)))
    assert not extractor.differentiable
    with pytest.raises(UsageError, match=r"fed as they are; set value_range to 0\.\.255"):
        card_from("torchreid", {"pixels": "uint8"})


@pytest.mark.parametrize("precision", ["float16", "bfloat16"])
def test_half_precision(images, precision):
    def look(x):
        assert x.dtype == getattr(torch, precision)
        return x

    features = CardedExtractor(Means(look), card(precision=precision))(images)
    assert features.dtype == torch.float32
    torch.testing.assert_close(features, images.mean((2, 3)), atol=1e-2, rtol=1e-2)


class Sided(Means):
    def forward(self, images, camera, view):
        return super().forward(images) + camera[:, None] + 10 * view[:, None]


def test_camera_and_view_are_constants(images):
    features = CardedExtractor(Sided(), card(side_inputs=[2, 1]))(images)
    torch.testing.assert_close(features, images.mean((2, 3)) + 12)
    with pytest.raises(ModelError, match=r"missing 2 required positional.*card's side_inputs"):
        CardedExtractor(Sided(), card())


class Two(Means):
    def forward(self, images):
        return super().forward(images), images.amax((2, 3))


def test_of_several_outputs_none_is_picked_in_silence(images):
    with pytest.raises(ModelError, match=r"2 outputs \(0: 2×3, 1: 2×3\); say which"):
        CardedExtractor(Two(), card())
    torch.testing.assert_close(CardedExtractor(Two(), card(output=1))(images), images.amax((2, 3)))


def test_a_network_for_one_image_gets_one_at_a_time(images):
    single = Means(lambda x: x.reshape(1, 3, 16, 8))
    extractor = CardedExtractor(single, card())
    assert extractor.singly
    torch.testing.assert_close(extractor(images), images.mean((2, 3)))
    assert not CardedExtractor(Means(), card()).singly


@pytest.mark.parametrize(
    ("said", "hint"),
    [
        ("CUDA out of memory. Tried to allocate 20 GiB", "free memory"),
        ("Torch not compiled with CUDA enabled", "exported for a GPU"),
        ("\"conv\" not implemented for 'Half'", "precision"),
        ("Given groups=1, expected input to have 4 channels", "height, width and axes"),
        ("list index out of range", r"index out of range$"),
    ],
)
def test_a_failure_says_on_what_and_what_helps(said, hint):
    def look(images):
        raise RuntimeError(said)

    with pytest.raises(ModelError, match=hint) as error:
        CardedExtractor(Means(look), card())
    assert "a batch of 2 images of 3×16×8 (float32 on cpu): " in str(error.value)
    assert said in str(error.value)


def test_a_reason_names_no_users_folders():
    error = PermissionError(13, "Permission denied", "/home/ada/models/secret.bin")
    assert reason(error) == "[Errno 13] Permission denied: '…/secret.bin'"


def test_a_long_reason_is_not_cut():
    def look(images):
        raise RuntimeError("x" * 900 + " the cause")

    with pytest.raises(ModelError, match="the cause"):
        CardedExtractor(Means(look), card())


# -- ONNX ---------------------------------------------------------------------------------------


def onnx(tmp_path, *, shape=("b", 3, 16, 8), dtype=TensorProto.FLOAT, sides=()):
    """The mean colour over the last two axes, plus the further inputs."""
    inputs = [helper.make_tensor_value_info("images", dtype, shape)]
    inputs += [helper.make_tensor_value_info(name, TensorProto.INT64, ["b"]) for name in sides]
    nodes = [helper.make_node("Cast", ["images"], ["cast"], to=TensorProto.FLOAT)]
    axes = [1, 2] if shape[-1] == 3 else [2, 3]
    nodes.append(helper.make_node("ReduceMean", ["cast"], ["mean"], axes=axes, keepdims=0))
    last = "mean"
    for name in sides:
        nodes += [
            helper.make_node("Cast", [name], [f"{name}_f"], to=TensorProto.FLOAT),
            helper.make_node("Unsqueeze", [f"{name}_f", "one"], [f"{name}_c"]),
            helper.make_node("Add", [last, f"{name}_c"], [f"{name}_s"]),
        ]
        last = f"{name}_s"
    outputs = [helper.make_tensor_value_info(last, TensorProto.FLOAT, ["b", 3])]
    one = helper.make_tensor("one", TensorProto.INT64, [1], [1])
    graph = helper.make_graph(nodes, "g", inputs, outputs, [one])
    opset = helper.make_opsetid("", 17)
    path = tmp_path / "model.onnx"
    path.write_bytes(
        helper.make_model(graph, opset_imports=[opset], ir_version=8).SerializeToString()
    )
    return path


def opened(path, chosen):
    return open_model(path, arch=None, card=chosen).extractor


def test_onnx_with_channels_last(tmp_path, images):
    path = onnx(tmp_path, shape=("b", 16, 8, 3))
    torch.testing.assert_close(opened(path, card(axes="nhwc"))(images), images.mean((2, 3)))
    with pytest.raises(ModelError, match=r"images of 16×8×3, not 3×16×8; set the card's .*axes"):
        opened(path, card())


def test_onnx_with_whole_pixels(tmp_path, images):
    path = onnx(tmp_path, dtype=TensorProto.UINT8)
    features = opened(path, card_from("torchreid", UINT8))(images)
    torch.testing.assert_close(features, (images * 255).round().mean((2, 3)))
    with pytest.raises(ModelError, match="takes whole pixels; set the card's pixels to uint8"):
        opened(path, card())
    with pytest.raises(ModelError, match="takes floats; set the card's pixels to float"):
        opened(onnx(tmp_path), card_from("torchreid", UINT8))


def test_onnx_with_a_camera(tmp_path, images):
    path = onnx(tmp_path, sides=("camera", "view"))
    features = opened(path, card(side_inputs=[2, 3]))(images)
    torch.testing.assert_close(features, images.mean((2, 3)) + 5)
    with pytest.raises(ModelError, match=r"3 inputs \(images, camera, view\); give the others"):
        opened(path, card())


def test_onnx_keeps_its_precision(tmp_path):
    with pytest.raises(ModelError, match="precision it was exported in"):
        opened(onnx(tmp_path), card(precision="float16"))


# -- TorchScript --------------------------------------------------------------------------------


@pytest.fixture
def program(images):
    network = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten()).eval()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return ScriptNetwork(torch.jit.trace(network, images))


class Frozen(nn.Module):
    """Stands for a frozen copy that went wrong."""

    def __init__(self, answer):
        super().__init__()
        self.answer = answer

    def forward(self, images):
        return self.answer(images)


def broken(images):
    raise RuntimeError("no such kernel")


@pytest.mark.parametrize("answer", [broken, lambda images: images.mean((2, 3)) + 1])
def test_a_frozen_copy_that_fails_or_differs_is_dropped(program, images, answer):
    program.frozen = Frozen(answer)
    with torch.no_grad():
        for _ in range(2):
            torch.testing.assert_close(program(images), images.mean((2, 3)))
    assert program.frozen is program.program


def test_a_frozen_copy_that_agrees_stays(program, images):
    frozen = program.frozen
    with torch.no_grad():
        program(images)
        program(images)
    assert program.frozen is frozen is not program.program


class OnGpu(nn.Module):
    """Makes a tensor of its own where it was traced, as networks with masks do."""

    def forward(self, images):
        own = torch.zeros(3, dtype=torch.float, device=torch.device("cuda:0"))
        return images.mean((2, 3)) + own


@pytest.mark.skipif(torch.cuda.is_available(), reason="a GPU is there, and would be used")
def test_a_program_from_a_gpu_runs_on_a_processor(tmp_path, images):
    path = tmp_path / "model.pt"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.script(OnGpu()).save(path)
        raw = torch.jit.load(path, map_location="cpu")
    with pytest.raises((RuntimeError, AssertionError), match=r"CUDA|NVIDIA"):
        raw(images)
    torch.testing.assert_close(opened(path, card())(images), images.mean((2, 3)))


# -- resizing -----------------------------------------------------------------------------------


@pytest.fixture
def picture(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (60, 20, 3), dtype=np.uint8)
    smooth = Image.fromarray(pixels).resize((40, 120), Image.Resampling.BICUBIC)
    path = tmp_path / "picture.png"
    smooth.save(path)
    return path


def loaded(path, height, width, **how):
    size = InputSize(height, width, Resizing(**how))
    return FileImages([path]).load([0], size)[0]


def sampled(line, length):
    """A line of pixels at ``length`` places, each between its two neighbours, as OpenCV does."""
    places = (np.arange(length) + 0.5) * len(line) / length - 0.5
    return np.stack(
        [np.interp(places, np.arange(len(line)), line[:, channel]) for channel in range(3)], axis=1
    )


def test_without_antialiasing_only_the_neighbours_count(picture):
    mine = loaded(picture, 50, 30, antialias=False)
    whole = np.asarray(Image.open(picture)).astype(float)
    rows = np.stack([sampled(whole[:, column], 50) for column in range(40)], axis=1)
    both = np.stack([sampled(row, 30) for row in rows])
    difference = (mine * 255 - torch.from_numpy(both).permute(2, 0, 1).float()).abs()
    assert difference.max() <= 0.51  # rounded to whole pixels
    assert (mine - loaded(picture, 50, 30)).abs().max() > 0.02


def test_with_antialiasing_it_is_as_in_pillow(picture):
    whole = Image.open(picture)
    for interpolation, flag in (("bilinear", Image.BILINEAR), ("bicubic", Image.BICUBIC)):
        theirs = np.asarray(whole.resize((30, 50), flag))
        mine = loaded(picture, 50, 30, interpolation=interpolation)
        wanted = torch.tensor(theirs).permute(2, 0, 1).float()
        torch.testing.assert_close(mine * 255, wanted, atol=1e-3, rtol=0)


def test_a_letterbox_keeps_proportions(picture):
    framed = loaded(picture, 60, 60, letterbox=True, fill=51)  # of 120 × 40
    inner = loaded(picture, 60, 20)
    torch.testing.assert_close(framed[:, :, 20:40], inner)
    assert (framed[:, :, :20] == 51 / 255).all()
    assert (framed[:, :, 40:] == 51 / 255).all()
    memory = MemoryImages((loaded(picture, 120, 40) * 255).byte()[None])
    size = InputSize(60, 60, Resizing(letterbox=True, fill=51))
    torch.testing.assert_close(memory.load([0], size)[0], framed, atol=0.01, rtol=0)


def test_pixels_are_resized_as_files_are(picture):
    whole = loaded(picture, 120, 40)[None]
    for how in ({}, {"interpolation": "bicubic"}, {"antialias": False}):
        size = InputSize(50, 30, Resizing(**how))
        torch.testing.assert_close(
            resize_pixels(whole, size)[0], loaded(picture, 50, 30, **how), atol=0.01, rtol=0
        )


def test_the_card_says_how(picture, images):
    chosen = card(interpolation="bicubic", antialias=False, letterbox=True, fill=0, turn=True)
    size = CardedExtractor(Means(), chosen).input_size
    assert size == (16, 8)
    assert size.resizing == Resizing(
        interpolation="bicubic", antialias=False, letterbox=True, fill=0, turn=True
    )
    assert Card().input_size.resizing == Resizing()


def test_exif_orientation_is_a_choice(tmp_path):
    path = tmp_path / "picture.jpg"
    pixels = np.zeros((40, 20, 3), np.uint8)
    pixels[:20] = 255
    exif = Image.Exif()
    exif[0x0112] = 3  # upside down
    Image.fromarray(pixels).save(path, exif=exif, quality=100)
    stored, turned = loaded(path, 40, 20), loaded(path, 40, 20, turn=True)
    assert stored[:, :10].mean() > 0.9
    assert turned[:, :10].mean() < 0.1


class Pixels(nn.Module):
    """Answers with the picture itself."""

    def __init__(self, size):
        super().__init__()
        self.input_size, self.feature_dim = size, 3 * size[0] * size[1]

    def forward(self, images):
        return images.flatten(1)


def test_pictures_that_were_changed_or_made_are_framed_as_files_are(picture):
    framed = InputSize(60, 60, Resizing(letterbox=True, fill=51))
    whole = FileImages([picture]).load([0], (120, 40))
    wanted = resize_pixels(whole, framed)
    assert (wanted[..., :20] == 51 / 255).all()
    changed = ChangedImages(FileImages([picture]), lambda images, *_: images, (120, 40))
    torch.testing.assert_close(changed.load([0], framed), wanted)
    made = embed_pictures(Pixels(framed), whole, RunContext())
    torch.testing.assert_close(made.view_as(wanted), wanted)
