"""Differentially private training: what is sampled, cut, noised, accounted for and claimed."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
import torchvision
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import ChaCha20
from dp_accounting import dp_event
from dp_accounting.pld import PLDAccountant
from opacus import GradSampleModule
from opacus.optimizers import DPOptimizer
from scipy.stats import kstest
from torch import nn

from auditor.errors import UnsupportedTargetError, UsageError
from auditor.metrics.dp import gaussian_epsilon
from auditor.models.architectures.branches import Branches
from auditor.models.card import Card
from auditor.models.extractor import CardedExtractor
from auditor.training.sampler import pictures
from auditor.types import RunContext
from defenses.dp_sgd import DpSgd
from defenses.dp_sgd.accounting import Steps, calibrate
from defenses.dp_sgd.canaries import Canaries
from defenses.dp_sgd.randomness import BLOCK, SecretSampler, SecretStream, seeded_secret
from defenses.dp_sgd.student import Student, Unaliased, private_copy, unwrap_norms
from defenses.dp_sgd.training import Settings, Units, learn, private, read_history
from tests import worlds
from tests.unit.coloured import SIZE, Small, coloured, extractor, target

QUICK = Settings(epochs=3, batch=8, chunk=3, lr=1e-3, clip=1.0, noise_multiplier=1.0)
CONTEXT = RunContext(seed=4)
SECRET = seeded_secret(4, "tests")


def stream():
    return SecretStream(SECRET)


class Telling(Small):
    """Brings a loss of its own over the batch."""

    def branches(self, images):
        features = self(images)
        return Branches((features,), (features,), own=features.std(0).mean())


class Scaled(Small):
    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(3))


class Labelling(Small):
    def learn_parts(self, people, draw):
        raise AssertionError("nobody's pictures may be looked at")


def units(unit="image", views=2):
    shown, draw = pictures(coloured(), SIZE), torch.Generator().manual_seed(0)
    return Units.images(shown, draw) if unit == "image" else Units.people(shown, views, draw)


def student(seed=1):
    copied = private_copy(extractor(seed=seed), scratch=False)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return copied, Student(copied, 8)


class TestAccounting:
    @pytest.mark.parametrize(
        "steps",
        [Steps(1.0, 0.05, 400), Steps(8.0, 0.05, 400), Steps(0.6, 0.02, 1000), Steps(2, 1.0, 5)],
    )
    def test_two_accountants_agree_within_half_a_percent(self, steps):
        first, second = steps.accountants(1e-5).values()
        assert first == pytest.approx(second, rel=5e-3)
        assert steps.epsilon(1e-5) == max(first, second)

    def test_what_is_certified_lies_just_above_the_exact_loss_distribution(self):
        steps = Steps(4.0, 0.05, 200)
        step = dp_event.PoissonSampledDpEvent(0.05, dp_event.GaussianDpEvent(4.0))
        exact = PLDAccountant().compose(dp_event.SelfComposedDpEvent(step, 200)).get_epsilon(1e-5)
        assert exact <= steps.epsilon(1e-5) < 1.2 * exact

    def test_without_noise_nothing_is_certified(self):
        assert Steps(0.0, 0.1, 10).epsilon(1e-5) is None
        assert Steps(0.0, 0.1, 10).group_epsilon(3, 1e-5) is None

    def test_a_group_without_sampling_is_a_gaussian_of_its_size(self):
        exact = gaussian_epsilon(3 * math.sqrt(4) / 10.0, 1e-5)
        assert Steps(10.0, 1.0, 4).group_epsilon(3, 1e-5) == pytest.approx(exact, rel=0.02)

    def test_a_group_costs_more_than_a_member_and_less_than_the_crude_bound(self):
        steps = Steps(6.0, 0.05, 100)
        alone, few, many = (steps.group_epsilon(k, 1e-5) for k in (1, 3, 9))
        assert alone == steps.epsilon(1e-5)
        assert alone < few < many
        assert many < Steps(6.0 / 9, 1 - 0.95**9, 100).epsilon(1e-5)

    @pytest.mark.parametrize("epsilon", [1.0, 20.0])
    def test_the_calibrated_noise_certifies_epsilon_and_hardly_more(self, epsilon):
        noise = calibrate(epsilon, 1e-5, 0.1, 50)
        assert 0.94 * epsilon < Steps(noise, 0.1, 50).epsilon(1e-5) <= epsilon

    def test_an_epsilon_that_no_noise_reaches_is_refused(self):
        with pytest.raises(UsageError, match=r"no noise certifies epsilon 1e-09 .* fewer epochs"):
            calibrate(1e-9, 1e-5, 1.0, 10)


class TestRandomness:
    def test_a_long_draw_is_the_keystream_whole(self):
        """Numbers are made block by block; the plain reference makes them at once."""
        key, nonce = SECRET, bytes(4) + (1).to_bytes(12, "little")
        count = 2 * BLOCK + 5
        stream_of = Cipher(ChaCha20(key, nonce), mode=None).encryptor()
        bits = np.frombuffer(stream_of.update(bytes(8 * count)), dtype="<u8") >> np.uint64(12)
        assert (stream().uniform(count) == (bits + 0.5) * 2.0**-52).all()

    def test_one_secret_gives_one_stream_and_another_one_another(self):
        first, again, other = (
            SecretStream(seeded_secret(seed, "x")).uniform(100) for seed in (1, 1, 2)
        )
        assert (first == again).all()
        assert not set(first) & set(other)

    def test_no_two_draws_overlap(self):
        stream = SecretStream(SECRET)
        draws = np.concatenate([stream.uniform(500) for _ in range(40)])
        assert len(set(draws)) == len(draws)

    def test_the_keystream_is_that_of_rfc_8439(self):
        """Section 2.4.2's key and nonce, which is the number of a draw; its blocks start at 1."""
        stream = SecretStream(bytes(range(32)))
        nonce = bytes.fromhex("000000000000004a00000000")
        stream._draws = int.from_bytes(nonce, "little") - 1
        assert (
            stream._keystream().update(bytes(128))[64:80].hex()
            == "224f51f3401bd9e12fde276fb8631ded"
        )

    def test_numbers_are_uniform_and_normal(self):
        stream = SecretStream(SECRET)
        uniform, normal = stream.uniform(20_000), stream.gaussian((100, 200))
        assert 0 < uniform.min() < uniform.max() < 1
        assert kstest(uniform, "uniform").pvalue > 0.01
        assert normal.shape == (100, 200)
        assert kstest(normal.ravel(), "norm").pvalue > 0.01

    def test_samples_are_independent_of_one_another_and_of_the_step(self):
        sampler = SecretSampler(SecretStream(SECRET), 50, 1 / 200)
        taken = np.zeros((200, 50))
        for step, rows in enumerate(sampler):
            taken[step, rows] = 1
        assert len(sampler) == 200
        assert taken.sum() == pytest.approx(50, abs=25)

    def test_a_secret_training_cannot_be_repeated_and_a_seeded_one_promises_nothing(self):
        images = torch.rand(3, 3, *SIZE)
        for randomness, alike in (("secret", False), ("seed", True)):
            brief = {**BRIEF, "randomness": randomness}
            first, second = (DpSgd(**brief).apply(target(), CONTEXT) for _ in range(2))
            assert torch.equal(first.extractor(images), second.extractor(images)) == alike
            (claim,) = first.claims
            assert claim.verdict == ("VOID" if alike else "CONSISTENT")
            assert ("seed of the run" in claim.reason) == alike

    def test_no_two_seeded_trainings_share_their_noise(self):
        seeded = {**BRIEF, "noise_multiplier": 1e4, "randomness": "seed", "scratch": False}
        given = target()
        again = replace(given, claims=DpSgd(**seeded).apply(given, CONTEXT).claims)
        images = torch.rand(3, 3, *SIZE)
        made = [
            DpSgd(**seeded).apply(given, CONTEXT),
            DpSgd(**seeded).apply(again, CONTEXT),
            DpSgd(**{**seeded, "clip": 2.0}).apply(given, CONTEXT),
        ]
        answers = [each.extractor(images) for each in made]
        assert not torch.allclose(answers[0], answers[1], atol=1e-3)
        assert not torch.allclose(answers[0], answers[2], atol=1e-3)


class TestTraining:
    def test_pictures_go_through_the_module_that_keeps_gradients_apart(self, monkeypatch):
        _, pupil = student()
        parts = private(pupil, units(), QUICK, stream())
        assert isinstance(parts.forward, GradSampleModule)
        assert parts.forward._module is pupil
        assert isinstance(parts.optimizer, DPOptimizer)
        seen = []
        before = GradSampleModule.forward
        monkeypatch.setattr(
            GradSampleModule,
            "forward",
            lambda self, x: (seen.append(len(x)), before(self, x))[1],
        )
        copied, pupil = student()
        learn(pupil, copied, units(), QUICK, stream(), CONTEXT)
        assert sum(seen) == pytest.approx(3 * 32, abs=40)

    def test_units_are_poisson_sampled(self):
        _, pupil = student()
        loader = private(pupil, units(), replace(QUICK, batch=8), stream()).loader
        assert loader.batch_sampler.sample_rate == 1 / 4
        sizes = [len(classes) for _ in range(40) for _, classes in loader]
        # binomial: 32 units at a rate of 1/4
        assert torch.tensor(sizes).float().mean().item() == pytest.approx(8, abs=0.8)
        assert torch.tensor(sizes).float().var().item() == pytest.approx(6, abs=2.5)

    def test_steps_that_sample_nobody_are_made_and_counted(self, monkeypatch):
        copied, pupil = student()
        before = {name: w.clone() for name, w in pupil.named_parameters()}
        few = Units.people(pictures(coloured(), SIZE), 2, torch.Generator())
        monkeypatch.setattr(
            "defenses.dp_sgd.randomness.SecretSampler.__iter__",
            lambda self: iter([[]] * self.steps),
        )
        steps = learn(pupil, copied, few, replace(QUICK, batch=2), stream(), CONTEXT)
        assert steps == Steps(1.0, 1 / 4, 12)
        moved = [not torch.equal(before[n], w) for n, w in pupil.named_parameters()]
        assert sum(moved) == len(moved) - 2  # the layer that nothing depends on stays

    def test_the_accountant_counts_steps_not_chunks(self):
        copied, pupil = student()
        assert learn(pupil, copied, units(), QUICK, stream(), CONTEXT) == Steps(1.0, 1 / 4, 12)
        parts = private(pupil, units(), QUICK, stream())
        with pytest.raises(ValueError, match="not enough values"):
            read_history(parts.accountant)

    def test_a_processor_holds_few_units_at_once_unless_told_otherwise(self, monkeypatch):
        seen = []

        def train(self, extractor, units, settings, *given):
            seen.append(settings.chunk)
            raise UsageError("enough")

        monkeypatch.setattr(DpSgd, "train", train)
        for given in ({}, {"chunk": 7}):
            with pytest.raises(UsageError, match="enough"):
                DpSgd(noise_multiplier=1.0, **given).apply(target(), CONTEXT)
        assert seen == [2, 7]

    @pytest.mark.parametrize("unit", ["image", "identity"])
    @pytest.mark.parametrize("chunk", [1, 2, 32])
    def test_the_noiseless_step_is_the_sum_of_cut_gradients_of_units(
        self, chunk, unit, monkeypatch
    ):
        """Against gradients that autograd takes of one unit at a time."""
        copied, pupil = student()
        sampled = units(unit)
        rows = [sampled[i] for i in (0, 3, 7)]
        images, classes = torch.stack([r[0] for r in rows]), torch.stack([r[1] for r in rows])
        weights = [w for w in pupil.parameters() if w.requires_grad]
        expected = [torch.zeros_like(w) for w in weights]
        for picture, label in zip(images, classes, strict=True):
            logits = pupil(copied.prepare(picture))[0]
            loss = F.cross_entropy(logits, label.expand(len(picture)), label_smoothing=0.1)
            gradients = torch.autograd.grad(loss, weights)
            norm = torch.cat([g.flatten() for g in gradients]).norm()
            for total, gradient in zip(expected, gradients, strict=True):
                total += gradient * min(1.0, 0.05 / float(norm))
        settings = replace(
            QUICK, clip=0.05, noise_multiplier=0.0, chunk=chunk, epochs=1, batch=len(sampled)
        )
        monkeypatch.setattr(
            "defenses.dp_sgd.randomness.SecretSampler.__iter__",
            lambda self: iter([[0, 3, 7]]),
        )
        monkeypatch.setattr("defenses.dp_sgd.training.augment", lambda images, *_: images)
        monkeypatch.setattr(
            Units,
            "__getitem__",
            lambda self, i: rows[(0, 3, 7).index(i)] if i in (3, 7) else rows[0],
        )
        stepped = []
        monkeypatch.setattr(
            torch.optim.AdamW,
            "step",
            lambda self: stepped.extend(
                p.grad.clone() for g in self.param_groups for p in g["params"]
            ),
        )
        learn(pupil, copied, sampled, settings, stream(), CONTEXT)
        for found, total in zip(stepped, expected, strict=True):
            assert torch.allclose(found * len(sampled), total, atol=2e-6)

    @pytest.mark.parametrize("unit", ["image", "identity"])
    def test_hardly_any_noise_learns_and_overwhelming_noise_stays_at_chance(self, unit):
        def top1(noise):
            torch.manual_seed(0)
            copied = private_copy(extractor(), scratch=True)
            pupil = Student(copied, 8)
            settings = Settings(60, 8, 32, 1e-2, 1.0, noise)
            learn(pupil, copied, units(unit), settings, stream(), CONTEXT)
            split = coloured()
            images = copied.prepare(split.images.load(range(len(split)), SIZE))
            return (pupil.eval()(images)[0].argmax(1) == split.pids - 1).float().mean().item()

        assert top1(1e-3) > 0.8
        assert top1(1000.0) <= 0.375  # eight people: a classifier that names one or two of them


def proven(noise, **given):
    """The claim of a training that has time to remember 200 canaries, or to forget them."""
    settings = {"epochs": 60, "batch": 40, "lr": 1e-2, "clip": 1.0, "canaries": 200}
    defense = DpSgd(noise_multiplier=noise, delta=1e-5, **settings, **given)
    (claim,) = defense.apply(target(), CONTEXT).claims
    return claim


class TestCanaries:
    def test_half_of_them_take_part_and_the_rate_does_not_tell_how_many(self):
        canaries = Canaries.draw(100, 1, SIZE, 8, stream())
        _, pupil = student()
        parts = private(pupil, units(), QUICK, stream(), canaries)
        assert 30 < canaries.included.sum() < 70
        assert len(parts.loader.dataset) == 32 + canaries.included.sum()
        assert parts.loader.batch_sampler.sample_rate == 1 / 17  # of 132 units, 8 in a batch
        images, name = parts.loader.dataset[32]
        first = int(canaries.included.nonzero()[0])
        assert torch.equal(images, canaries.images[first])
        assert name == canaries.classes[first]

    @pytest.mark.parametrize("unit", ["image", "identity"])
    def test_hardly_any_noise_is_proven_to_promise_nothing(self, unit):
        claim = proven(1e-3, unit=unit, views=1)
        assert claim.audited.trials == 200
        assert claim.audited.epsilon > 2
        assert claim.audited.epsilon <= claim.audited.ceiling

    def test_noise_keeps_what_it_promises(self):
        claim = proven(1.0)
        assert claim.audited.epsilon < claim.epsilon_certified == claim.epsilon_claimed
        assert claim.verdict == "CONSISTENT"

    def test_noise_that_was_forgotten_is_found_out(self, monkeypatch):
        """Accounted, claimed, and not added: no accountant sees that."""
        monkeypatch.setattr(SecretStream, "gaussian", lambda self, shape: np.zeros(shape))
        claim = proven(10.0)
        assert claim.epsilon_certified < claim.audited.epsilon
        assert claim.verdict == "VIOLATED"

    def test_without_canaries_nothing_is_proven(self):
        (claim,) = DpSgd(**BRIEF).apply(target(), CONTEXT).claims
        assert claim.audited is None


class TestStudent:
    def test_batches_are_no_longer_normalised_and_frozen_layers_are_no_exception(self):
        given = extractor()
        given.network.norm.requires_grad_(False)
        copied = private_copy(given, scratch=False)
        assert isinstance(copied.network.norm, Unaliased)
        assert isinstance(copied.network.norm.layer, nn.GroupNorm)
        assert isinstance(given.network.norm, nn.BatchNorm2d)
        unwrap_norms(copied.network)
        assert copied.network.state_dict().keys() < given.network.state_dict().keys()

    def test_scale_and_shift_are_kept_unless_everything_starts_anew(self):
        given = extractor()
        nn.init.uniform_(given.network.norm.weight)
        kept, drawn = (private_copy(given, scratch=s).network for s in (False, True))
        assert torch.equal(kept.norm.layer.weight, given.network.norm.weight)
        assert torch.equal(kept.embed.weight, given.network.embed.weight)
        assert torch.equal(drawn.norm.layer.weight, torch.ones(8))
        assert not torch.equal(drawn.embed.weight, given.network.embed.weight)

    def test_residual_networks_that_add_in_place_can_be_trained(self):
        network = torchvision.models.resnet18(num_classes=16)
        given = CardedExtractor(network, Card(height=32, width=16))
        copied = private_copy(given, scratch=True)
        pupil = GradSampleModule(Student(copied, 8))
        pupil(torch.rand(2, 3, 32, 16, requires_grad=True)).sum().backward()
        assert all(len(w.grad_sample) == 2 for w in pupil.parameters())

    @pytest.mark.parametrize(
        ("network", "why"),
        [
            (lambda: Small(affine=False), "layer 'norm' normalises over the batch"),
            (Labelling, "labels body parts by looking at all training pictures"),
            (Telling, "brings a loss over the whole batch"),
        ],
    )
    def test_networks_that_mix_pictures_are_refused(self, network, why):
        with pytest.raises(UnsupportedTargetError, match=why):
            DpSgd(epochs=1).apply(target(network=network), CONTEXT)

    def test_a_network_opened_in_another_layout_trains_without_a_warning(self):
        given = extractor()
        given.network.to(memory_format=torch.channels_last)
        copied = private_copy(given, scratch=True)
        learn(Student(copied, 8), copied, units(), QUICK, stream(), CONTEXT)
        assert all(weight.is_contiguous() for weight in copied.network.parameters())

    def test_a_weight_that_cannot_be_drawn_anew_is_refused(self):
        with pytest.raises(UnsupportedTargetError, match="does not say how its weights start"):
            private_copy(extractor(Scaled), scratch=True)


BRIEF = {"epochs": 1, "batch": 8, "noise_multiplier": 2.0, "canaries": 0}


class TestDefense:
    def test_from_scratch_the_given_weights_do_not_matter(self):
        seeded = {**BRIEF, "randomness": "seed"}
        first, second = (DpSgd(**seeded).apply(target(seed=seed), CONTEXT) for seed in (1, 2))
        images = torch.rand(3, 3, *SIZE)
        assert torch.equal(first.extractor(images), second.extractor(images))
        warm = DpSgd(**seeded, scratch=False).apply(target(seed=1), CONTEXT)
        assert not torch.equal(first.extractor(images), warm.extractor(images))

    def test_the_claim_says_what_was_done_and_for_whom(self):
        (claim,) = DpSgd(**BRIEF, runs=3, scratch=False).apply(target(), CONTEXT).claims
        assert claim.training is not None
        assert (claim.training.steps, claim.training.sampling_rate) == (4, 1 / 4)
        assert claim.epsilon_certified == Steps(2.0, 1 / 4, 12).epsilon(1e-5)
        assert claim.epsilon_certified == max(claim.training.accountants.values())
        assert claim.epsilon_identity == Steps(2.0, 1 / 4, 12).group_epsilon(4, 1e-5)
        assert claim.neighbours == "one image added or taken away"
        assert claim.verdict == "CONSISTENT"
        shown = " ".join(claim.remarks)
        for part in ("gallery and query", "taken for public", "choosing among 10", "3 trainings"):
            assert part in shown

    def test_noise_is_chosen_for_the_steps_that_opacus_makes(self):
        train = coloured(31, 3)  # 93 pictures, and 1 / (1 / 93) lies just below 93
        many = replace(target(), data=replace(target().data, train=train))
        (claim,) = DpSgd(epsilon=5.0, epochs=1, batch=1, canaries=0).apply(many, CONTEXT).claims
        assert claim.training.steps == 92
        assert claim.epsilon_certified <= claim.epsilon_claimed == 5.0
        assert claim.verdict == "CONSISTENT"

    def test_people_as_units_are_certified_directly(self):
        chosen = {**BRIEF, "batch": 2, "noise_multiplier": None, "epsilon": 5.0}
        (claim,) = DpSgd(**chosen, unit="identity").apply(target(), CONTEXT).claims
        assert claim.neighbours == "all images of one person added or taken away"
        assert 4.85 < claim.epsilon_certified <= 5.0 == claim.epsilon_claimed
        assert claim.epsilon_identity == claim.epsilon_certified

    def test_without_noise_the_claim_is_called_no_privacy(self):
        (claim,) = DpSgd(epochs=1, noise_multiplier=0).apply(target(), CONTEXT).claims
        assert (claim.verdict, claim.epsilon_certified) == ("NOT-DP", None)

    def test_triplets_are_refused_with_the_reason(self):
        with pytest.raises(ValueError, match="not a sum over pictures or people"):
            DpSgd(triplet=1.0)

    @pytest.mark.parametrize(
        "wrong", [{"epsilon": 0}, {"noise_multiplier": -1}, {"delta": 1}, {"clip": 0}, {"views": 0}]
    )
    def test_senseless_settings_are_refused_by_name(self, wrong):
        with pytest.raises(ValueError, match=next(iter(wrong))):
            DpSgd(**wrong)

    def test_a_delta_that_protects_nobody_is_refused(self):
        with pytest.raises(UsageError, match="one of 8 training units"):
            DpSgd(delta=0.2, unit="identity").apply(target(), CONTEXT)

    def test_a_finished_program_is_refused(self):
        with pytest.raises(UnsupportedTargetError, match="cannot be retrained"):
            DpSgd().apply(worlds.leaky(), CONTEXT)
