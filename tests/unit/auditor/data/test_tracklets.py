"""Entries that are tracklets: pooled as the formulas say, whatever the pictures went through."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch

from auditor.data.features import FeatureRows, StoredFeatures
from auditor.data.joining import join_splits
from auditor.data.records import records_of
from auditor.data.synthetic import make_world
from auditor.data.tracklets import (
    ByPicture,
    has_tracklets,
    look_behind,
    pictures_of,
    pool_dataset,
    pool_rows,
    pool_split,
    split_tracklets,
)
from auditor.data.tracks import read_tracks
from auditor.embedding import features_of
from auditor.errors import DataError, UnsupportedTargetError
from auditor.evaluation.claims import apply_defense
from auditor.types import MemoryImages, ReIDDataset, RunContext, Split, Target
from defenses.publish.publish import protect
from tests import worlds

PIDS = [1, 1, 1, 1, 2, 2, 0, 0]
CAMIDS = [0, 0, 1, 1, 0, 0, 0, 0]
TRACKLETS = [5, 5, 5, 5, 5, -1, -1, -1]
TIMES = [3.0, 1.0, 7.0, float("nan"), 2.0, 4.0, 8.0, 9.0]
GROUPS = [[1, 0], [3, 2], [4], [5], [6], [7]]
"""Rows of each entry, in the order of time; a picture without a time comes first."""


@pytest.fixture
def split():
    generator = torch.Generator().manual_seed(0)
    pixels = torch.randint(256, (8, 3, 4, 2), generator=generator, dtype=torch.uint8)
    pids, camids, tracklets = map(torch.tensor, (PIDS, CAMIDS, TRACKLETS))
    times = torch.tensor(TIMES, dtype=torch.float64)
    shown = {"bag": torch.arange(8) % 2}
    return Split(MemoryImages(pixels), pids, camids, shown, tracklets=tracklets, times=times)


def by_agreement(rows):
    """The quality-weighted mean of a tracklet's features, spelled out."""
    unit = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    centre = unit.mean(0) / np.linalg.norm(unit.mean(0))
    weights = np.maximum(unit @ centre, 0) + 1e-6
    return weights @ rows / weights.sum()


REFERENCES = {"mean": lambda rows: rows.mean(0), "quality": by_agreement}


@pytest.mark.parametrize("pooling", REFERENCES)
def test_rows_are_pooled_as_the_formula_says(pooling):
    rows = np.random.default_rng(0).normal(size=(9, 5)).astype(np.float32)
    groups = [[0, 1, 2, 3], [4], [5, 6, 7, 8]]
    found = pool_rows(torch.from_numpy(rows), groups, pooling).numpy()
    expected = np.stack([REFERENCES[pooling](rows[group]) for group in groups])
    assert np.allclose(found, expected, atol=1e-6)
    assert np.array_equal(found[1], rows[4]), "a single picture stays as it is, to the last bit"


def test_a_picture_that_agrees_with_no_other_counts_for_less_by_quality():
    rows = torch.tensor([[1.0, 0.1], [1.0, -0.1], [-1.0, 1.0]])
    plain, weighed = (pool_rows(rows, [range(3)], pooling)[0] for pooling in ("mean", "quality"))
    assert weighed[0] > plain[0] + 0.3
    opposite = torch.tensor([[1.0, 0.0], [-1.0, 0.0]])
    assert pool_rows(opposite, [range(2)], "quality").isfinite().all()


def test_a_tracklet_is_of_one_person_by_one_camera_and_nobody_s_pictures_stay_alone(split):
    pooled = pool_split(split, "mean")
    assert [list(group) for group in look_behind(pooled.images).groups] == GROUPS
    assert pooled.pids.tolist() == [1, 1, 2, 2, 0, 0]
    assert pooled.camids.tolist() == [0, 1, 0, 0, 0, 0]
    assert pooled.times.tolist() == [2.0, 7.0, 2.0, 4.0, 8.0, 9.0]
    middles = torch.tensor([0, 2, 4, 5, 6, 7])
    assert torch.equal(pooled.attributes["bag"], split.attributes["bag"][middles])
    shown = pooled.images.load(range(6), (4, 2))
    assert torch.equal(shown, split.images.load(middles.tolist(), (4, 2)))


@pytest.mark.parametrize("pooling", REFERENCES)
def test_features_are_those_of_all_pictures_pooled(split, pooling):
    extractor, ctx = worlds.Flatten(), RunContext()
    single = features_of(extractor, split, ctx).numpy()
    expected = np.stack([REFERENCES[pooling](single[group]) for group in GROUPS])
    pooled = pool_split(split, pooling)
    assert np.allclose(features_of(extractor, pooled, ctx), expected, atol=1e-6)
    some = pooled.take(torch.tensor([4, 0, 1]))
    assert np.allclose(features_of(extractor, some, ctx), expected[[4, 0, 1]], atol=1e-6)
    both = join_splits(split, some)
    joined = np.concatenate([single, expected[[4, 0, 1]]])
    assert np.allclose(features_of(extractor, both, ctx), joined, atol=1e-6)
    assert both.times.tolist()[8:] == [8.0, 2.0, 7.0]


def test_stored_rows_are_pooled_like_pictures(split):
    rows = torch.randn(8, 5, generator=torch.Generator().manual_seed(1))
    stored = pool_split(replace(split, images=FeatureRows(rows)), "mean")
    found = features_of(StoredFeatures(5), stored.take(torch.tensor([1, 0])), RunContext())
    assert torch.allclose(found, torch.stack([rows[2:4].mean(0), rows[:2].mean(0)]))


def test_pictures_come_back_with_their_person_s_labels(split):
    single = pictures_of(pool_split(split, "mean"))
    order = [row for group in GROUPS for row in group]
    assert single.pids.tolist() == [PIDS[row] for row in order]
    shown = single.images.load(range(8), (4, 2))
    assert torch.equal(shown, split.images.load(order, (4, 2)))
    assert pictures_of(split) is split


@pytest.mark.parametrize("publish", worlds.INVERTIBLE.values(), ids=worlds.INVERTIBLE)
def test_a_protection_changes_every_picture_behind_an_entry(split, publish):
    extractor, ctx, nobody = worlds.Flatten(), RunContext(), torch.Generator()
    pooled = ByPicture(publish)(pool_split(split, "mean"), nobody)
    single = features_of(extractor, publish(split, nobody), ctx).numpy()
    expected = np.stack([single[group].mean(0) for group in GROUPS])
    assert np.allclose(features_of(extractor, pooled, ctx), expected, atol=1e-6)
    assert torch.equal(pooled.pids, pool_split(split, "mean").pids)


def test_a_record_has_another_name_once_any_of_its_pictures_is_another(split):
    pixels = split.images.pixels.clone()
    pixels[1] = 255 - pixels[1]
    other = replace(split, images=MemoryImages(pixels))
    one, two = (
        records_of(worlds.Flatten(), pool_split(some, "mean"), RunContext())
        for some in (split, other)
    )
    assert (one != two).any(1).tolist() == [True, False, False, False, False, False]


@pytest.fixture(scope="module")
def walking():
    return make_world(identities=4, auxiliary=4, cameras=2, images_per_camera=4, walks=True)


def test_tracklets_are_pooled_where_they_are_known_unless_told_otherwise(walking):
    assert pool_dataset(walking, "none") is walking
    pooled = pool_dataset(walking, "auto")
    assert [len(s) for s in (pooled.query, pooled.gallery, pooled.auxiliary)] == [8, 8, 8]
    assert pooled.train is walking.train, "networks are trained on pictures"
    assert pooled.facts["entries"] == {"query": 8, "gallery": 8, "auxiliary": 8}
    assert "64 pictures are stored as 24 entries" in pooled.facts["notices"][-1]
    assert [len(s) for s in (split_tracklets(pooled).gallery, walking.gallery)] == [24, 24]
    still = make_world(identities=4, auxiliary=4)
    assert pool_dataset(still, "auto") is still
    with pytest.raises(DataError, match="add a column 'tracklet', or leave pooling out"):
        pool_dataset(still, "quality")


def test_arrays_may_come_with_tracklets_and_times():
    pixels = torch.zeros(6, 3, 4, 2, dtype=torch.uint8)
    columns = (pixels, [1, 1, 2, 2, 3, 4], [0] * 6, ["gallery"] * 3 + ["query"] + ["train"] * 2)
    names = ["a", "a", "b", None, "c", ""]
    data = ReIDDataset.from_arrays(*columns, tracklets=names, times=[1, 2, 3, 4, 5, np.nan])
    assert data.gallery.tracklets.tolist() == [0, 0, 1]
    assert data.query.tracklets.tolist() == [-1]
    assert data.gallery.times.tolist() == [1.0, 2.0, 3.0]
    assert len(pool_dataset(data, "auto").gallery) == 2
    with pytest.raises(DataError, match="times has 2 values for 6 images"):
        ReIDDataset.from_arrays(*columns, times=[1, 2])
    with pytest.raises(DataError, match="times are not numbers"):
        ReIDDataset.from_arrays(*columns, times=["noon"] * 6)
    with pytest.raises(DataError, match="finite"):
        ReIDDataset.from_arrays(*columns, times=[np.inf] * 6)


def test_columns_of_a_table_are_read_under_any_of_their_names():
    texts = pd.DataFrame(
        {"Track": ["x", "", "x"], "TimeStamp": ["1", "", "2.5"], "bag": list("aba")}
    )
    columns = read_tracks(texts).of(texts.index)
    assert columns["tracklets"].tolist() == [0, -1, 0]
    assert columns["times"].nan_to_num(-9).tolist() == [1.0, -9.0, 2.5]
    empty = read_tracks(pd.DataFrame({"tracklet": ["", ""], "time": ["", ""]}))
    assert (empty.of(pd.RangeIndex(2)), empty.notices) == ({}, ())
    odd = read_tracks(pd.DataFrame({"time": ["1", "morning"]}))
    assert odd.of(pd.RangeIndex(2)) == {}
    assert "'time' is not used" in odd.notices[0]


def test_a_defense_that_protects_one_picture_of_each_tracklet_is_refused(walking):
    target = Target(worlds.Flatten(), pool_dataset(walking, "mean"))
    mirror = worlds.INVERTIBLE["mirrored"]

    class Whole:
        def apply(self, target, ctx):
            return protect(target, mirror, ctx, "whole")

    class Middle:
        def apply(self, target, ctx):
            return worlds.altered(target, mirror)

    protected = apply_defense(Whole(), target, RunContext())
    assert look_behind(protected.data.gallery.images) is not None
    assert has_tracklets(protected.data.gallery)
    with pytest.raises(UnsupportedTargetError, match="one picture of each tracklet"):
        apply_defense(Middle(), target, RunContext())


def test_a_second_before_the_first_is_a_time_that_is_known():
    texts = pd.DataFrame({"tracklet": ["a", "", "b"], "time": ["-1", "0", ""]})
    known = read_tracks(texts).known()
    assert known["tracklet"].tolist() == [True, False, True]
    assert known["time"].tolist() == [True, True, False]
