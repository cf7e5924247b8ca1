"""Pooling averages entries of one person, and leaves alone what it cannot tell apart."""

import pytest
import torch
import torch.nn.functional as F

from attacks.inversion.pooling import Pooling, fit_pooling, pool_stored
from attacks.learners import pooling as nearest
from attacks.learners.pooling import nearest_others
from auditor.types import ReIDDataset, RunContext, Target
from tests.unit.attacks.identity.test_rungs import Table, split


def clouds(people, images, spread, dim=16, seed=0):
    generator = torch.Generator().manual_seed(seed)
    centres = torch.randn(people, dim, generator=generator).repeat_interleave(images, 0)
    return centres, centres + spread * torch.randn(len(centres), dim, generator=generator)


def target(features, people, images, release=lambda rows, generator: rows):
    half = people // 2
    gallery = split(0, torch.arange(1, half + 1).repeat_interleave(images))
    auxiliary = split(half * images, torch.arange(half + 1, people + 1).repeat_interleave(images))
    data = ReIDDataset("table", auxiliary, gallery, gallery, auxiliary)
    return Target(Table(features), data, release)


def test_pooled_entries_by_hand():
    entries = torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 2.0]])
    pooled = Pooling(neighbours=1, slope=10.0, offset=-5.0)(entries)
    same, other = torch.sigmoid(torch.tensor([5.0, -5.0])).tolist()
    assert torch.allclose(pooled[0], torch.tensor([1.0, 0.0]))
    # the third entry's nearest is one of the first two, at cosine 0
    assert torch.allclose(pooled[2], torch.tensor([other, 2.0]) / (1 + other))
    assert same > 0.99


@pytest.mark.parametrize("entries", [1, 2, 5, 2100])
def test_every_entry_counts_itself_once_and_no_neighbour_is_missed(entries):
    rows = torch.randn(entries, 6, generator=torch.Generator().manual_seed(1))
    pooled = Pooling(neighbours=3, slope=4.0, offset=-1.0)(rows)
    unit = F.normalize(rows, dim=1).double()
    cosines = unit @ unit.T
    cosines.fill_diagonal_(-2)
    for row in range(0, entries, max(1, entries // 7)):
        near = cosines[row].argsort(descending=True)[: min(3, entries - 1)]
        weights = torch.sigmoid(4.0 * cosines[row, near] - 1.0)
        wanted = (rows[row] + (weights[:, None] * rows[near]).sum(0)) / (1 + weights.sum())
        assert torch.allclose(pooled[row], wanted.float(), atol=1e-5)
    some = torch.arange(entries).flip(0)[::3]
    alone = Pooling(neighbours=3, slope=4.0, offset=-1.0)(rows, some)
    assert torch.allclose(alone, pooled[some], atol=1e-5)


def test_the_nearest_of_many_are_found_in_several_parts(monkeypatch):
    unit = F.normalize(torch.randn(500, 6, generator=torch.Generator().manual_seed(1)), dim=1)
    ((_, whole, places),) = nearest_others(unit, 20)
    monkeypatch.setattr(nearest, "COLUMNS", 17)
    ((_, values, same),) = nearest_others(unit, 20)
    assert torch.allclose(values, whole)
    assert torch.equal(same, places)
    assert not (same == torch.arange(500)[:, None]).any()


def test_pooling_brings_entries_closer_to_their_person():
    centres, features = clouds(people=80, images=10, spread=0.6)
    world = target(features, 80, 10)
    before, after = features[:400], pool_stored(world, torch.arange(400), 9, RunContext())
    gap = [F.cosine_similarity(rows, centres[:400]).mean() for rows in (before, after)]
    assert gap[1] > gap[0] + 0.05


def test_pooling_learns_from_the_release_and_stops_where_noise_hides_everything():
    _, features = clouds(people=80, images=10, spread=0.3)

    def drown(rows, generator):
        return rows + 100 * torch.randn(rows.shape, generator=generator)

    clean = fit_pooling(target(features, 80, 10), 9, RunContext())
    noisy = fit_pooling(target(features, 80, 10, drown), 9, RunContext())
    odds = torch.sigmoid(torch.tensor([p.slope * 0.8 + p.offset for p in (clean, noisy)]))
    assert odds[0] > 0.7
    assert odds[1] < 0.2


def test_auxiliary_people_with_one_picture_each_teach_nothing():
    _, features = clouds(people=40, images=1, spread=0.3)
    world = target(features, 40, 1)
    assert torch.equal(pool_stored(world, torch.arange(20), 5, RunContext()), features[:20])


def test_no_neighbours_means_no_pooling():
    _, features = clouds(people=20, images=4, spread=0.3)
    world = target(features, 20, 4)
    assert torch.equal(pool_stored(world, torch.arange(40), 0, RunContext()), features[:40])
