"""Attacks beside their reference adversaries, on the faint plant of the test world."""

from dataclasses import dataclass, replace

import pytest

from attacks.identity import IdentityClassifier, IdentityLda, IdentityPlda
from attacks.linkage import Linkage
from auditor.certification.proving import SMALL, Controls, Prover
from auditor.types import AttackResult, MemoryImages, silent
from defenses.dp_gallery import GalleryNoise
from tests import worlds
from tests.records import certificate


@pytest.fixture
def prover(tmp_path):
    return Prover(worlds.trainable(), worlds.context(tmp_path), 0.8)


def proved(prover, attack, scenario=None, label="none"):
    return prover.prove(attack, label, scenario or prover.bare, silent)


@pytest.mark.parametrize("epochs", [3, 10])
def test_an_undertrained_classifier_is_weak_however_it_did_on_leaks_without_noise(prover, epochs):
    power, _ = proved(prover, IdentityClassifier(epochs=epochs)).powers
    assert (power.metric, power.outcome) == ("top1", "weak")
    assert power.efficiency < 0.3
    assert 0.5 < power.reference < 0.95


@pytest.mark.parametrize("attack", [IdentityLda(), Linkage()], ids=str)
def test_what_finds_all_that_can_be_found_is_certified(prover, attack):
    power = proved(prover, attack).powers[0]
    assert power.outcome == "shown", power.reason
    assert power.efficiency > 0.8
    assert not power.null.low > power.null.chance


def test_noise_stands_in_the_way_of_both(prover):
    bare = proved(prover, IdentityLda()).powers[0]
    noisy = GalleryNoise(epsilon=300).apply(prover.bare, prover.ctx)
    tried = proved(prover, IdentityLda(), noisy, "dp")
    assert not tried.as_bare
    power = tried.powers[0]
    assert power.reference < bare.reference - 0.1
    assert power.efficiency > 0.8
    assert power.null is None, "the null is tried once"


def test_where_noise_hides_the_plant_there_is_nothing_to_find(prover):
    hidden = GalleryNoise(epsilon=1).apply(prover.bare, prover.ctx)
    power = proved(prover, IdentityLda(), hidden, "dp").powers[0]
    assert power.outcome == "nothing-to-find"
    assert "finds next to nothing" in power.reason


def test_a_defense_of_the_model_alone_keeps_the_bare_certificates(prover):
    retrained = replace(prover.bare, extractor=worlds.blind().extractor)
    assert proved(prover, IdentityLda(), retrained, "retrain").as_bare


def test_what_a_judge_of_its_own_measures_is_certified_too(prover):
    from attacks.inversion.composite import Composite

    named = replace(prover, ctx=replace(prover.ctx, judges={"osnet": worlds.leaky().extractor}))
    metrics = {p.metric for p in proved(named, Composite(image_size=(32, 16))).powers}
    assert {"reid_rank1", "reid_rank1.osnet"} <= metrics


@dataclass(frozen=True, kw_only=True)
class Slow(IdentityLda):
    """Names people slowly."""

    slow = True


def test_a_slow_rung_is_tried_on_part_of_the_people_and_says_so(prover, monkeypatch):
    monkeypatch.setattr("auditor.certification.proving.SMALL", replace(SMALL, attacked=12))
    power = proved(prover, Slow()).powers[0]
    assert power.planted.n == 12
    assert "tried on 12 of 24 people" in power.reason


@dataclass(frozen=True, kw_only=True)
class Crashing(IdentityLda):
    """Names nobody."""

    def run(self, target, ctx) -> AttackResult:
        raise ValueError("out of luck")


def test_a_crash_leaves_an_attack_without_power(prover):
    (power,) = proved(prover, Crashing()).powers
    assert power.outcome == "not-run"
    assert "out of luck" in power.reason


def looking_darker(target):
    """``target`` whose gallery alone was photographed by a dim lamp."""
    gallery = target.data.gallery
    dim = 0.2 * gallery.images.load(range(len(gallery)), (64, 32))
    images = MemoryImages((dim * 255).round().byte())
    return replace(target, data=replace(target.data, gallery=replace(gallery, images=images)))


def test_what_is_learned_from_a_crowd_like_the_gallery_counts(prover):
    bare = proved(prover, IdentityPlda())
    assert prover.compare(bare, IdentityPlda(), "none", prover.bare) == bare


def test_certificates_of_whoever_learns_from_others_need_a_gallery_like_theirs(tmp_path):
    dark = looking_darker(worlds.trainable())
    prover = Prover(dark, worlds.context(tmp_path), 0.8)
    assert prover._tell_apart(dark).startswith("what it learns from does not resemble")
    power = prover.compare(proved(prover, IdentityPlda()), IdentityPlda(), "none", dark).powers[0]
    assert (power.outcome, "does not resemble" in power.reason) == ("weak", True)
    alone = proved(prover, Linkage())
    assert prover.compare(alone, Linkage(), "none", dark) == alone


def test_entries_that_cannot_be_compared_certify_nothing(tmp_path):
    broken = replace(worlds.trainable(), release=lambda features, draws: features / 0)
    prover = Prover(broken, worlds.context(tmp_path), 0.8)
    shown = Controls(powers=(certificate("top1", 0.1),))
    power = prover.compare(shown, IdentityPlda(), "none", broken).powers[0]
    assert power.outcome == "weak"
    assert power.reason.startswith("its entries cannot be compared")
