import pytest
import torch
from torch import nn

from auditor.models.architectures.branches import branches
from auditor.models.architectures.strong_baseline import GeM, StrongBaseline
from tests.unit.tiny import Patches


@pytest.fixture
def images():
    return torch.randn(4, 3, 32, 16, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def maps():
    return torch.rand(2, 5, 4, 3, generator=torch.Generator().manual_seed(1))


def test_gem_against_its_formula(maps):
    pool = GeM(2.5)
    for image, channel in [(0, 0), (1, 4)]:
        values = maps[image, channel].flatten().tolist()
        wanted = (sum(v**2.5 for v in values) / len(values)) ** (1 / 2.5)
        assert pool(maps)[image, channel, 0, 0].item() == pytest.approx(wanted, rel=1e-5)


def test_gem_lies_between_the_mean_and_the_maximum(maps):
    torch.testing.assert_close(GeM(1.0)(maps).flatten(1), maps.mean((2, 3)))
    torch.testing.assert_close(GeM(300.0)(maps).flatten(1), maps.amax((2, 3)), rtol=0.02, atol=0)


def test_gem_learns_its_exponent(maps):
    pool = GeM()
    pool(maps).sum().backward()
    assert pool.p.grad.abs() > 0


@pytest.mark.parametrize(("dim", "length"), [(None, 8), (5, 5)])
def test_features_are_the_embedding_after_the_neck(images, dim, length):
    net = StrongBaseline(Patches(), dim).eval()
    net.neck.running_mean.uniform_(-1, 1)
    net.neck.running_var.uniform_(0.5, 2)
    assert net.feature_dim == length
    pooled = net.backbone(images).mean((2, 3))
    before = pooled if dim is None else pooled @ net.embed.weight.T
    after = (before - net.neck.running_mean) / (net.neck.running_var + net.neck.eps).sqrt()
    torch.testing.assert_close(net(images), after)
    views = branches(net, images)
    torch.testing.assert_close(views.metric, (before,))
    torch.testing.assert_close(views.identity, (after,))
    assert views.own is None


def test_torchreids_embedding_ends_with_a_relu(images):
    net = StrongBaseline(Patches(), 5, relu=True).eval()
    wanted = nn.functional.relu(net.neck(net.embed(net.backbone(images).mean((2, 3)))))
    torch.testing.assert_close(net(images), wanted)
    assert net.embed.bias is not None
    assert (net(images) >= 0).all()


def test_the_necks_bias_stays_zero_while_the_rest_learns(images):
    net = StrongBaseline(Patches(), 5)
    views = branches(net, images)
    # a plain sum of normalised values is constant
    (views.identity[0] ** 3).sum().backward()
    assert net.neck.bias.grad is None
    learning = {n for n, p in net.named_parameters() if p.grad is not None and p.grad.any()}
    assert learning >= {"backbone.conv.weight", "embed.weight", "neck.weight"}
