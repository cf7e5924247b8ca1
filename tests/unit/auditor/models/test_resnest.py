"""ResNeSt-50 against a plain forward pass over its weights."""

import pytest
import torch
from torch.nn import functional as F

from auditor.errors import ModelError
from auditor.models.architectures.backbones import feature_map
from auditor.models.architectures.strong_baseline import StrongBaseline
from auditor.models.names import counts
from auditor.models.state_dict import fit

BLOCKS = (3, 4, 6, 3)


def settled(network):
    """The network with statistics as if trained, so that each normalisation does something."""
    generator = torch.Generator().manual_seed(0)
    for name, tensor in network.state_dict().items():
        if name.endswith(("running_mean", "bias")):
            tensor.normal_(std=0.1, generator=generator)
        elif tensor.ndim == 1:
            tensor.uniform_(0.5, 1.5, generator=generator)
    return network.eval()


def reference(state, x, *, dilated):
    """The last map; ``dilated`` concerns the 3×3 convolutions of the last stage's later blocks."""

    def conv(name, x, stride=1, padding=0, dilation=1, groups=1):
        weight, bias = state[f"{name}.weight"], state.get(f"{name}.bias")
        return F.conv2d(x, weight, bias, stride, padding, dilation, groups)

    def norm(name, x):
        found = (state[f"{name}.{s}"] for s in ("running_mean", "running_var", "weight", "bias"))
        return F.batch_norm(x, *found)

    def split_attention(name, x, dilation):
        x = F.relu(norm(f"{name}.bn0", conv(f"{name}.conv", x, 1, dilation, dilation, groups=2)))
        first, second = x.chunk(2, dim=1)
        pooled = (first + second).mean((2, 3), keepdim=True)
        logits = conv(f"{name}.fc2", F.relu(norm(f"{name}.bn1", conv(f"{name}.fc1", pooled))))
        one, two = torch.stack(logits.chunk(2, dim=1)).softmax(0)
        return one * first + two * second

    def block(name, x, stage, index):
        shortcut = x
        dilation = 2 if dilated and stage == 4 and index > 0 else 1
        stride = 2 if index == 0 and stage in (2, 3) else 1
        out = F.relu(norm(f"{name}.bn1", conv(f"{name}.conv1", x)))
        out = split_attention(f"{name}.conv2", out, dilation)
        if index == 0 and stage > 1:
            out = F.avg_pool2d(out, 3, stride, padding=1)
        if index == 0:
            shortcut = F.avg_pool2d(x, stride, stride)
            shortcut = norm(f"{name}.downsample.2", conv(f"{name}.downsample.1", shortcut))
        return F.relu(norm(f"{name}.bn3", conv(f"{name}.conv3", out)) + shortcut)

    x = F.relu(norm("conv1.1", conv("conv1.0", x, 2, 1)))
    x = F.relu(norm("conv1.4", conv("conv1.3", x, 1, 1)))
    x = F.relu(norm("bn1", conv("conv1.6", x, 1, 1)))
    x = F.max_pool2d(x, 3, 2, padding=1)
    for stage, blocks in enumerate(BLOCKS, 1):
        for index in range(blocks):
            x = block(f"layer{stage}.{index}", x, stage, index)
    return x


@torch.no_grad()
@pytest.mark.parametrize("stem", ["undilated", "dilated"])
def test_last_map(stem):
    images = torch.randn(1, 3, 64, 32, generator=torch.Generator().manual_seed(1))
    network = settled(feature_map("resnest50", stem))
    state = network.state_dict()
    found = network(images)
    assert found.shape == (1, 2048, 4, 2)
    torch.testing.assert_close(found, reference(state, images, dilated=stem == "dilated"))
    assert not torch.allclose(found, reference(state, images, dilated=stem != "dilated"))


def test_a_network_that_ends_in_another_way_is_refused():
    with torch.device("meta"):
        dilated, plain = (
            StrongBaseline(feature_map("resnest50", stem)) for stem in ("dilated", "undilated")
        )
        weights = [(n, t) for n, t in dilated.state_dict().items() if counts(n)]
        published = {n.replace("neck.", "heads.bottleneck.0."): tensor for n, tensor in weights}
        assert fit(dilated, published, "model.pth").code_base == "fast-reid"
        with pytest.raises(ModelError, match="whose networks are built in another way"):
            fit(plain, published, "model.pth")
