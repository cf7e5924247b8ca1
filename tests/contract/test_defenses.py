"""What every installed defense owes the core."""

import csv
import dataclasses
import stat

import pytest
import torch

from auditor import plugins
from auditor.data import open_dataset
from auditor.embedding import features_of, stored_gallery
from auditor.errors import UnsupportedTargetError
from auditor.evaluation.claims import apply_defense, void_undone
from auditor.evaluation.utility import search
from auditor.types import Exporter, Target
from defenses.publish.folder import SECRET
from tests import worlds
from tests.unit.auditor.evaluation.test_claims import TRAINED

NAMES = list(plugins.installed("defenses"))
STRONG = {"dp_gallery": {"epsilon": 1.0}}
"""Settings under which a defense must take the leaky world to the blind one."""
HIDING = {
    "blur": {"kernel": (63, 31), "image_size": (32, 16)},
    "pixelation": {"block": 64},
    "random_image": {},
}
"""Protections of pictures keep people apart; they must hide which clean picture is whose."""
MILD = {
    "dp_gallery": {"epsilon": 1e6},
    "deid": {"lr": 1e-6},
    "adversarial": {"lr": 1e-6},
    "federated": {"lr": 1e-6},
    "retrain": {"lr": 1e-6},
    "remove_head": {"head": 0.0},
    "remove_body": {"head": 1.0},
    "blur": {"kernel": (1, 1)},
    "pixelation": {"block": 1},
    "downscale": {"image_size": (128, 64)},
}
"""Settings under which a defense hardly changes anything."""


def build(name, **params):
    if name == "deployed":
        params["folder"] = str(worlds.written())
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
    promised = dataclasses.replace(victim(name), claims=(TRAINED,))
    once = defense.apply(promised, ctx)
    twice = defense.apply(once, ctx)
    assert twice.claims[: len(once.claims)] == once.claims
    trains = once.extractor is not promised.extractor
    assert trains == (name in worlds.RETRAINED)
    assert (void_undone(promised, once, name).claims[0].verdict == "VOID") == trains
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


@pytest.mark.parametrize("name", HIDING)
def test_hidden_people_are_not_found_by_a_clean_picture_of_them(name, tmp_path):
    ctx = worlds.context(tmp_path)
    attack = plugins.build("attacks", "identity_retrieval", {})
    metric = "own_rank1" if name == "random_image" else "retrieved_rank1"
    bare = attack.run(worlds.leaky(), ctx).measurements[0]
    found = attack.run(build(name, **HIDING[name]).apply(worlds.leaky(), ctx), ctx).measurements
    hidden = next(m for m in found if m.metric == metric)
    assert hidden.high < bare.low
    assert hidden.low <= 2 * hidden.chance


@pytest.mark.parametrize("name", [name for name in NAMES if name not in STRONG])
def test_protected_pictures_come_with_everything_their_judges_need(name, tmp_path):
    target, ctx = victim(name), worlds.context(tmp_path)
    protected = build(name).apply(target, ctx)
    if protected.publish is None:
        pytest.skip("it does not protect pictures")
    assert protected.originals_of_gallery is target.data.gallery
    assert protected.data.query is target.data.query
    for before, after in (
        (target.data.gallery, protected.data.gallery),
        (target.data.query, protected.deployed_query),
    ):
        assert torch.equal(before.pids, after.pids)
        assert torch.equal(before.camids, after.camids)
    own = protected.publish(target.data.auxiliary, ctx.generator("own"))
    assert torch.equal(own.pids, target.data.auxiliary.pids)
    assert own.images.load([0, 1], (32, 16)).shape == (2, 3, 32, 16)


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


@pytest.mark.parametrize("name", NAMES)
def test_protected_pictures_are_written_under_fresh_labels_and_the_way_back_lies_apart(
    name, tmp_path
):
    ctx, target = worlds.context(tmp_path / "secret"), victim(name)
    defense = build(name)
    protected = defense.apply(target, ctx)
    if protected.publish is None:
        pytest.skip("it does not protect pictures")
    assert isinstance(defense, Exporter)
    out = tmp_path / "out"
    out.mkdir()
    facts = defense.export(protected, ctx, out)
    written = open_dataset(out)
    with (tmp_path / "secret" / SECRET).open() as file:
        secret = {row["path"]: row for row in csv.DictReader(file)}
    with (out / "manifest.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert secret.keys() == {row["path"] for row in rows}
    assert stat.S_IMODE((tmp_path / "secret" / SECRET).stat().st_mode) == 0o600
    source = {"query": protected.data.query, "gallery": protected.originals_of_gallery}
    for part, clean in source.items():
        shown = getattr(written, part)
        assert len(shown) == len(clean) == facts["images"][part]
        assert not set(shown.pids.tolist()) & set(clean.pids.tolist())
        back = sorted(
            int(secret[row["path"]]["source_pid"]) for row in rows if row["split"] == part
        )
        assert back == sorted(clean.pids.tolist())
    size = tuple(facts["image_size"])
    wanted = protected.data.gallery.images.load(range(len(protected.data.gallery)), size)
    given = written.gallery.images.load(range(len(written.gallery)), size)
    # the order is random, so the pictures are compared as a set
    digests = [
        sorted((x * 255).round().byte().numpy().tobytes() for x in images)
        for images in (wanted, given)
    ]
    assert digests[0] == digests[1]


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_a_defense_keeps_entries_that_are_tracklets(name, tmp_path):
    if name == "deployed":  # whose rows were written for other entries
        return
    extractor = worlds.trainable().extractor if name in worlds.RETRAINED else None
    target = worlds.walking()
    target = dataclasses.replace(target, extractor=extractor or target.extractor)
    ctx = worlds.context(tmp_path)
    defended = apply_defense(build(name, **STRONG.get(name, {})), target, ctx)
    assert torch.equal(defended.data.gallery.pids, target.data.gallery.pids)
    assert stored_gallery(defended, ctx).shape[0] == len(target.data.gallery)
