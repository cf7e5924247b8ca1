"""Colours of clothes, stripe by stripe."""

import torch
from torch.nn.functional import cosine_similarity

from attacks.inversion.appearance import Appearance, describe


def dressed(top, trousers, count=1):
    """Pictures of people in two colours, each a little brighter or darker than the last."""
    images = torch.empty(count, 3, 64, 32)
    images[:, :, :32] = torch.tensor(top)[:, None, None]
    images[:, :, 32:] = torch.tensor(trousers)[:, None, None]
    generator = torch.Generator().manual_seed(0)
    return (images + 0.1 * torch.randn(count, 1, 1, 1, generator=generator)).clamp(0, 1)


def people():
    generator = torch.Generator().manual_seed(1)
    outfits = torch.rand(20, 2, 3, generator=generator).tolist()
    return torch.cat([dressed(top, trousers, 6) for top, trousers in outfits])


def test_shares_of_each_histogram_sum_to_one_in_every_stripe():
    shares = describe(torch.rand(3, 3, 64, 32)).square()
    for start, bins in ((0, 12), (96, 8), (160, 8)):
        stripes = shares[:, start : start + 8 * bins].unflatten(1, (8, bins)).sum(2)
        assert torch.allclose(stripes, torch.ones(3, 8), atol=1e-3)


def test_hue_goes_around():
    red = [dressed(colour, (0.5, 0.5, 0.5)) for colour in ((1, 0.05, 0), (1, 0, 0.05), (0, 1, 0))]
    near, far = (float((describe(red[0]) - describe(other)).norm()) for other in red[1:])
    assert near < far / 2


def test_it_tells_people_apart_by_what_they_wear():
    pids = torch.arange(20).repeat_interleave(6)
    net = Appearance((people() * 255).round().byte(), pids)
    red, green, navy, white = (0.9, 0.1, 0.1), (0.1, 0.6, 0.2), (0.1, 0.1, 0.4), (0.9, 0.9, 0.9)
    one, again = net(dressed(red, navy, 2))
    others = net(torch.cat([dressed(green, navy), dressed(green, white)]))
    same, half, none = (cosine_similarity(one, other, dim=0) for other in (again, *others))
    assert same > 0.8
    assert same > half + 0.1 > none + 0.1


def test_plain_pictures_have_a_finite_gradient():
    images = torch.cat([torch.zeros(1, 3, 64, 32), torch.ones(1, 3, 64, 32), people()[:1]])
    images.requires_grad_(True)
    (gradient,) = torch.autograd.grad(describe(images).sum(), [images])
    assert torch.isfinite(gradient).all()
