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
    centre_cameras,
    choose_height,
    cut_tree,
    grow_tree,
    shuffle_times,
)
from attacks.movement.scoring import pairwise_f1, score_clusters
from attacks.movement.sightings import Sightings, some_people
from attacks.movement.timing import UNTIMED, Clock, GapTable, set_clock
from auditor.errors import UnsupportedTargetError
from auditor.types import Protection, RunContext
from tests import worlds

RUNGS = (Movement, MovementPlda)
ENTRIES = st.lists(
    st.tuples(st.integers(0, 3), st.integers(0, 3), st.integers(0, 2)), min_size=4, max_size=9
)


def scored(clusters, pids, camids, times=None):
    clusters, pids, camids = map(torch.tensor, (clusters, pids, camids))
    times = None if times is None else torch.tensor(times, dtype=torch.float64)
    entries = Sightings(torch.zeros(len(pids), 2), pids, camids, times)
    return {m.metric: m for m in score_clusters(clusters, entries)}


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
    entries = Sightings(torch.zeros(30, 1), torch.from_numpy(pids), torch.arange(30))
    found = pairwise_f1(torch.from_numpy(clusters), entries)
    assert found == pytest.approx(2 * tp / (2 * tp + fp + fn))


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
    height = choose_height(centred, entries, UNTIMED)
    clusters = cut_tree(grow_tree(centred, entries, UNTIMED), height)
    assert pairwise_f1(clusters, entries) == 1.0


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


TIMED = st.lists(
    st.tuples(st.integers(0, 2), st.integers(0, 2), st.integers(0, 2), st.integers(0, 99)),
    min_size=4,
    max_size=9,
    unique_by=lambda entry: entry[3],
)


def walk_of(entries):
    """The cameras that (…, camera, time) come by, in the order of time, stays as one."""
    cameras = [camera for *_, camera, _ in sorted(entries, key=lambda entry: entry[3])]
    return [c for c, before in zip(cameras, [None, *cameras], strict=False) if c != before]


@given(TIMED)
@settings(max_examples=80, deadline=None)
def test_with_times_a_path_is_its_cameras_in_order(entries):
    clusters, pids, camids, times = map(list, zip(*entries, strict=True))
    people = {
        pid: walk_of([e for e in entries if e[1] == pid])
        for pid in set(pids) - {0}
        if len({e[2] for e in entries if e[1] == pid}) > 1
    }
    if not people:
        return
    followed = [
        any(
            walk_of(members) == walk and 2 * sum(e[1] == pid for e in members) > len(members)
            for members in ([e for e in entries if e[0] == cluster] for cluster in set(clusters))
        )
        for pid, walk in people.items()
    ]
    found = scored(clusters, pids, camids, times)["path_recovered"]
    assert (found.value, found.n) == (pytest.approx(np.mean(followed)), len(people))


def test_an_entry_without_a_time_is_no_part_of_a_path():
    found = scored([0, 0, 0], [1, 1, 1], [0, 1, 2], [5.0, 1.0, float("nan")])
    assert found["path_recovered"].value == 1.0


def test_what_gaps_tell_is_counted_in_bins_of_equally_many_pairs():
    rng = np.random.default_rng(0)
    one, two = rng.gamma(4, 20, 200), rng.uniform(0, 900, 5000)
    table = GapTable.of(np.concatenate([one, two]), np.arange(5200) < 200)
    edges = np.quantile(one, np.linspace(0, 1, 11)[1:])
    bins = [-1, *np.nextafter(edges, np.inf), 1e9]
    counts = [np.histogram(gaps, bins)[0] + 1 for gaps in (one, two)]
    expected = np.log(counts[0] / 211) - np.log(counts[1] / 5011)
    assert np.allclose(table.ratios, expected)
    near, soon, far, unknown = table(np.array([0.0, 80.0, 800.0, np.nan]))
    assert near < soon > 1
    assert far < -3
    assert unknown == 0
    few = GapTable.of(one[:30], np.arange(30) < 20)
    assert not few(np.array([0.0, 50.0])).any(), "twenty pairs tell nothing"


def walkers(people, dim=6, alike=1.0, seed=0):
    """People who pass three cameras a minute apart; ``alike`` of their spread is a picture's."""
    rng = np.random.default_rng(seed)
    pids = np.arange(1, people + 1).repeat(3)
    rows = rng.normal(size=(people, dim)).repeat(3, axis=0)
    rows += alike * rng.normal(size=rows.shape)
    times = rng.uniform(0, 36000, people).repeat(3) + np.tile([0, 60, 120], people)
    times += rng.normal(0, 5, len(times))
    columns = (torch.tensor(c) for c in (pids, np.tile(np.arange(3), people), times))
    return Sightings(torch.tensor(rows).float(), *columns)


def test_distances_are_cosines_and_what_times_tell():
    entries = walkers(4)
    table = GapTable(np.array([90.0]), np.array([2.0, -1.0]))
    clock = Clock(table, GapTable(np.empty(0), np.zeros(1)), 0.5)
    found = clock.distances(entries.features, entries)
    unit = torch.nn.functional.normalize(entries.features.double(), dim=1)
    expected = []
    for one, two in combinations(range(12), 2):
        ratio = 2.0 if abs(entries.times[one] - entries.times[two]) <= 90 else -1.0
        ratio = ratio if entries.camids[one] != entries.camids[two] else 0.0
        expected.append(1 - float(unit[one] @ unit[two]) + 0.5 * (2.0 - ratio))
    assert np.allclose(found, expected, atol=1e-6)
    assert (found >= 0).all()


def test_times_weigh_the_more_the_less_features_tell():
    weights = [set_clock([(e.features, e)], 0).weight for e in (walkers(80), walkers(80, alike=5))]
    assert 0 < weights[0] < weights[1]
    untold = replace(walkers(80), times=None)
    assert set_clock([(untold.features, untold)], 0) is UNTIMED


def timed(target):
    """The same people, each with a minute from camera to camera after an arrival of their own."""

    def tell(split):
        rng = [np.random.default_rng(pid) for pid in split.pids.tolist()]
        arrivals = torch.tensor([r.uniform(0, 36000) for r in rng], dtype=torch.float64)
        return replace(split, times=arrivals + 60.0 * split.camids)

    data = target.data
    told = replace(data, gallery=tell(data.gallery), auxiliary=tell(data.auxiliary))
    return replace(target, data=told)


@pytest.mark.parametrize("rung", RUNGS)
def test_times_link_what_features_do_not_and_other_people_s_times_do_not(rung):
    ctx = RunContext()
    untimed = {m.metric: m for m in rung().run(worlds.blind(), ctx).measurements}
    found = {m.metric: m for m in rung().run(timed(worlds.blind()), ctx).measurements}
    assert "pairwise_f1_untimed" not in untimed
    assert found["pairwise_f1"].value > 0.8
    assert found["path_recovered"].value > 0.5
    assert found["pairwise_f1_untimed"].value == pytest.approx(untimed["pairwise_f1"].value)
    null = rung().run(rung().make_null(timed(worlds.leaky()), ctx), ctx).measurements[0]
    assert null.low <= null.chance


def test_shuffled_times_are_the_same_times():
    gallery = timed(worlds.leaky()).data.gallery
    shuffled = shuffle_times(gallery, torch.Generator().manual_seed(0))
    assert not torch.equal(shuffled.times, gallery.times)
    assert torch.equal(shuffled.times.sort().values, gallery.times.sort().values)
    assert shuffle_times(worlds.people().gallery, torch.Generator()).times is None


def test_people_of_whom_nothing_is_learned_are_followed_by_features_alone():
    target = timed(worlds.leaky())
    data = replace(target.data, auxiliary=worlds.leaky().data.auxiliary)
    result = Movement().run(replace(target, data=data), RunContext())
    metrics = {m.metric for m in result.measurements}
    assert metrics == {"pairwise_f1", "bcubed_f1", "path_recovered", "purity"}
    assert "tells nothing" in " ".join(result.notes)
