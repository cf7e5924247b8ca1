"""Non-local, channel and position attention against loops over pixels and channels."""

import math

import pytest
import torch

from auditor.models.architectures.agw import NonLocal, NonLocalResNet
from auditor.models.architectures.backbones import feature_map
from auditor.models.architectures.dual_attention import (
    ChannelAttention,
    DualAttention,
    PositionAttention,
)
from auditor.models.architectures.strong_baseline import StrongBaseline
from tests.unit.tiny import Patches


@pytest.fixture
def maps():
    return torch.randn(2, 8, 3, 2, generator=torch.Generator().manual_seed(0))


def pixels(maps):
    """Per image a list of pixels, each a list of channels."""
    return maps.flatten(2).transpose(1, 2).tolist()


def projected(layer, pixel):
    weight, bias = layer.weight[:, :, 0, 0].tolist(), layer.bias.tolist()
    return [sum(w * v for w, v in zip(row, pixel, strict=True)) + b
            for row, b in zip(weight, bias, strict=True)]  # fmt: skip


def dot(a, b):
    return sum(x * y for x, y in zip(a, b, strict=True))


def softmax(values):
    top = max(values)
    powers = [math.exp(v - top) for v in values]
    return [p / sum(powers) for p in powers]


def mixed(weights, vectors):
    return [sum(w * v[c] for w, v in zip(weights, vectors, strict=True))
            for c in range(len(vectors[0]))]  # fmt: skip


def test_non_local(maps):
    block = NonLocal(8, inner=3).eval()
    with torch.no_grad():
        torch.testing.assert_close(block(maps), maps)  # it starts as the identity
        block.W[1].weight.fill_(0.7)
        found = block(maps)
        for image, given in enumerate(pixels(maps)):
            theta, phi, g = (
                [projected(layer, p) for p in given] for layer in (block.theta, block.phi, block.g)
            )
            for place, pixel in enumerate(given):
                weights = [dot(theta[place], other) / len(given) for other in phi]
                added = projected(block.W[0], mixed(weights, g))
                scale = 0.7 / math.sqrt(1 + block.W[1].eps)
                wanted = [x + scale * a for x, a in zip(pixel, added, strict=True)]
                torch.testing.assert_close(
                    found[image].flatten(1)[:, place], torch.tensor(wanted), rtol=1e-4, atol=1e-5
                )


def test_position_attention(maps):
    block = PositionAttention(8, reduction=4)
    with torch.no_grad():
        torch.testing.assert_close(block(maps), maps)
        block.scale.fill_(0.5)
        found = block(maps)
        for image, given in enumerate(pixels(maps)):
            query, key, value = (
                [projected(layer, p) for p in given]
                for layer in (block.query, block.key, block.value)
            )
            for place, pixel in enumerate(given):
                weights = softmax([dot(query[place], other) for other in key])
                wanted = [x + 0.5 * m for x, m in zip(pixel, mixed(weights, value), strict=True)]
                torch.testing.assert_close(
                    found[image].flatten(1)[:, place], torch.tensor(wanted), rtol=1e-4, atol=1e-5
                )


def test_channel_attention(maps):
    block = ChannelAttention()
    with torch.no_grad():
        torch.testing.assert_close(block(maps), maps)
        block.scale.fill_(0.5)
        found = block(maps)
    for image, channels in enumerate(maps.flatten(2).tolist()):
        for number, channel in enumerate(channels):
            weights = softmax([dot(channel, other) for other in channels])
            wanted = [x + 0.5 * m for x, m in zip(channel, mixed(weights, channels), strict=True)]
            torch.testing.assert_close(
                found[image, number].flatten(), torch.tensor(wanted), rtol=1e-4, atol=1e-5
            )


def test_non_local_blocks_follow_the_last_blocks_of_two_stages():
    trunk = feature_map("resnet18").eval()
    net = NonLocalResNet(trunk, second=1, third=2).eval()
    assert (len(net.NL_2), len(net.NL_3)) == (1, 2)
    seen = []
    for name in ("layer2.0", "layer2.1", "NL_2.0", "layer3.0", "NL_3.0", "layer3.1", "NL_3.1",
                 "layer4.0"):  # fmt: skip
        net.get_submodule(name).register_forward_hook(
            lambda module, given, made, name=name: seen.append(name)
        )
    images = torch.randn(1, 3, 64, 32, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        # blocks that start as the identity leave the trunk's map as it was
        torch.testing.assert_close(net(images), trunk(images))
    assert seen[:8] == ["layer2.0", "layer2.1", "NL_2.0", "layer3.0", "NL_3.0", "layer3.1",
                        "NL_3.1", "layer4.0"]  # fmt: skip


def test_dual_attention_sums_both_branches():
    net = DualAttention(Patches(32), reduction=2).eval()
    assert net.channels == 16
    images = torch.randn(2, 3, 16, 8, generator=torch.Generator().manual_seed(0))
    x = net.trunk(images)
    torch.testing.assert_close(net(images), net.position(x) + net.channel(x))
    assert StrongBaseline(net).feature_dim == 16
