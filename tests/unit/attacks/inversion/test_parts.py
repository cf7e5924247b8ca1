"""The parts of the inversion attack that can be checked by themselves, before any training."""

import numpy as np
import pytest
import torch

from attacks.inversion.linear import PENALTIES, LinearDecoder
from attacks.inversion.losses import feature_consistency, feature_matching, hinge_critic
from attacks.inversion.networks import Critic, Inverter, doublings
from attacks.inversion.reconstruction import choose
from auditor.data.images import load_pixels
from auditor.types import MemoryImages, RunContext


def draw(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def ridge(features, targets, alpha):
    """Weights and bias of least squares with a penalty on the weights, in closed form."""
    features, targets = features.double().numpy(), targets.double().numpy()
    mean_x, mean_y = features.mean(0), targets.mean(0)
    x, y = features - mean_x, targets - mean_y
    weight = np.linalg.solve(x.T @ x + alpha * np.eye(x.shape[1]), x.T @ y)
    return weight.T, mean_y - mean_x @ weight


def world(people=12, images=6, dim=5, noise=0.0, size=(16, 8)):
    """Features that determine pictures linearly, plus noise on the features."""
    pids = torch.arange(1, people + 1).repeat_interleave(images)
    features = draw(len(pids), dim)
    mixing = draw(dim, 3 * size[0] * size[1], seed=1)
    pixels = (128 + 20 * features @ mixing).clamp(0, 255).unflatten(1, (3, *size))
    return features + noise * draw(len(pids), dim, seed=2), pixels.byte(), pids


def chosen_penalty(decoder, features, pixels):
    """The penalty whose closed form the decoder is."""
    targets = (pixels.float() / 255).flatten(1)
    found = []
    for penalty in PENALTIES:
        weight, bias = ridge(features, targets, penalty * len(features))
        if np.allclose(decoder.weight, weight, atol=2e-5) and np.allclose(
            decoder.bias, bias, atol=2e-5
        ):
            found.append(penalty)
    assert len(found) == 1
    return found[0]


class TestLinearDecoder:
    def test_exact_features_get_the_smallest_penalty(self):
        features, pixels, pids = world()
        decoder = LinearDecoder(features, pixels, pids)
        assert chosen_penalty(decoder, features, pixels) == min(PENALTIES)
        # nearly plain least squares then: pictures come back
        plain = np.linalg.lstsq(
            np.c_[features, np.ones(len(features))],
            (pixels.float() / 255).flatten(1).numpy(),
            rcond=None,
        )[0]
        wanted = (np.c_[features, np.ones(len(features))] @ plain).reshape(pixels.shape)
        assert np.abs(decoder(features).numpy() - wanted).max() < 0.01

    def test_features_without_information_get_the_largest(self):
        _, pixels, pids = world()
        features = draw(len(pids), 40, seed=5)
        decoder = LinearDecoder(features, pixels, pids)
        assert chosen_penalty(decoder, features, pixels) == max(PENALTIES)
        # and the guess is close to the mean picture
        mean = pixels.float().mean(0) / 255
        assert (decoder(features) - mean).abs().mean() < 0.05

    @pytest.mark.parametrize("noise", [0.0, 0.5, 2.0, 4.0])
    @pytest.mark.parametrize("dim", [5, 60])
    def test_the_penalty_is_the_best_for_people_it_was_not_fitted_on(self, noise, dim):
        features, pixels, pids = world(people=17, dim=dim, noise=noise)
        targets = (pixels.float() / 255).flatten(1)
        held = (pids - 1) % 5 == 0  # one in five people, from the first
        errors = {}
        for penalty in PENALTIES:
            alpha = penalty * len(features)
            weight, bias = ridge(features[~held], targets[~held], alpha)
            gaps = features[held].double().numpy() @ weight.T + bias - targets[held].numpy()
            errors[penalty] = (gaps**2).mean()
        decoder = LinearDecoder(features, pixels, pids)
        assert chosen_penalty(decoder, features, pixels) == min(errors, key=errors.get)

    def test_few_people_get_a_middling_penalty(self):
        features, pixels, pids = world(people=5)
        assert chosen_penalty(LinearDecoder(features, pixels, pids), features, pixels) == 1.0

    def test_one_person_is_enough_to_fit(self):
        features, pixels, pids = world(people=1)
        assert torch.isfinite(LinearDecoder(features, pixels, pids)(features)).all()

    def test_large_pictures_are_guessed_small_and_enlarged(self):
        features, pixels, pids = world(size=(128, 64))
        decoder = LinearDecoder(features, pixels, pids)
        assert decoder.weight.shape == (3 * 64 * 32, 5)
        assert decoder(features[:2]).shape == (2, 3, 128, 64)

    def test_nothing_in_it_is_trained(self):
        assert not list(LinearDecoder(*world()).parameters())


class TestInverter:
    @pytest.mark.parametrize("size", [(32, 16), (64, 32)])
    def test_starts_exactly_at_the_clipped_linear_guess(self, size):
        features, pixels, pids = world(size=size)
        guess = LinearDecoder(features, pixels, pids)
        inverter = Inverter(5, size, 8, guess)
        wide = 20 * features  # far outside [0, 1] without clipping
        assert guess(wide).max() > 1.5
        with torch.no_grad():
            assert torch.allclose(inverter(features), guess(features).clamp(0.02, 0.98), atol=1e-5)
            assert torch.allclose(inverter(wide), guess(wide).clamp(0.02, 0.98), atol=1e-5)

    def test_learns_from_its_start(self):
        features, pixels, pids = world(size=(32, 16))
        inverter = Inverter(5, (32, 16), 8, LinearDecoder(features, pixels, pids))
        inverter(features).square().mean().backward()
        assert inverter.paint.weight.grad.abs().sum() > 0


@pytest.mark.parametrize(
    ("size", "times"), [((16, 8), 1), ((32, 16), 2), ((64, 32), 3), ((128, 64), 4), ((256, 128), 5)]
)
def test_sizes_that_double(size, times):
    assert doublings(size) == times


@pytest.mark.parametrize(
    "size", [(8, 4), (64, 64), (32, 64), (48, 24), (65, 32), (64, 33), (4, 2), (0, 0), (-64, -32)]
)
def test_sizes_that_do_not(size):
    with pytest.raises(ValueError, match="choose 32×16, 64×32, 128×64 or 256×128"):
        doublings(size)


@pytest.mark.parametrize("size", [(32, 16), (64, 32)])
def test_the_critic_judges_and_reads_each_picture(size):
    critic = Critic(7, size, 4)
    realness, read, activations = critic(torch.rand(3, 3, *size), draw(3, 7))
    assert realness.shape == (3,)
    assert read.shape == (3, 7)
    times = doublings(size)
    assert [a.shape for a in activations] == [
        (3, 4 << i, size[0] >> i, size[1] >> i) for i in range(times + 1)
    ]


def test_the_critic_looks_at_the_feature():
    critic, images = Critic(7, (32, 16), 4).eval(), torch.rand(2, 3, 32, 16)
    one, two = (critic(images, draw(2, 7, seed=seed))[0] for seed in (0, 1))
    assert not torch.allclose(one, two)


class TestChoice:
    PIDS = torch.tensor([5, 0, 2, 5, 0, 5, 9, 2, 5])

    def test_at_most_so_many_of_each_person_and_never_a_distractor(self):
        for count in (1, 2, 3, 99):
            chosen = choose(self.PIDS, count, RunContext())
            wanted = [2] * min(2, count) + [5] * min(4, count) + [9]
            assert self.PIDS[chosen].tolist() == wanted
            assert len(chosen.unique()) == len(chosen)

    def test_the_same_in_every_run_of_a_seed(self):
        pids = torch.arange(1, 30).repeat(6)
        one, two, other = (choose(pids, 2, RunContext(seed=seed)) for seed in (1, 1, 2))
        assert torch.equal(one, two)
        assert not torch.equal(one, other)

    def test_fewer_per_person_are_part_of_more(self):
        pids = torch.arange(1, 30).repeat(6)
        few, many = (set(choose(pids, count, RunContext()).tolist()) for count in (1, 3))
        assert few < many


def test_pixels_are_loaded_whole_in_chunks():
    source = torch.randint(256, (150, 3, 16, 8), generator=torch.Generator().manual_seed(0)).byte()
    assert torch.equal(load_pixels(MemoryImages(source), (16, 8)), source)


class TestLosses:
    def test_hinge_by_hand(self):
        # max(0, 1 − r) of 2 and 0.5; max(0, 1 + f) of −3 and 1
        real, fake = torch.tensor([2.0, 0.5]), torch.tensor([-3.0, 1.0])
        assert hinge_critic(real, fake).item() == pytest.approx(0.25 + 1.0)

    def test_matching_by_hand_and_without_gradient_to_the_real(self):
        real = [torch.zeros(2, 2, requires_grad=True), torch.ones(3)]
        fake = [torch.full((2, 2), 0.5, requires_grad=True), torch.full((3,), 3.0)]
        loss = feature_matching(real, fake)
        assert loss.item() == pytest.approx((0.5 + 2) / 2)
        loss.backward()
        assert real[0].grad is None
        assert fake[0].grad.abs().sum() > 0

    def test_consistency_by_hand(self):
        seen = torch.tensor([[2.0, 0.0], [0.0, 3.0]])
        wanted = torch.tensor([[5.0, 0.0], [1.0, 0.0]])
        assert feature_consistency(seen, wanted).item() == pytest.approx((0 + 1) / 2)
