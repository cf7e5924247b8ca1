"""The rung that goes through a copy of a black box: whose answers, whose gradient, at what cost."""

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F

from attacks.extraction.borrowed import BorrowedGradient
from attacks.inversion import CopiedDescent, LatentDescent
from auditor.embedding import embed, embed_with_gradient
from auditor.errors import UnsupportedTargetError
from tests import worlds


class Box(torch.nn.Module):
    """A network that shows nobody its gradients, and counts what it is asked."""

    differentiable = False

    def __init__(self, network):
        super().__init__()
        self.network, self.asked = network, 0
        self.feature_dim, self.input_size = network.feature_dim, network.input_size

    def forward(self, images):
        self.asked += len(images)
        return 3 * self.network(images).detach()


def slope(extractor, images, wanted):
    images = images.clone().requires_grad_(True)
    loss = F.cosine_similarity(embed_with_gradient(extractor, images), wanted, dim=1).sum()
    (gradient,) = torch.autograd.grad(loss, [images])
    return gradient


def test_answers_are_the_box_s_and_the_gradient_is_the_copy_s():
    network = worlds.trainable().extractor
    box, images = Box(network), torch.rand(2, 3, 64, 32, generator=torch.Generator().manual_seed(0))
    borrowed = BorrowedGradient(box, network)
    assert torch.equal(embed(borrowed, images), embed(box, images))
    wanted = torch.randn(2, box.feature_dim, generator=torch.Generator().manual_seed(1))
    true = slope(network, images, wanted)
    assert torch.allclose(slope(borrowed, images, wanted), true, rtol=1e-3, atol=1e-6)
    # a blind copy knows no way
    blind = BorrowedGradient(box, Box(network))
    with pytest.raises(RuntimeError, match="grad"):
        slope(blind, images, wanted)


def test_a_black_box_is_descended_through_its_copy(few, tmp_path):
    box = Box(few.extractor)
    target = replace(few, extractor=box)
    settings = {"samples": 2, "rounds": 0, "epochs": 0}
    with pytest.raises(UnsupportedTargetError, match="black box"):
        LatentDescent(**settings).run(target, worlds.context(tmp_path))
    asked, ctx = {}, worlds.context(tmp_path)
    for steps in (1, 1, 4):
        attack = CopiedDescent(
            **settings, steps=steps, queries=100, copy_epochs=1, copy_steps=1, pool=0
        )
        before = box.asked
        result = attack.run(target, ctx)
        asked[steps] = box.asked - before
    people = len(target.data.gallery.pids.unique())
    assert result.measurements[0].n == people
    # answers for the copy are bought once; each step asks about everybody
    assert asked[4] - asked[1] == 3 * people
