"""Movement profiles: figures of clusters against rules spelled out here, cameras, keys."""

from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics.cluster import pair_confusion_matrix

from attacks.movement import Movement, MovementPlda
from attacks.movement.clustering import (
    Sightings,
    centre_cameras,
    choose_height,
    cut_tree,
    grow_tree,
    some_people,
)
from attacks.movement.scoring import pairwise_f1, score_clusters
from auditor.errors import UnsupportedTargetError
from auditor.types import Protection, RunContext
from tests import worlds

RUNGS = (Movement, MovementPlda)
ENTRIES = st.lists(
    st.tuples(st.integers(0, 3), st.integers(0, 3), st.integers(0, 2)), min_size=4, max_size=9
)


def scored(clusters, pids, camids):
    columns = map(torch.tensor, (clusters, pids, camids))
    return {m.metric: m for m in score_clusters(*columns)}


@given(ENTRIES)
@settings(max_examples=80, deadline=None)
def test_figures_are_what_the_rules_say(entries):
    clusters, pids, camids = map(list, zip(*entries, strict=True))
    cameras = {p: {c for _, q, c in entries if q == p} for p in pids if p}
    if not any(len(seen) > 1 for seen in cameras.values()):
        return
    found = scored(clusters, pids, camids)
    pairs = [
        (a, b)
        for a, b in combinations(entries, 2)
        if a[2] != b[2]
        for _ in range((a[1] > 0) + (b[1] > 0))  # a distractor's own side is nobody's
    ]
    hits = sum(a[0] == b[0] and a[1] == b[1] for a, b in pairs)
    linked = sum(a[0] == b[0] for a, b in pairs)
    wanted = sum(a[1] == b[1] for a, b in pairs)
    expected = 2 * hits / (linked + wanted) if linked + wanted else 0.0
    assert found["pairwise_f1"].value == pytest.approx(expected)
    people = [e for e in entries if e[1] > 0]
    both = [sum(o[:2] == e[:2] for o in entries) for e in people]
    precision = np.mean([n / clusters.count(e[0]) for n, e in zip(both, people, strict=True)])
    recall = np.mean([n / pids.count(e[1]) for n, e in zip(both, people, strict=True)])
    f1 = 2 * precision * recall / (precision + recall)
    assert found["bcubed_f1"].value == pytest.approx(f1)
    whole = [
        any(
            {e[2] for e in entries if e[:2] == (cluster, pid)} == seen
            and 2 * sum(e[:2] == (cluster, pid) for e in entries) > clusters.count(cluster)
            for cluster in set(clusters)
        )
        for pid, seen in cameras.items()
        if len(seen) > 1
    ]
    assert found["path_recovered"].value == pytest.approx(np.mean(whole))


def test_with_a_camera_each_the_pairs_are_those_of_scikit_learn():
    rng = np.random.default_rng(0)
    pids, clusters = rng.integers(1, 5, 30), rng.integers(0, 5, 30)
    (_, fp), (fn, tp) = pair_confusion_matrix(pids, clusters)
    columns = map(torch.from_numpy, (clusters, pids, np.arange(30)))
    assert pairwise_f1(*columns) == pytest.approx(2 * tp / (2 * tp + fp + fn))


def test_the_right_clusters_reach_everything_and_the_trivial_ones_chance():
    pids, camids = [1, 1, 1, 2, 2, 3], [0, 1, 2, 0, 1, 0]
    right = scored(pids, pids, camids)
    assert [m.value for m in right.values()] == [1.0, 1.0, 1.0, 1.0]
    assert right["path_recovered"].n == 2, "who was seen by one camera did not move"
    one = scored([0] * 6, pids, camids)
    assert one["pairwise_f1"].value == one["pairwise_f1"].chance
    alone = scored(list(range(6)), pids, camids)
    assert (alone["pairwise_f1"].value, alone["purity"].value) == (0.0, 1.0)
    assert alone["bcubed_f1"].value == one["bcubed_f1"].chance


def test_a_camera_s_own_mean_tells_nobody_apart():
    rows = torch.randn(4, 6).repeat(3, 1)
    camids = torch.arange(3).repeat_interleave(4)
    shifted = torch.nn.functional.normalize(rows, dim=1)
    entries = Sightings(shifted, torch.arange(1, 5).repeat(3), camids)
    centred = centre_cameras(entries)
    assert torch.allclose(centred[:4], centred[4:8], atol=1e-6)
    clusters = cut_tree(grow_tree(centred), choose_height(centred, entries))
    assert pairwise_f1(clusters, entries.pids, camids) == 1.0


def test_too_many_entries_are_left_out_person_by_person():
    pids = torch.arange(50).repeat_interleave(4)
    entries = Sightings(torch.zeros(200, 2), pids, torch.arange(4).repeat(50))
    kept = some_people(entries, 41, RunContext())
    assert kept.pids.unique(return_counts=True)[1].tolist() == [4] * 10


@pytest.mark.parametrize("rung", RUNGS)
def test_one_camera_is_refused(rung):
    data = worlds.leaky().data
    alone = replace(data.gallery, camids=torch.zeros_like(data.gallery.camids))
    target = replace(worlds.leaky(), data=replace(data, gallery=alone))
    with pytest.raises(UnsupportedTargetError, match="0 people were seen by two known cameras"):
        rung().run(target, RunContext())


def test_keys_per_camera_need_a_protection_of_pictures():
    with pytest.raises(UnsupportedTargetError, match="keys per camera"):
        Movement(camera_keys=True).run(worlds.leaky(), RunContext())


@dataclass(frozen=True)
class KeyedChannels:
    """Shuffles the channels of all pictures by one key, and turns some of them into negatives."""

    def __call__(self, split, generator):
        order = torch.randperm(3, generator=generator)
        signs = torch.randint(2, (3,), generator=generator)[:, None, None]

        def change(images):
            return torch.where(signs.bool(), 1 - images, images)[:, order]

        return worlds.Altered(change)(split, generator)


def test_keys_per_camera_hide_paths_that_one_key_shows():
    bare, keyed = worlds.leaky(), KeyedChannels()
    gallery = keyed(bare.data.gallery, torch.Generator().manual_seed(1))
    target = replace(
        bare,
        data=replace(bare.data, gallery=gallery),
        protection=Protection(originals=bare.data.gallery, publish=keyed),
    )
    one, each = (
        Movement(camera_keys=keys).run(target, RunContext()).measurements[0]
        for keys in (False, True)
    )
    assert one.value > 0.9
    assert each.value < one.value - 0.3


@pytest.mark.parametrize("rung", RUNGS)
def test_two_people_by_two_cameras_are_the_least(rung):
    with pytest.raises(ValueError, match="entries"):
        rung(entries=3)
