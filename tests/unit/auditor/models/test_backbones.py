import pytest
import torch
import torchvision
from torch import nn

from auditor.models.architectures.backbones import feature_map


def mapped(name, size=(64, 32)):
    with torch.device("meta"):
        network = feature_map(name)
        return network, network(torch.zeros(2, 3, *size))


# a ResNet divides by 16 instead of 32, since its last stride is 1
@pytest.mark.parametrize(
    ("name", "channels", "shrunk"),
    [
        ("resnet18", 512, 16),
        ("resnet50", 2048, 16),
        ("resnet101", 2048, 16),
        ("densenet121", 1024, 32),
        ("mobilenet_v2", 1280, 32),
        ("mobilenetv1_100", 1024, 32),
    ],
)
@pytest.mark.parametrize("size", [(256, 128)])
def test_size_of_the_map(name, channels, shrunk, size):
    network, x = mapped(name, size)
    assert network.channels == channels
    assert x.shape == (2, channels, size[0] // shrunk, size[1] // shrunk)


def test_with_the_last_stride_put_back_it_is_torchvisions():
    images = torch.randn(1, 3, 64, 32, generator=torch.Generator().manual_seed(0))
    theirs = torchvision.models.resnet18(num_classes=2).eval()
    mine = feature_map("resnet18").eval()
    state = {n: t for n, t in theirs.state_dict().items() if not n.startswith("fc.")}
    mine.load_state_dict(state)
    mine.layer4[0].conv1.stride = mine.layer4[0].downsample[0].stride = (2, 2)
    with torch.no_grad():
        torch.testing.assert_close(
            theirs.fc(mine(images).mean((2, 3))), theirs(images), rtol=1e-4, atol=1e-5
        )


@pytest.mark.parametrize("name", ["densenet121", "mobilenet_v2"])
def test_others_are_torchvisions_as_they_are(name):
    images = torch.randn(1, 3, 64, 32, generator=torch.Generator().manual_seed(0))
    theirs = torchvision.models.get_model(name, weights=None).eval()
    mine = feature_map(name).eval()
    mine.load_state_dict({n: t for n, t in theirs.state_dict().items() if n.startswith("features")})
    with torch.no_grad():
        logits = theirs.classifier(mine(images).mean((2, 3)))
        torch.testing.assert_close(logits, theirs(images), rtol=1e-4, atol=1e-5)


def test_stems_differ_where_they_should():
    plain, bare, ceil = (
        feature_map("resnet18", stem) for stem in ("torchvision", "no relu", "ceil pool")
    )
    assert isinstance(plain.relu, nn.ReLU)
    assert isinstance(bare.relu, nn.Identity)
    x = torch.arange(64.0).view(1, 1, 8, 8)
    # padded by one, the first window is rows 0–1; without padding it is rows 0–2
    assert plain.maxpool(x)[0, 0, 0, 0] == 9
    assert ceil.maxpool(x)[0, 0, 0, 0] == 18
    assert plain.maxpool(x).shape == ceil.maxpool(x).shape == (1, 1, 4, 4)
    assert [n.stem for n in (plain, bare, ceil)] == ["torchvision", "no relu", "ceil pool"]
