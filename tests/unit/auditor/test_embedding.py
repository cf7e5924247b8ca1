"""The one way to a model: gradients against autograd and finite differences, features once."""

import math

import pytest
import torch
from torch import nn

from auditor.embedding import (
    BATCH,
    differentiable,
    embed,
    embed_with_gradient,
    features_of,
    pullback,
    stored_gallery,
)
from auditor.errors import ModelError, UnsupportedTargetError
from auditor.types import MemoryImages, ReIDDataset, RunContext, Split, Target


class Small(nn.Module):
    """A smooth extractor that counts the pictures it saw."""

    feature_dim = 5
    input_size = (4, 2)

    def __init__(self):
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        self.weight = nn.Parameter(torch.randn(5, 24, generator=generator) / 5)
        self.seen = []

    def forward(self, images):
        self.seen.append(len(images))
        return torch.tanh(images.flatten(1) @ self.weight.T.to(images.dtype)) ** 2


class BlackBox(Small):
    differentiable = False


class Fixed(Small):
    """Gives what it was told to."""

    def __init__(self, features):
        super().__init__()
        self.features = features

    def forward(self, images):
        return self.features


class Crowded(Small):
    """Has memory for a few pictures at a time."""

    def __init__(self, most, error):
        super().__init__()
        self.most, self.error = most, error

    def forward(self, images):
        if len(images) > self.most:
            raise self.error
        return super().forward(images)


def pictures(count=3, dtype=torch.float32):
    return torch.rand(count, 3, 4, 2, generator=torch.Generator().manual_seed(1), dtype=dtype)


def split(count=3):
    pids = torch.arange(1, count + 1)
    pixels = torch.randint(256, (count, 3, 8, 4), generator=torch.Generator().manual_seed(2))
    return Split(MemoryImages(pixels.byte()), pids, torch.zeros_like(pids))


def add_noise(features, generator):
    return features + torch.randn(features.shape, generator=generator)


def target(extractor, release=add_noise, count=10):
    empty = split(0)
    return Target(extractor, ReIDDataset("drawn", empty, empty, split(count), empty), release)


class TestEmbed:
    def test_features_come_without_a_graph_in_single_precision(self):
        features = embed(Fixed(torch.ones(3, 5, dtype=torch.float16)), pictures())
        assert features.dtype == torch.float32
        assert not embed(Small(), pictures().requires_grad_()).requires_grad

    @pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
    def test_what_is_no_number_is_refused_and_counted(self, bad):
        features = torch.ones(3, 5)
        features[1, 2] = bad
        with pytest.raises(ModelError, match="NaN or infinity for 1 of 3 images"):
            embed(Fixed(features), pictures())

    @pytest.mark.parametrize("shape", [(3, 4), (2, 5), (3, 5, 1, 1), (15,)])
    def test_another_shape_is_refused(self, shape):
        with pytest.raises(ModelError, match=r"expected \(3, 5\)"):
            embed(Fixed(torch.ones(shape)), pictures())


class TestPullback:
    def test_same_as_autograd(self):
        extractor, images, cotangent = Small(), pictures(), torch.randn(3, 5)
        features, pull = pullback(extractor, images)
        leaf = images.clone().requires_grad_()
        wanted = torch.autograd.grad((extractor(leaf) * cotangent).sum(), leaf)[0]
        assert torch.equal(features, embed(extractor, images))
        assert torch.allclose(pull(cotangent), wanted)

    def test_same_as_finite_differences(self):
        extractor, images = Small(), pictures(dtype=torch.float64)
        cotangent, step = torch.randn(3, 5, dtype=torch.float64), 1e-5
        gradient = pullback(extractor, images)[1](cotangent)
        with torch.no_grad():
            for place in [(0, 0, 0, 0), (1, 2, 3, 1), (2, 1, 0, 1)]:
                nudge = torch.zeros_like(images)
                nudge[place] = step
                rise = (extractor(images + nudge) - extractor(images - nudge)) * cotangent
                assert rise.sum() / (2 * step) == pytest.approx(gradient[place].item(), rel=1e-6)

    def test_works_without_gradients_around_it_and_leaves_the_inputs_alone(self):
        extractor, images = Small(), pictures()
        with torch.no_grad():
            features, pull = pullback(extractor, images)
        assert not features.requires_grad
        assert pull(torch.ones(3, 5)).abs().sum() > 0
        assert not images.requires_grad
        assert images.grad is None
        assert extractor.weight.grad is None

    def test_a_black_box_has_no_gradients(self):
        assert differentiable(Small())
        assert not differentiable(BlackBox())
        with pytest.raises(UnsupportedTargetError, match="black box"):
            pullback(BlackBox(), pictures())
        with pytest.raises(UnsupportedTargetError, match="black box"):
            embed_with_gradient(BlackBox(), pictures().requires_grad_())


class TestGraph:
    def test_a_loss_reaches_the_pictures_through_the_node(self):
        extractor, images = Small(), pictures(dtype=torch.float64)
        leaves = [images.clone().requires_grad_() for _ in range(2)]
        features = embed_with_gradient(extractor, leaves[0])
        assert torch.equal(features, extractor(leaves[1]))
        for row, output in enumerate((features, extractor(leaves[1]))):
            (output**3).sum().backward()
            assert leaves[row].grad.abs().sum() > 0
        assert torch.allclose(leaves[0].grad, leaves[1].grad)

    def test_chained_with_what_comes_before_and_after(self):
        extractor, latent = Small(), torch.randn(3, 3, 4, 2, requires_grad=True)
        weights = torch.randn(5)
        through = embed_with_gradient(extractor, torch.sigmoid(latent)) @ weights
        plain = extractor(torch.sigmoid(latent)) @ weights
        gradients = [torch.autograd.grad(out.square().sum(), latent)[0] for out in (through, plain)]
        assert torch.allclose(*gradients)

    def test_parameters_of_the_extractor_get_no_gradient(self):
        extractor = Small()
        images = pictures().requires_grad_()
        embed_with_gradient(extractor, images).sum().backward()
        assert images.grad.abs().sum() > 0
        assert extractor.weight.grad is None


class TestMemo:
    def test_features_are_computed_once_in_batches(self):
        extractor, ctx, people = Small(), RunContext(), split(2 * BATCH + 7)
        first = features_of(extractor, people, ctx)
        assert extractor.seen == [BATCH, BATCH, 7]
        assert torch.equal(features_of(extractor, people, ctx), first)
        assert len(extractor.seen) == 3
        images = people.images.load(range(len(people)), extractor.input_size)
        assert torch.allclose(first, embed(Small(), images))

    def test_every_extractor_split_and_run_has_its_own(self):
        extractor, other, ctx = Small(), Small(), RunContext()
        one, two = split(3), split(3)
        for model, people, run in ((extractor, one, ctx), (extractor, two, ctx), (other, one, ctx)):
            features_of(model, people, run)
        features_of(extractor, one, RunContext())
        assert (len(extractor.seen), len(other.seen)) == (3, 1)

    def test_progress_is_told(self):
        told = []
        ctx = RunContext(progress=lambda fraction, detail="": told.append((fraction, detail)))
        features_of(Small(), split(BATCH * 2), ctx)
        assert told == [(0.5, "embedding"), (1.0, "embedding")]

    @pytest.mark.parametrize("wrapped", [False, True])
    def test_a_full_device_gets_smaller_batches(self, wrapped, caplog):
        full = torch.OutOfMemoryError("out of memory")
        error = ModelError("the model does not take a batch of 64")
        error.__cause__ = full
        crowded, people = Crowded(20, error if wrapped else full), split(BATCH + 7)
        found = features_of(crowded, people, RunContext())
        assert crowded.seen == [16, 16, 16, 16, 7]
        assert torch.allclose(found, features_of(Small(), people, RunContext()))
        assert [record.getMessage() for record in caplog.records] == [
            "cpu is out of memory; features are computed 32 at a time",
            "cpu is out of memory; features are computed 16 at a time",
        ]

    def test_a_picture_that_is_too_large_by_itself_and_any_other_error_end_it(self):
        with pytest.raises(torch.OutOfMemoryError):
            features_of(Crowded(0, torch.OutOfMemoryError("full")), split(3), RunContext())
        broken = Crowded(0, ModelError("broken"))
        with pytest.raises(ModelError, match="broken"):
            features_of(broken, split(3), RunContext())

    def test_an_empty_split_has_no_features(self):
        assert features_of(Small(), split(0), RunContext()).shape == (0, 5)

    def test_everybody_meets_the_same_stored_gallery(self):
        met, ctx = target(Small()), RunContext(seed=4)
        first = stored_gallery(met, ctx)
        torch.randn(100)  # whatever anybody draws in between
        ctx.generator("attacks.identity").seed()
        assert torch.equal(stored_gallery(met, ctx), first)
        # and again in another run of the same seed
        assert torch.equal(stored_gallery(met, RunContext(seed=4)), first)
        assert not torch.equal(stored_gallery(met, RunContext(seed=5)), first)

    def test_nobody_changes_what_others_get(self):
        met, ctx = target(Small()), RunContext()
        kept = stored_gallery(met, ctx).clone()
        clean = features_of(met.extractor, met.data.gallery, ctx).clone()
        stored_gallery(met, ctx).mul_(0)
        features_of(met.extractor, met.data.gallery, ctx).mul_(0)
        with pytest.raises(TypeError, match="cannot be replaced"):
            ctx.cache.add_features(met.extractor, met.data.gallery, torch.zeros(1))
        assert torch.equal(stored_gallery(met, ctx), kept)
        assert torch.equal(features_of(met.extractor, met.data.gallery, ctx), clean)

    def test_the_release_works_on_clean_features_that_stay_clean(self):
        extractor, ctx = Small(), RunContext()
        met = target(extractor)
        stored = stored_gallery(met, ctx)
        clean = features_of(extractor, met.data.gallery, ctx)
        assert torch.equal(stored, add_noise(clean, ctx.generator("release")))
        assert len(extractor.seen) == 1

    def test_every_target_has_its_own_release(self):
        extractor, ctx = Small(), RunContext()
        bare = target(extractor, lambda features, generator: features)
        defended = Target(extractor, bare.data, add_noise)
        assert not torch.equal(stored_gallery(bare, ctx), stored_gallery(defended, ctx))
        assert len(extractor.seen) == 1
