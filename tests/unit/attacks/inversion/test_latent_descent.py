"""The white-box rung of the prior: where it moves a sample, and how far."""

import pytest
import torch
import torch.nn.functional as F

from attacks.inversion import LatentDescent
from attacks.inversion.latent_descent import _Wish
from auditor.embedding import embed_pictures
from auditor.errors import UnsupportedTargetError
from tests import worlds


def descend(few, painter, **fields):
    """Start from own pictures and want those of others: cosines before and after, and the gap."""
    lent = torch.arange(8, device=worlds.DEVICE)
    wanted = painter.own.seen[lent + 60]
    start = painter.borrow(lent, wanted, 0.0)
    wish = _Wish(few.extractor, wanted, 1.0)
    generator = torch.Generator().manual_seed(0)
    after = LatentDescent(**fields)._descend(start, painter, [wish], generator)
    before = start.painted(painter.prior)
    cosines = [
        float(
            F.cosine_similarity(
                embed_pictures(few.extractor, shown, worlds.plain_context()), wanted.cpu(), dim=1
            ).mean()
        )
        for shown in (before, after)
    ]
    return *cosines, float((after - before).abs().mean())


def test_a_descent_brings_the_picture_closer_to_what_was_stolen(few, painter):
    before, after, gap = descend(few, painter, steps=15)
    assert after > before + 0.05
    assert gap > 0


def test_no_steps_change_nothing(few, painter):
    before, after, gap = descend(few, painter, steps=0)
    assert after == pytest.approx(before)
    assert gap < 1e-6


def test_it_stays_the_nearer_the_more_that_weighs(few, painter):
    gaps = [descend(few, painter, steps=10, stay=stay)[2] for stay in (0.0, 1.0, 100.0)]
    assert gaps[0] > gaps[1] > gaps[2]


def test_networks_share_the_weight_as_they_are_trusted(few):
    wish = _Wish(few.extractor, torch.arange(12.0).view(4, 3), 3.0)
    part = wish.share(4.0, torch.tensor([2, 0]), torch.device("cpu"))
    assert part.weight == 0.75
    assert part.wanted[:, 0].tolist() == [6, 0]


def test_a_black_box_has_no_gradients_to_descend(tmp_path):
    with pytest.raises(UnsupportedTargetError, match="black box"):
        LatentDescent().run(worlds.blind(), worlds.context(tmp_path))
