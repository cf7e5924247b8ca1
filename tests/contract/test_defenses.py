"""What every installed defense owes the core."""

import dataclasses

import pytest
import torch

from auditor import plugins
from auditor.embedding import features_of, stored_gallery
from auditor.errors import UnsupportedTargetError
from auditor.types import Target
from auditor.utility import search
from tests import worlds

NAMES = list(plugins.installed("defenses"))
STRONG = {"dp_gallery": {"epsilon": 1.0}}
"""Settings under which a defense must take the leaky world to the blind one."""
MILD = {"dp_gallery": {"epsilon": 1e6}, "deid": {"lr": 1e-6}, "adversarial": {"lr": 1e-6}}
"""Settings under which a defense hardly changes anything."""


def build(name, **params):
    return plugins.build("defenses", name, {**worlds.QUICK_DEFENSES.get(name, {}), **params})


def victim(name):
    return worlds.trainable() if name in worlds.RETRAINED else worlds.leaky()


def test_the_built_in_defenses_are_installed():
    assert {"dp_gallery", "deid", "adversarial"} <= set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_a_defense_is_a_frozen_dataclass_with_a_summary(name):
    defense = plugins.load("defenses", name)
    assert dataclasses.is_dataclass(defense)
    assert defense.__dataclass_params__.frozen
    assert plugins.summary(defense).endswith(".")


@pytest.mark.parametrize("name", NAMES)
def test_a_defense_leaves_its_input_alone_and_repeats_under_its_seed(name, tmp_path):
    target = victim(name)
    kept = dict(vars(target))
    clean = features_of(target.extractor, target.data.gallery, worlds.context(tmp_path)).clone()
    outcomes = []
    for _ in range(2):
        ctx = worlds.context(tmp_path, seed=5)
        defended = build(name).apply(target, ctx)
        assert isinstance(defended, Target)
        assert defended is not target
        outcomes.append(stored_gallery(defended, ctx))
    assert torch.equal(*outcomes)
    assert vars(target) == kept
    ctx = worlds.context(tmp_path)
    assert torch.equal(features_of(target.extractor, target.data.gallery, ctx), clean)


@pytest.mark.parametrize("name", NAMES)
def test_defenses_compose_and_keep_each_others_claims(name, tmp_path):
    ctx = worlds.context(tmp_path)
    defense = build(name)
    once = defense.apply(victim(name), ctx)
    twice = defense.apply(once, ctx)
    assert twice.claims[: len(once.claims)] == once.claims
    assert torch.isfinite(stored_gallery(twice, ctx)).all()


@pytest.mark.parametrize("name", STRONG)
def test_a_strong_defense_moves_the_leaky_world_to_the_blind_one(name, tmp_path):
    ctx = worlds.context(tmp_path)
    attack = plugins.build("attacks", "identity", worlds.QUICK["identity"])
    bare = attack.run(worlds.leaky(), ctx).measurements[0]
    defense = build(name, **STRONG[name])
    defended = attack.run(defense.apply(worlds.leaky(), ctx), ctx).measurements[0]
    assert defended.high < bare.low
    assert defended.low <= 2 * defended.chance


@pytest.mark.parametrize("name", MILD)
def test_a_mild_defense_keeps_utility(name, tmp_path):
    ctx = worlds.context(tmp_path)
    bare = search(victim(name), ctx, "cosine").mean_ap
    mild = build(name, **MILD[name]).apply(victim(name), ctx)
    assert search(mild, ctx, "cosine").mean_ap > 0.9 * bare


@pytest.mark.parametrize("name", worlds.RETRAINED)
def test_a_finished_program_cannot_be_retrained(name, tmp_path):
    with pytest.raises(UnsupportedTargetError, match=r"cannot be retrained; give the state dict"):
        build(name).apply(worlds.leaky(), worlds.context(tmp_path))
