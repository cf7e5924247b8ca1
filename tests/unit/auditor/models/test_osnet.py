import pytest
import torch

from auditor.models.architectures.osnet import WIDTHS, OSNet
from tests.real import real_weights

__all__ = ["real_weights"]


# the paper's table 2 counts 2.2, 1.3, 0.6 and 0.2 million
@pytest.mark.parametrize(
    ("width", "parameters"),
    [
        ("osnet_x0_25", 201_864),
        ("osnet_x0_5", 630_034),
        ("osnet_x0_75", 1_285_754),
        ("osnet_x1_0", 2_169_508),
    ],
)
def test_size(width, parameters):
    assert sum(p.numel() for p in OSNet(width).parameters()) == parameters


def test_feature_does_not_depend_on_the_image_size():
    net = OSNet("osnet_x0_25").eval()
    with torch.no_grad():
        assert net(torch.zeros(2, 3, 64, 32)).shape == net(torch.zeros(2, 3, 96, 64)).shape
    assert net(torch.zeros(1, 3, 64, 32)).shape == (1, 512)


def test_names_are_torchreids():
    names = set(OSNet("osnet_x0_25").state_dict())
    assert {
        "conv1.conv.weight",
        "conv2.0.conv2a.conv1.weight",
        "conv2.0.conv2d.3.bn.running_var",
        "conv2.0.gate.fc2.bias",
        "conv2.2.0.conv.weight",
        "conv4.0.downsample.bn.weight",
        "fc.0.weight",
        "fc.1.running_mean",
    } <= names
    assert len(names) == 565
    assert not any(name.startswith("conv4.2") for name in names)
    assert set(WIDTHS) == {"osnet_x0_25", "osnet_x0_5", "osnet_x0_75", "osnet_x1_0"}


def test_equals_the_published_network(real_weights):
    runtime = pytest.importorskip("onnxruntime")
    net = OSNet("osnet_x0_25").eval()
    state = torch.load(real_weights / "osnet_x0_25_msmt17.pth", weights_only=True)
    net.load_state_dict(state)
    images = torch.randn(4, 3, 256, 128, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        mine = net(images)
    session = runtime.InferenceSession(real_weights / "osnet_x0_25_msmt17.onnx")
    theirs = torch.from_numpy(session.run(None, {"input": images.numpy()})[0])
    assert torch.cosine_similarity(mine, theirs).min() > 0.99999
    torch.testing.assert_close(mine, theirs, rtol=1e-4, atol=1e-4)
