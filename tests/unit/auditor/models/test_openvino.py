import subprocess
import sys
from importlib.util import find_spec

import numpy as np
import pytest
import torch

from auditor.embedding import embed
from auditor.errors import EnvironmentUnmetError, ModelError, ModelRefusedError
from auditor.models.card import PRESETS, Card
from auditor.models.openvino_network import load_runtime
from auditor.models.sniff import sniff
from tests.opening import open_model
from tests.real import real_weights

__all__ = ["real_weights"]

if find_spec("openvino") is None:
    pytest.skip("openvino is not installed", allow_module_level=True)
ov = load_runtime()
ops = ov.opset13

WEIGHT = np.arange(12, dtype=np.float32).reshape(4, 3, 1, 1)
RAW = Card(height=16, width=8, mean=(0, 0, 0), std=(1, 1, 1), output=0)


@pytest.fixture
def images():
    return torch.rand(5, 3, 16, 8, generator=torch.Generator().manual_seed(1))


def pooled(image):
    return ops.reduce_mean(image, np.array([2, 3]), keep_dims=True)


def network(shape=(1, 3, 16, 8), dtype=np.float32, head=None):
    """Global average pooling and a 1×1 convolution, (B, 4, 1, 1), and the pooled colours."""
    image = ops.parameter(list(shape), dtype, name="images")
    if head is not None:
        return ov.Model([head(image)], [image], "net")
    first = ops.convolution(pooled(image), WEIGHT.astype(dtype), [1, 1], [0, 0], [0, 0], [1, 1])
    return ov.Model([first, ops.abs(pooled(image))], [image], "net")


def written(tmp_path, model):
    path = tmp_path / "model.xml"
    ov.serialize(model, str(path), str(path.with_suffix(".bin")))
    return path


def expected(images):
    return images.mean((2, 3)) @ torch.from_numpy(WEIGHT).view(4, 3).T


@pytest.mark.parametrize("batch", [-1, 1, 3])
@pytest.mark.parametrize("sides", [(16, 8), (-1, -1)])
def test_any_exported_batch_size(tmp_path, images, batch, sides):
    model = open_model(written(tmp_path, network((batch, 3, *sides))), arch=None, card=RAW)
    torch.testing.assert_close(model.extractor(images), expected(images))
    torch.testing.assert_close(model.extractor(images[:1]), expected(images[:1]))
    assert model.facts["differentiable"] is model.extractor.differentiable is False


def test_facts(tmp_path):
    path = written(tmp_path, network())
    facts = open_model(path, arch=None, card=RAW).facts
    assert (facts["format"], facts["trust"], facts["parameters"]) == ("openvino", "data", 12)
    assert facts["runs_on"].startswith("cpu")
    assert facts["weights_file"] == "model.bin"
    assert facts["weights_bytes"] == path.with_suffix(".bin").stat().st_size
    assert len(facts["weights_sha256"]) == 64


def test_a_fixed_batch_of_one_is_freed(tmp_path):
    extractor = open_model(written(tmp_path, network()), arch=None, card=RAW).extractor
    assert extractor.network.shape == (None, 3, 16, 8)


def flattened_by_a_constant(image):
    return ops.reshape(image, np.array([1, 3 * 16 * 8]), special_zero=False)


def compared_over_the_batch(image):
    return ops.subtract(
        ops.squeeze(pooled(image), np.array([2, 3])), ops.reduce_mean(image, np.array([0, 2, 3]))
    )


@pytest.mark.parametrize("head", [flattened_by_a_constant, compared_over_the_batch])
def test_a_graph_made_for_one_image_gets_one_at_a_time(tmp_path, images, head):
    model = open_model(written(tmp_path, network(head=head)), arch=None, card=RAW)
    assert model.extractor.network.shape[0] == 1
    alone = torch.cat([model.extractor(image[None]) for image in images])
    torch.testing.assert_close(model.extractor(images), alone)


@pytest.mark.parametrize("axes", [[0, 1, 2, 3], [1, 2, 3]])
def test_what_is_no_feature(tmp_path, axes):
    path = written(tmp_path, network(head=lambda image: ops.reduce_mean(image, np.array(axes))))
    with pytest.raises(ModelError, match=r"shape|does not take"):
        open_model(path, arch=None, card=RAW)


def test_half_precision(tmp_path, images):
    path = written(tmp_path, network(dtype=np.float16))
    features = open_model(path, arch=None, card=RAW).extractor(images)
    assert features.dtype == torch.float32
    torch.testing.assert_close(features, expected(images), rtol=1e-2, atol=1e-2)


def test_output_is_picked_by_the_card(tmp_path, images):
    path = written(tmp_path, network())
    card = Card(height=16, width=8, mean=(0, 0, 0), std=(1, 1, 1), output=1)
    torch.testing.assert_close(
        open_model(path, arch=None, card=card).extractor(images), images.mean((2, 3))
    )
    with pytest.raises(ModelError, match="2 outputs, so there is no output 2"):
        open_model(path, arch=None, card=Card(height=16, width=8, output=2))


def test_the_preset_gives_bgr_from_0_to_255(tmp_path, images):
    path = written(tmp_path, network((1, 3, 256, 128), head=pooled))
    extractor = open_model(path, arch=None, card=PRESETS["openvino"]).extractor
    flat = images.mean((2, 3), keepdim=True).expand(-1, -1, 256, 128)
    torch.testing.assert_close(
        extractor(flat), 255 * images.mean((2, 3)).flip(1), rtol=1e-4, atol=1e-4
    )


def two_inputs():
    images, camera = (ops.parameter([1, 3, 16, 8], np.float32, name=n) for n in ("a", "b"))
    return ov.Model([pooled(ops.add(images, camera))], [images, camera], "net")


@pytest.mark.parametrize(
    ("model", "said"),
    [
        (lambda: network((1, 3, 32, 16)), "OpenVINO model takes images of 3×32×16, not 3×16×8"),
        (lambda: network((1, 16, 8, 3), head=ops.abs), "height, width and axes"),
        (lambda: network((1, 3), head=ops.abs), r"shape \[1, 3\], neither images"),
        (
            lambda: network(dtype=np.uint8, head=ops.relu),
            "takes whole pixels; set the card's pixels",
        ),
        (two_inputs, r"takes 2 inputs \(.*\); an extractor takes images alone"),
    ],
)
def test_what_takes_something_else(tmp_path, model, said):
    with pytest.raises(ModelError, match=said):
        open_model(written(tmp_path, model()), arch=None, card=RAW)


def test_nan_is_named(tmp_path, images):
    path = written(tmp_path, network(head=lambda image: ops.log(ops.negative(pooled(image)))))
    extractor = open_model(path, arch=None, card=RAW).extractor
    with pytest.raises(ModelError, match="NaN or infinity for 5 of 5 images"):
        embed(extractor, images)


def test_it_brings_its_architecture(tmp_path):
    with pytest.raises(ModelError, match="leave out the architecture 'osnet_x1_0'"):
        open_model(written(tmp_path, network()), arch="osnet_x1_0", card=RAW)


def test_what_openvino_does_not_open(tmp_path):
    path = written(tmp_path, network())
    path.write_text(path.read_text().replace('type="Convolution"', 'type="NoSuchOperation"'))
    with pytest.raises(ModelError, match=r"openvino does not open it.*NoSuchOperation") as error:
        open_model(path, arch=None, card=RAW)
    assert "\n" not in str(error.value)


def test_weights_cut_short(tmp_path):
    path = written(tmp_path, network())
    path.with_suffix(".bin").write_bytes(b"")
    with pytest.raises(ModelError, match="openvino does not open it"):
        open_model(path, arch=None, card=RAW)


def test_missing_weights_are_named(tmp_path):
    path = written(tmp_path, network())
    path.with_suffix(".bin").unlink()
    with pytest.raises(ModelError, match=r"needs its weights 'model.bin' beside it"):
        open_model(path, arch=None, card=RAW)


@pytest.mark.parametrize("link", ["symlink_to", "hardlink_to"])
def test_linked_weights_are_refused(tmp_path, link):
    path = written(tmp_path, network())
    secret = path.with_suffix(".bin").rename(tmp_path / "secret")
    getattr(path.with_suffix(".bin"), link)(secret)
    with pytest.raises(ModelRefusedError, match=r"link 'model.bin' for weights"):
        open_model(path, arch=None, card=RAW)


def test_a_missing_package_is_named(tmp_path, monkeypatch):
    path = written(tmp_path, network())
    monkeypatch.setitem(sys.modules, "openvino", None)
    with pytest.raises(EnvironmentUnmetError, match=r"reid-privacy-auditor\[openvino\]") as error:
        open_model(path, arch=None, card=RAW)
    assert error.value.exit_code == 6


SILENT = """
import sys
from auditor.models.openvino_network import load_runtime
seen = []
telling = ("socket.", "os.fork", "os.posix_spawn", "subprocess.", "os.mkdir")
sys.addaudithook(lambda event, args: seen.append(event) if event.startswith(telling) else None)
load_runtime().Core()
seen += [name for name, module in sys.modules.items() if module and "ga4" in name]
sys.exit(repr(seen) if seen else 0)
"""


def test_nothing_is_contacted():
    subprocess.run([sys.executable, "-c", SILENT], check=True)


# -- what the file is ---------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["model.xml", "model"])
def test_the_content_decides(tmp_path, name):
    path = written(tmp_path, network()).rename(tmp_path / name)
    assert sniff(path) == "openvino"


@pytest.mark.parametrize(
    "content",
    [
        "<net><layers/></net>",
        '<?xml version="1.0"?>\n<!-- a net -->\n<net name="n"><layers></layers></net>',
        "<net>" + " " * 100_000 + "<layers>",
    ],
)
def test_an_ir_in_other_clothes(tmp_path, content):
    path = tmp_path / "model"
    path.write_text(content)
    assert sniff(path) == "openvino"


@pytest.mark.parametrize(
    "content",
    [
        "<?xml version='1.0'?><html><net/></html>",
        "<net></net>",
        "<net><edges/><layers/></net>",
        "<network><layers/></network>",
        "<net <layers>",
        "<net>" + " " * 2**21 + "<layers>",
        "<!DOCTYPE html><html>",
    ],
)
def test_other_markup(tmp_path, content):
    path = tmp_path / "model.xml"
    path.write_text(content)
    with pytest.raises(ModelError, match=r"markup file .*no OpenVINO IR"):
        sniff(path)


@pytest.mark.parametrize(
    "declaration",
    [
        '<!DOCTYPE net [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;&a;&a;">]>',
        '<!DOCTYPE net [<!ENTITY secret SYSTEM "file:///etc/passwd">]>',
        '<!DOCTYPE net SYSTEM "http://example.invalid/net.dtd">',
    ],
)
def test_document_types_are_refused(tmp_path, declaration):
    path = tmp_path / "model.xml"
    path.write_text(f'<?xml version="1.0"?>{declaration}<net><layers/></net>')
    with pytest.raises(ModelRefusedError, match="DOCTYPE"):
        sniff(path)


# -- a real model -------------------------------------------------------------------------------


def test_a_real_model(real_weights):
    path = real_weights / "person-reidentification-retail-0287.xml"
    if not path.is_file():
        pytest.skip(f"{path.name} is not among the real models")
    extractor = open_model(path, arch=None, card=PRESETS["openvino"]).extractor
    images = torch.rand(3, 3, 256, 128, generator=torch.Generator().manual_seed(0))
    features = embed(extractor, images)
    assert features.shape == (3, 256)
    assert torch.equal(features, embed(extractor, images))
    alone = torch.cat([embed(extractor, image[None]) for image in images])
    torch.testing.assert_close(features, alone, rtol=1e-3, atol=1e-3)
