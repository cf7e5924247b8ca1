"""What every installed attack owes the core, whoever wrote it."""

import dataclasses
import math
from functools import cache

import pytest
import torch

from auditor import plugins
from auditor.certification.certificates import REQUIRED
from auditor.certification.proving import Prover, Referenced
from auditor.config import preset_defaults
from auditor.errors import UnsupportedTargetError
from auditor.types import AttackResult, Target, silent
from tests import worlds

NAMES = list(plugins.installed("attacks"))


POWERLESS = {"fully_connected_gan"}
"""Attacks kept for the record, which must *not* win where everything leaks."""


MIXED = {"unshift"}
"""Attacks whose own planted world is protected already: they undo this protection instead."""


TURNED = {"alignment", "alignment_composite"}
"""Attacks that compare shapes of crowds, and so need a larger one, in a space like their own."""


ASTRAY = {"alignment_composite": 0.1}
"""What is asked of those whose own network, too, is at a loss where colours are not people's."""


def build(name):
    return plugins.build("attacks", name, worlds.QUICK.get(name, {}))


def planted(name):
    """The world in which the attack must win: its own, or the general one."""
    if name in TURNED:
        return worlds.turned()
    own = getattr(build(name), "make_planted", None)
    return own(worlds.leaky(), worlds.plain_context()) if own else worlds.leaky()


def null(name):
    """The world in which the attack must find nothing: its own, or the general one."""
    own = getattr(build(name), "make_null", None)
    return own(worlds.leaky(), worlds.plain_context()) if own else worlds.blind()


def run(name, target, tmp_path, seed=0):
    attack = build(name)
    ctx = worlds.context(tmp_path, seed)
    # the null features cannot judge a picture; the question is whether anybody is recognised
    judge = (worlds.turned() if name in TURNED else worlds.leaky()).extractor
    ctx = dataclasses.replace(ctx, judges={"target": judge})
    return attack.run(target, ctx)


@pytest.fixture(scope="module")
def first_run(tmp_path_factory):
    """Each attack's first run on its planted world: (result, folder, whether it drew nothing)."""

    @cache
    def runs(name):
        target, folder = planted(name), tmp_path_factory.mktemp(name)
        before = torch.random.get_rng_state()
        result = run(name, target, folder, seed=3)
        return result, folder, torch.equal(before, torch.random.get_rng_state())

    return runs


def headline(name, result):
    wanted = getattr(build(name), "headline", result.measurements[0].metric)
    return next(m for m in result.measurements if m.metric == wanted)


def test_the_built_in_attacks_are_installed():
    assert {"identity", "attribute", "inversion"} <= set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_an_attack_is_a_frozen_dataclass_that_states_its_adversary(name):
    attack = plugins.load("attacks", name)
    assert dataclasses.is_dataclass(attack)
    assert attack.__dataclass_params__.frozen
    assert plugins.summary(build(name)).endswith(".")
    assert plugins.threat_model(build(name)), "the docstring needs a 'Threat model:' paragraph"
    adversary = dataclasses.asdict(attack.adversary)
    assert list(adversary) == ["knowledge", "access", "auxiliary"]
    assert all(adversary.values())


@pytest.mark.parametrize("name", NAMES)
def test_an_attack_wins_where_everything_leaks_and_says_how_sure_it_is(name, first_run):
    result, folder, _ = first_run(name)
    assert isinstance(result, AttackResult)
    metrics = [m.metric for m in result.measurements]
    assert len(metrics) == len(set(metrics))
    for m in result.measurements:
        assert m.low <= m.value <= m.high, m
        assert m.n <= len(planted(name).data.gallery.pids.unique()), "n counts people, not images"
        assert m.unit != "fraction" or -1e-9 <= m.low <= m.high <= 1 + 1e-9
    found = headline(name, result)
    assert found.chance is not None
    if name in POWERLESS:
        assert found.high < 0.5, "the historical attack is not supposed to work"
    else:
        assert found.value > found.chance + 0.3, found
        assert found.low > found.chance + 0.15, found  # the interval is wide for two dozen people
    for path in result.exhibits.values():
        assert path.is_file()
        assert path.is_relative_to(folder)


@pytest.mark.parametrize("name", NAMES)
def test_a_protection_of_pictures_that_hides_nothing_protects_against_nobody(
    name, first_run, tmp_path
):
    """The mechanism is known and can be undone; the extractor sees every channel by itself."""
    if name in POWERLESS:
        return
    attack, bare = build(name), worlds.leaky() if name in MIXED else planted(name)
    target = worlds.altered(bare, worlds.INVERTIBLE["permuted channels"])
    found = headline(name, run(name, target, tmp_path, seed=3))
    clean = headline(name, first_run(name)[0])
    assert found.value > found.chance + ASTRAY.get(name, 0.3), attack
    # networks of one kind are both at a loss where colours are not people's
    assert found.high >= clean.low or name in TURNED, (found, clean)


@pytest.mark.parametrize("mechanism", worlds.INVERTIBLE.values(), ids=worlds.INVERTIBLE)
@pytest.mark.parametrize(
    "name", ["identity_lda", "identity_retrieval", "attribute_logistic", "averaging", "composite"]
)
def test_no_known_mechanism_that_can_be_undone_protects(name, mechanism, first_run, tmp_path):
    found = headline(name, run(name, worlds.altered(planted(name), mechanism), tmp_path, seed=3))
    assert found.high >= headline(name, first_run(name)[0]).low


SHORT = {
    "composite": "it can only put together parts of other people's pictures",
    "fully_connected_gan": "kept for the record; its loss never rewards the right picture",
    "identity_transductive": "believing oneself goes astray among few people",
    "diffusion": "few epochs on few pictures",
    "mse_decoder": "few epochs on few pictures, and no closed form to start from",
    "optimization": "its grid of colours is coarser than what is painted",
    "movement": "cosine weighs all directions alike, and people have three entries each",
    "attribute": "twenty-four people are too few to tell by",
    "attribute_logistic": "the same",
    "attribute_expansion": "the same",
    "distribution": "the same",
    "alignment": "painted people are Gaussian, and such a crowd has no shape",
    "alignment_composite": "the same",
    "model_extraction": "what it sees without asking agrees with a painted code already",
    "model_extraction_network": "the same",
    "distribution_bbse": "the same",
    "description": "the same",
    "description_gaussian": "the same",
    "attribute_boosting": "the same, and trees are poor at faint linear directions",
}
"""Attacks that may miss what the reference adversary finds in this small world, and why."""
FOR_FEW_PEOPLE = ("min_people", "fpir")
"""What is set by how many people there are, not by how long an attack may take."""
REFERENCED = [
    pytest.param(name, marks=pytest.mark.slow) if getattr(build(name), "slow", False) else name
    for name in NAMES
    if isinstance(build(name), Referenced)
]


@pytest.mark.parametrize("name", REFERENCED)
def test_an_attack_finds_most_of_a_faint_leak_or_its_shortfall_is_known(name, tmp_path):
    """As the quick preset sets it, where that names it; at chance where there is nothing."""
    preset = preset_defaults("quick")["attacks"].get(name)
    quick = worlds.QUICK.get(name, {})
    kept = {key: value for key, value in quick.items() if preset is None or key in FOR_FEW_PEOPLE}
    attack = plugins.build("attacks", name, {**(preset or {}), **kept})
    prover = Prover(worlds.trainable(), worlds.context(tmp_path), REQUIRED)
    power = prover.prove(attack, "none", prover.bare, silent).powers[0]
    short = ("shown", "weak", "small-control")
    assert power.outcome in (short if name in SHORT else ("shown",)), power.reason
    assert power.planted.value > power.null.value or name in POWERLESS | TURNED


@pytest.mark.parametrize("name", NAMES)
def test_an_attack_stays_at_chance_where_there_is_nothing(name, tmp_path):
    found = headline(name, run(name, null(name), tmp_path))
    widened = found.value - 1.7 * (found.value - found.low)
    assert widened <= found.chance, found


@pytest.mark.parametrize("name", NAMES)
def test_an_attack_repeats_under_its_seed_and_leaves_the_world_alone(name, first_run, tmp_path):
    first, _, untouched = first_run(name)
    assert untouched, "torch's own generator moved"
    torch.rand(5)  # whatever ran in between must not matter
    second = run(name, planted(name), tmp_path, seed=3)
    for a, b in zip(first.measurements, second.measurements, strict=True):
        assert math.isclose(a.value, b.value, abs_tol=1e-6), (a, b)


@pytest.mark.parametrize("name", NAMES)
def test_an_attack_refuses_features_that_are_not_numbers(name, tmp_path):
    from auditor.errors import AuditError

    broken = Target(worlds.NanExtractor(), worlds.people())
    with pytest.raises(AuditError, match="NaN"):
        run(name, broken, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_an_attack_takes_entries_that_are_tracklets(name, tmp_path):
    target = worlds.walking()
    try:
        result = run(name, target, tmp_path)
    except UnsupportedTargetError:
        return
    assert math.isfinite(headline(name, result).value)
