"""A model in a worker behaves as the same model does in this process."""

import copy
import warnings

import pytest
import torch
from torch import nn

from auditor.embedding import embed, pullback
from auditor.errors import ModelError, UnsupportedTargetError
from auditor.models import open_model
from auditor.models.card import Card
from auditor.models.isolation.limits import Limits
from auditor.models.isolation.network import WorkerNetwork
from auditor.types import Target
from defenses.retrain import retrainable
from tests import worlds

CARD = Card(height=16, width=8, l2_norm=True, colour="bgr")


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 6, 3)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.conv(images).relu().mean((2, 3))


class Several(Net):
    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        maps = self.conv(images)
        return maps.detach().mean((2, 3)), maps, maps.square().mean((2, 3))


class Noisy(Net):
    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return images.mean((2, 3)) + torch.rand_like(images.mean((2, 3)))


class Blind(Net):
    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.conv(images.detach()).mean((2, 3))


class Endless(Net):
    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return images.mean().expand(len(images), 1099511627776)


class Picky(Net):
    def forward(self, images: torch.Tensor) -> torch.Tensor:
        features = images.mean((2, 3))
        while bool(features.max() < -1.5):  # over a dark picture, without end
            features = features * 1.0
        return features


@pytest.fixture
def opened(tmp_path):
    """One program in this process and in a worker, behind the same card."""

    def both(module, card=CARD, form="torchscript", **options):
        torch.manual_seed(0)
        path = tmp_path / "model"
        network = module().eval()
        if form == "pt2":
            free = ({0: torch.export.Dim("batch")},)
            example = (torch.rand(2, 3, 16, 8),)
            torch.export.save(torch.export.export(network, example, dynamic_shapes=free), path)
        else:
            save_script(network, path)
        here, there = (
            open_model(path, arch=None, card=card, isolation=isolation, **options).extractor
            for isolation in ("none", "auto")
        )
        assert isinstance(there.network, WorkerNetwork)
        return here, there

    return both


def save_script(network, path):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.save(torch.jit.script(network), path)


IMAGES = torch.rand(7, 3, 16, 8, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("form", ["torchscript", "pt2"])
def test_features_and_gradients_are_the_same(opened, form):
    here, there = opened(Net, form=form)
    assert (here.feature_dim, here.differentiable) == (there.feature_dim, there.differentiable)
    torch.testing.assert_close(embed(there, IMAGES), embed(here, IMAGES))
    cotangent = torch.rand(7, 6)
    features, gradients = zip(*(pulled(e, cotangent) for e in (here, there)), strict=True)
    torch.testing.assert_close(features[1], features[0])
    torch.testing.assert_close(gradients[1], gradients[0])


def pulled(extractor, cotangent):
    features, pull = pullback(extractor, IMAGES)
    return features, pull(cotangent)


def test_two_runs_at_once_give_each_its_own_gradient(opened):
    here, there = opened(Net)
    cotangent = torch.rand(7, 6)
    _, pull_first = pullback(there, IMAGES)
    pullback(there, IMAGES.flip(0))  # the worker forgets the first
    torch.testing.assert_close(pull_first(cotangent), pulled(here, cotangent)[1])


@pytest.mark.parametrize("output", [0, 2])
def test_several_outputs(opened, output):
    card = Card(height=16, width=8, output=output)
    here, there = opened(Several, card)
    assert here.differentiable == there.differentiable == (output == 2)
    torch.testing.assert_close(embed(there, IMAGES), embed(here, IMAGES))
    if output:
        cotangent = torch.rand(7, 6)
        torch.testing.assert_close(pulled(there, cotangent)[1], pulled(here, cotangent)[1])


@pytest.mark.parametrize("arch", [None, "osnet_x0_25"])
def test_one_number_over_and_over_is_more_than_fits(tmp_path, arch):
    path = tmp_path / "model"
    if arch is None:
        save_script(Endless().eval(), path)
    else:
        torch.save({"w": torch.zeros(1).expand(2**40)}, path)
    with pytest.raises(ModelError, match="wants more memory"):
        open_model(path, arch=arch, card=CARD)


def test_gradients_that_do_not_reach_the_images(opened):
    here, there = opened(Blind)
    assert here.differentiable == there.differentiable is False
    with pytest.raises(UnsupportedTargetError, match="black box"):
        pullback(there, IMAGES)


def test_second_derivatives_are_refused_aloud(opened):
    _, there = opened(Net)
    leaf = IMAGES.clone().requires_grad_()
    (slope,) = torch.autograd.grad(there(leaf).sum(), leaf, create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        slope.sum().backward()


def test_noise_is_seen_as_noise_and_comes_again_with_the_seed(opened):
    _, there = opened(Noisy)
    with torch.random.fork_rng():
        torch.manual_seed(5)
        first = [embed(there, IMAGES) for _ in range(2)]
        torch.manual_seed(6)
        other = embed(there, IMAGES)
        torch.manual_seed(5)
        again = [embed(there, IMAGES) for _ in range(2)]
    assert not torch.equal(first[0], first[1])
    assert not torch.equal(first[0], other)
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))


def test_a_worker_that_was_stopped_is_started_anew(opened):
    _, there = opened(Picky, Card(height=16, width=8), limits=Limits(seconds=6))
    dark = torch.full((2, 3, 16, 8), 0.0)
    with pytest.raises(ModelError, match="no answer within 6 s"):
        embed(there, dark)
    assert embed(there, torch.ones(2, 3, 16, 8)).shape == (2, 3)


def test_it_is_not_retrained_and_says_how_it_could_be(opened):
    _, there = opened(Net)
    target = Target(there, worlds.people())
    with pytest.raises(UnsupportedTargetError, match=r"runs in a worker.*--isolation none.*state"):
        retrainable(target)
    assert copy.deepcopy(there).network is there.network
