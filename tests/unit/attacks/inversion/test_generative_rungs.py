"""The rungs that learn to draw: what teaches them, and what sampling does with a condition."""

import dataclasses

import pytest
import torch
import torch.nn.functional as F

from attacks.inversion import Diffusion, Optimization
from attacks.inversion.diffusion import _Denoiser
from attacks.inversion.optimization import augment
from attacks.inversion.reconstruction import auxiliary_pairs
from attacks.inversion.surrogate import Surrogate, train_surrogate
from auditor.types import RunContext
from tests import worlds

SIZE = (32, 16)


@pytest.fixture(scope="module")
def pairs():
    return auxiliary_pairs(worlds.leaky(), SIZE, RunContext())


class TestSurrogate:
    def test_a_picture_is_at_no_distance_from_itself_and_far_from_others(self, pairs):
        clean, pixels = pairs.seen, pairs.pixels
        surrogate = Surrogate(clean, 100, 1e-3).eval()
        images = pixels[:6].float() / 255
        assert torch.allclose(surrogate.distance(images, images), torch.zeros(6), atol=1e-6)
        assert (surrogate.distance(images, images.roll(1, 0)) > 0.01).all()

    def test_the_distance_pulls_at_the_drawn_picture_alone(self, pairs):
        clean, pixels = pairs.seen, pairs.pixels
        surrogate = Surrogate(clean, 100, 1e-3).eval()
        drawn = (pixels[:2].float() / 255).requires_grad_()
        real = (pixels[2:4].float() / 255).requires_grad_()
        surrogate.distance(drawn, real).sum().backward()
        assert drawn.grad.abs().sum() > 0
        assert real.grad is None

    def test_training_teaches_it_to_embed_like_the_target_and_freezes_it(self, pairs):
        clean, pixels = pairs.seen, pairs.pixels
        pids = worlds.people().auxiliary.pids
        with RunContext().randomness("test"):
            before = Surrogate(clean, len(pids.unique()), 1e-3).eval()
            after = train_surrogate(
                clean,
                pixels,
                pids,
                epochs=3,
                lr=2e-3,
                generator=torch.Generator().manual_seed(0),
                ctx=RunContext(),
            )
        images = pixels[:64].float() / 255
        with torch.no_grad():
            cosines = [
                F.cosine_similarity(net.predict_features(images), clean[:64]).mean()
                for net in (before, after)
            ]
        assert cosines[1] > cosines[0] + 0.05
        assert not any(p.requires_grad for p in after.parameters())


class _BandColours(torch.nn.Module):
    """The mean colours of eight bands."""

    feature_dim = 24
    input_size = (64, 32)

    def forward(self, images):
        return F.adaptive_avg_pool2d(images - 0.5, (8, 1)).flatten(1)


class TestOptimization:
    def test_descent_brings_the_feature_closer_and_the_picture_stays_one(self):
        # a judge of colours alone, to whom flips and shifts mean little, as to a real extractor
        extractor = _BandColours()
        images = worlds.people().gallery.images.load(range(8), (64, 32))
        wanted, start = extractor(images), images.roll(1, 0)
        attack = Optimization(iterations=60, total_variation=0.0)
        drawn = attack._descend(extractor, start, wanted, torch.Generator().manual_seed(0))
        gaps = [1 - F.cosine_similarity(extractor(x), wanted).mean() for x in (start, drawn)]
        assert gaps[1] < gaps[0] / 4
        assert drawn.min() >= 0
        assert drawn.max() <= 1

    def test_a_stronger_prior_makes_smoother_pictures(self):
        target = worlds.leaky()
        images = target.data.gallery.images.load(range(4), (64, 32))
        wanted, start = target.extractor(images), images.roll(1, 0)

        def roughness(weight):
            attack = Optimization(iterations=20, total_variation=weight, grid=(64, 32))
            drawn = attack._descend(target.extractor, start, wanted, torch.Generator())
            return (drawn[:, :, 1:] - drawn[:, :, :-1]).abs().mean()

        assert roughness(5.0) < roughness(0.0)

    def test_views_are_the_picture_moved_by_a_few_pixels(self):
        images = torch.zeros(1, 3, 64, 32)
        images[:, :, 30:34, 14:18] = 1
        generator = torch.Generator().manual_seed(0)
        views = [augment(images, (64, 32), generator) for _ in range(20)]
        assert all(float(view.sum()) == pytest.approx(float(images.sum())) for view in views)
        assert len({tuple(view[0, 0].nonzero()[0].tolist()) for view in views}) > 5


@pytest.fixture
def denoiser(pairs):
    attack = Diffusion(image_size=SIZE, width=8, steps=3)
    with RunContext().randomness("test"):
        return _Denoiser(attack, worlds.leaky(), pairs, torch.Generator().manual_seed(0))


class TestDiffusion:
    def test_a_withheld_condition_changes_nothing(self, denoiser, pairs):
        clean, pixels = pairs.seen, pairs.pixels
        picture, levels = torch.zeros(2, 3, *SIZE), torch.tensor([400, 10])
        one, two = clean[:2], clean[5:7]
        hints = [denoiser._hints(x, y) for x, y in ((one, pixels[:2]), (two, pixels[3:5]))]
        with torch.no_grad():
            blind = [
                denoiser.network(picture, levels, x, h, torch.zeros(2))
                for x, h in zip((one, two), hints, strict=True)
            ]
            told = denoiser.network(picture, levels, one, hints[0], torch.ones(2))
        assert torch.equal(*blind)
        assert not torch.allclose(told, blind[0])

    def test_samples_are_pictures_that_repeat_under_a_seed(self, denoiser, pairs):
        clean, pixels = pairs.seen, pairs.pixels
        draws = [
            denoiser.sample(clean[:3], pixels[:3], torch.Generator().manual_seed(seed))
            for seed in (1, 1, 2)
        ]
        assert draws[0].shape == (3, 3, *SIZE)
        assert draws[0].min() >= 0
        assert draws[0].max() <= 1
        assert torch.equal(draws[0], draws[1])
        assert not torch.equal(draws[0], draws[2])

    def test_little_strength_stays_at_the_linear_guess(self, denoiser, pairs):
        clean, pixels = pairs.seen, pairs.pixels

        def gap(strength):
            weak = dataclasses.replace(denoiser.attack, strength=strength)
            kept, denoiser.attack = denoiser.attack, weak
            drawn = denoiser.sample(clean[:8], pixels[:8], torch.Generator().manual_seed(0))
            denoiser.attack = kept
            guess = denoiser.guess(denoiser.standardise(clean[:8])).clamp(0, 1)
            return (drawn - guess).abs().mean()

        assert gap(0.05) < gap(1.0) / 2
