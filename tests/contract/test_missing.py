"""Attacks on people of whom something is not known: they are measured, or the reason is said."""

from dataclasses import replace

import pytest
import torch

from auditor import plugins
from auditor.data.features import FeatureRows, StoredFeatures
from auditor.embedding import features_of
from auditor.errors import UnsupportedTargetError
from tests import worlds

FAMILIES = ("search", "movement", "description", "distribution", "extraction", "alignment")
FEWEST = {"queries": 100}
SETTINGS = {
    **worlds.QUICK,
    "model_extraction": FEWEST,
    "model_extraction_network": {**FEWEST, "epochs": 1, "steps": 1},
}


def build(name):
    return plugins.build("attacks", name, SETTINGS.get(name, {}))


NAMES = [n for n in plugins.installed("attacks") if getattr(build(n), "family", "") in FAMILIES]


def of_all(change):
    """Apply ``change`` to every split."""

    def changed(target):
        data = target.data
        splits = {name: change(getattr(data, name)) for name in ("query", "gallery", "auxiliary")}
        return replace(target, data=replace(data, **splits, train=splits["auxiliary"]))

    return changed


def few_searches(target):
    query = target.data.query
    some = torch.arange(len(query)).chunk(8)
    few = query.take(torch.stack([rows[0] for rows in some]))
    return replace(target, data=replace(target.data, query=few))


def two_others(target):
    auxiliary = target.data.auxiliary
    first = auxiliary.pids.unique()[:2]
    rows = torch.isin(auxiliary.pids, first).nonzero().flatten()
    return replace(target, data=replace(target.data, auxiliary=auxiliary.take(rows)))


def features_alone(target):
    def stored(split):
        rows = features_of(target.extractor, split, worlds.plain_context())
        return replace(split, images=FeatureRows(rows))

    alone = of_all(stored)(target)
    return replace(alone, extractor=StoredFeatures(target.extractor.feature_dim))


WORLDS = {
    "no attributes": of_all(lambda split: replace(split, attributes={})),
    "no times": of_all(lambda split: replace(split, times=None, tracklets=None)),
    "one camera": of_all(lambda split: replace(split, camids=torch.zeros_like(split.camids))),
    "no cameras": of_all(lambda split: replace(split, camids=torch.full_like(split.camids, -1))),
    "few searches": few_searches,
    "two others": two_others,
    "features alone": features_alone,
}
NEEDED = {
    ("no attributes", "description"): "no attribute is annotated on both sides; add",
    ("no attributes", "distribution"): "no attribute is annotated on both sides; add",
    ("one camera", "movement"): "0 people were seen by two known cameras",
    ("no cameras", "movement"): "0 people were seen by two known cameras",
    ("few searches", "search"): "8 searches are for people who are absent",
    ("two others", "description"): "no attribute is annotated with two values that 3 people carry",
    ("two others", "distribution"): "no attribute is annotated with two values that 5 people carry",
    ("two others", "movement_plda"): "how people differ is learned from four or more others",
    ("two others", "alignment"): "pictures that are the adversary's own show 2 people",
    ("features alone", "alignment"): "this needs pictures, and the features came without any",
    ("features alone", "extraction"): "the features came without it",
}
"""(world, family or attack) -> why there is nothing to measure. Everything else is measured."""


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("world", WORLDS)
def test_what_is_missing_is_said_or_is_not_needed(world, name, tmp_path):
    attack = build(name)
    target = WORLDS[world](worlds.walking())
    data = replace(target.data, cross_camera=target.data.cross_camera and "camera" not in world)
    target, ctx = replace(target, data=data), worlds.context(tmp_path)
    reason = NEEDED.get((world, attack.family), NEEDED.get((world, name)))
    if reason is None:
        assert attack.run(target, ctx).measurements
        return
    with pytest.raises(UnsupportedTargetError, match=reason):
        attack.run(target, ctx)
