"""What later steps leave of a claim: void where they undo it, standing where they follow it."""

from dataclasses import dataclass, replace
from typing import get_args

import pytest
import torch

from auditor import plugins
from auditor.evaluation.claims import apply_defense, void_refuted, void_undone
from auditor.releasing import Composed, as_is
from auditor.report import NoisyTraining, PrivacyVerdict
from auditor.types import RunContext
from defenses.dp_gallery import GalleryNoise
from defenses.image_deid import Blur
from reports.content.claims import OUTCOME
from tests import worlds
from tests.records import claim

TRAINED = replace(
    claim(),
    epsilon_certified=8.0,
    epsilon_identity=8.0,
    verdict="CONSISTENT",
    training=NoisyTraining(
        noise_multiplier=1.0,
        sampling_rate=0.1,
        steps=10,
        runs=1,
        accountants={"Opacus (RDP)": 8.0},
        scratch=True,
    ),
)


def trainable(*claims):
    return replace(worlds.trainable(), claims=claims)


def retrained(target):
    """``target`` with another network."""
    return replace(target, extractor=worlds.blind().extractor)


def noisy(*pids):
    return GalleryNoise(trials=200).apply(worlds.crowd(*(pids or (1, 1, 2))), RunContext())


def verdict(before, after):
    (found,) = void_undone(before, after, "later").claims
    return found.verdict


class TestTraining:
    def test_another_network_voids_it_and_leaves_no_figure(self):
        before = trainable(TRAINED)
        (found,) = void_undone(before, retrained(before), "later").claims
        assert found.verdict == "VOID"
        assert found.reason.startswith("later put another network in the place of the one this")
        assert (found.epsilon_certified, found.epsilon_identity, found.audited) == (None,) * 3
        assert found.training.accountants == {}
        assert found.epsilon_claimed == TRAINED.epsilon_claimed

    def test_what_leaves_the_network_alone_leaves_it_standing(self):
        before = trainable(TRAINED)
        assert verdict(before, replace(before, release=lambda f, g: f + 1)) == "CONSISTENT"

    def test_it_stays_void_and_keeps_its_first_reason(self):
        before = trainable(TRAINED)
        once = void_undone(before, retrained(before), "first")
        (found,) = void_undone(once, once, "second").claims
        assert found.reason.startswith("first put")

    @pytest.mark.parametrize(
        ("scratch", "trained", "worth"),
        [
            (True, ("retrain",), "CONSISTENT"),
            (False, ("retrain",), "VOID"),
            (False, (), "CONSISTENT"),
        ],
    )
    def test_starting_weights_that_learned_of_the_people_are_not_public(
        self, scratch, trained, worth
    ):
        before = replace(trainable(), trained=trained)
        promised = replace(TRAINED, training=replace(TRAINED.training, scratch=scratch))
        after = replace(retrained(before), claims=(promised,))
        assert verdict(before, after) == worth

    def test_every_network_that_was_put_in_place_is_remembered(self):
        before = trainable()
        after = void_undone(before, retrained(before), "one")
        assert void_undone(after, after, "two").trained == ("one",)


class TestRelease:
    def test_more_noise_on_the_noisy_rows_leaves_it_standing(self):
        before = noisy()
        after = GalleryNoise(trials=200, epsilon=1.0).apply(before, RunContext())
        assert [c.verdict for c in void_undone(before, after, "later").claims] == ["CONSISTENT"] * 2

    def test_a_release_of_its_own_voids_it(self):
        before = noisy()
        assert verdict(before, replace(before, release=as_is)) == "VOID"

        def peeking(features, generator):
            return before.release(features, generator) + features

        assert verdict(before, replace(before, release=peeking)) == "VOID"
        composed = Composed(before.release, lambda rows, generator: rows.round())
        assert verdict(before, replace(before, release=composed)) == "CONSISTENT"

    def test_published_pictures_void_it_in_either_order(self):
        bare, ctx = worlds.crowd(1, 1, 2), RunContext()
        blur, noise = Blur(kernel=(1, 1), image_size=(8, 4)), GalleryNoise(trials=200)
        blurred, protected = blur.apply(bare, ctx), noise.apply(bare, ctx)
        assert verdict(blurred, noise.apply(blurred, ctx)) == "VOID"
        (found,) = void_undone(protected, blur.apply(protected, ctx), "blur").claims
        assert found.verdict == "VOID"
        assert "no ε covers those" in found.reason

    def test_more_pictures_of_a_person_than_were_accounted_for_void_it(self):
        before = noisy(1, 1, 2)
        more = replace(before, data=worlds.crowd(1, 1, 1, 2).data)
        assert verdict(before, more) == "VOID"
        assert verdict(before, replace(before, data=worlds.crowd(1, 2, 2).data)) == "CONSISTENT"


@dataclass(frozen=True, kw_only=True)
class Promising:
    """Claims a private training it never made."""

    def apply(self, target, ctx):
        return replace(target, claims=(*target.claims, TRAINED))


@pytest.mark.parametrize("name", ["deid", "adversarial", "federated", "retrain", "dp_sgd"])
def test_a_chain_that_trains_again_voids_the_private_training_before_it(name):
    target, ctx = worlds.trainable(), RunContext()
    # a training from a seed promises nothing in the first place
    unknown = {"randomness": "secret"} if name == "dp_sgd" else {}
    trained = plugins.build("defenses", name, {**worlds.QUICK_DEFENSES[name], **unknown})
    for defense in (Promising(), trained):
        target = apply_defense(defense, target, ctx)
    assert target.claims[0].verdict == "VOID"
    assert target.claims[0].reason.startswith(f"{name} put another network")
    assert [c.verdict != "VOID" for c in target.claims[1:]] == [True] * (name == "dp_sgd")


def test_every_verdict_has_a_colour():
    assert set(OUTCOME) == set(get_args(PrivacyVerdict))


def noise_of(rows, sigma):
    """Noise that the rows alone decide, as coarse as ``sigma``."""
    seeds = [hash(row.numpy().tobytes()) % 2**31 for row in rows]
    draws = [torch.Generator().manual_seed(seed) for seed in seeds]
    return sigma * torch.stack([torch.randn(rows.shape[1], generator=draw) for draw in draws])


@dataclass(frozen=True)
class StickingToBytes:
    """Noise that is to stick to a record, and sticks to the bytes of its feature."""

    sigma: float

    def __call__(self, features, generator):
        return features + self.sigma * torch.randn(features.shape, generator=generator)

    def of_records(self, features, generator, records):
        return features + noise_of(features, self.sigma)


class TestDrawnAgain:
    """What a defense claims of its release is held against the release itself."""

    bare = worlds.crowd(*range(1, 41))

    def promised(self, release=None, **params):
        honest = GalleryNoise(trials=200, **params).apply(self.bare, RunContext())
        return honest if release is None else replace(honest, release=release(honest.claims[0]))

    def reason(self, target, before=None):
        (found,) = void_refuted(before or self.bare, target, RunContext()).claims
        assert (found.verdict == "VOID") == bool(found.reason.startswith(("repeated", "its noise")))
        return found.reason if found.verdict == "VOID" else ""

    @pytest.mark.parametrize("how", [{}, {"mechanism": "laplace"}, {"clip": 2.0}])
    @pytest.mark.parametrize("sticky", [False, True])
    def test_noise_as_claimed_stands(self, how, sticky):
        assert not self.reason(self.promised(sticky=sticky, **how))

    def test_noise_that_the_row_decides_is_none(self):
        target = self.promised(lambda claim: lambda x, g: x + noise_of(x, claim.sigma))
        assert "40 of 40 rows the same noise" in self.reason(target)

    def test_so_is_noise_on_most_rows(self):
        def release(claim):
            def noisy(x, g):
                stored = x + claim.sigma * torch.randn(x.shape, generator=g)
                stored[:2] = x[:2]
                return stored

            return noisy

        assert "2 of 40 rows" in self.reason(self.promised(release))

    def test_less_noise_than_claimed_is_seen(self):
        def release(claim):
            return lambda x, g: x + 0.5 * claim.sigma * torch.randn(x.shape, generator=g)

        assert "shows noise of deviation" in self.reason(self.promised(release))

    def test_sticky_noise_must_go_by_record(self):
        def release(claim):
            return lambda x, g: x + claim.sigma * torch.randn(x.shape, generator=g)

        assert "asks for no record" in self.reason(self.promised(release, sticky=True))

    def test_and_not_by_the_bytes_of_a_feature(self):
        target = self.promised(lambda claim: StickingToBytes(claim.sigma), sticky=True)
        assert "the same record was released" in self.reason(target)

    def test_sticky_noise_on_noisy_rows_is_not_refuted_by_those(self):
        once = self.promised()
        twice = GalleryNoise(trials=200, sticky=True).apply(once, RunContext())
        assert [c.verdict for c in void_refuted(once, twice, RunContext()).claims] == [
            "CONSISTENT"
        ] * 2
