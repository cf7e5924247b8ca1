"""Unpaired alignment: shapes are recognised, pairs help, grouping, own networks, refusals."""

from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from attacks.alignment import Alignment
from attacks.alignment.crowds import Crowd, group_entries, guess_people, know_people
from attacks.alignment.matching import Anchors, align, couple, mutual, rotate
from attacks.attribute.pooling import fit_whitening
from attacks.protocol.own_network import own_network
from auditor.errors import UnsupportedTargetError, UsageError
from auditor.types import RunContext, Target
from tests import worlds


def cloud(people, *, pictures=6, dim=24, seed=0):
    """Rows of people who lie about a curved shape, unlike a Gaussian, and their pids."""
    generator = torch.Generator().manual_seed(seed)
    centres = torch.randn(people, dim, generator=generator).exp()
    rows = centres.repeat_interleave(pictures, 0)
    pids = torch.arange(1, people + 1).repeat_interleave(pictures)
    return rows + 0.2 * torch.randn(rows.shape, generator=generator), pids


def turn_of(dim, seed=5):
    generator = torch.Generator().manual_seed(seed)
    return torch.linalg.qr(torch.randn(dim, dim, generator=generator)).Q


def crowds(people=40):
    rows, pids = cloud(people)
    own, stored = rows[::2], rows[1::2] @ turn_of(24)
    known = know_people(own, pids[::2], fit_whitening(own, pids[::2]), 100)
    return known, guess_people(stored, people, 100), pids[::2], pids[1::2]


def none_known(own, stored):
    return Anchors(own.rows[:0], stored.rows[:0])


def test_a_crowd_is_recognised_by_its_shape_and_turned_back():
    own, stored, asked, pids = crowds()
    turn = align(own, stored, none_known(own, stored), 4, torch.Generator().manual_seed(0))
    assert torch.allclose(turn @ turn.T, torch.eye(24), atol=1e-4)
    nearest = (own.rows @ turn @ stored.rows.T).argmax(1)
    assert (pids[nearest] == asked).float().mean() > 0.9


def test_couplings_keep_their_sides_and_repeat_under_a_seed():
    own, stored, _, _ = crowds(12)
    no = none_known(own, stored)
    first, second = (couple(own, stored, no, 2, torch.Generator().manual_seed(0)) for _ in range(2))
    assert np.array_equal(first, second)
    assert first.sum(0) == pytest.approx(stored.weights, abs=1e-6)
    assert first.sum(1) == pytest.approx(own.weights, abs=2e-2)


def test_known_pairs_tell_what_shapes_do_not():
    """Gaussian people, all alike from everywhere, in two spaces."""
    generator = torch.Generator().manual_seed(0)
    centres = torch.randn(30, 24, generator=generator)
    views = [centres + 0.6 * torch.randn(30, 24, generator=generator) for _ in range(2)]
    plain = fit_whitening(torch.randn(60, 24, generator=generator), torch.arange(60))
    units = [F.normalize(view - view.mean(0), dim=1) for view in (views[0], views[1] @ turn_of(24))]
    own, stored = (Crowd.of(plain, rows, rows, torch.ones(30)) for rows in units)
    others = F.normalize(torch.randn(200, 24, generator=generator), dim=1)
    pairs = Anchors(others, others @ turn_of(24))
    right = [
        float(
            (own.rows @ align(own, stored, known, 1, generator) @ stored.rows.T)
            .argmax(1)
            .eq(torch.arange(30))
            .float()
            .mean()
        )
        for known in (none_known(own, stored), pairs)
    ]
    assert right[1] > 0.9 > right[0]


def test_groups_are_of_one_person_and_small_ones_are_left_out():
    rows, pids = cloud(10)
    groups = group_entries(rows - rows.mean(0), 10)
    pairs = {(int(g), int(p)) for g, p in zip(groups, pids, strict=True)}
    assert len(pairs) == 10
    lone = torch.cat([rows, 9 * torch.eye(24)[:1]])
    crowd = guess_people(lone, 10, 100)
    assert len(crowd.rows) == 61
    assert crowd.weights.sum() == pytest.approx(1)
    assert crowd.weights.min() > 1.5 / 61
    assert len(guess_people(lone, 10, 6).people) == 6


def test_mutual_neighbours_are_each_other_s_first():
    rows = torch.eye(4)
    first, second = mutual(rows[[0, 1, 2]], rows[[2, 0, 3]])
    assert {(int(a), int(b)) for a, b in zip(first, second, strict=True)} >= {(0, 1), (2, 0)}


def test_the_nearest_rotation_is_procrustes_solution():
    from scipy.linalg import orthogonal_procrustes

    generator = torch.Generator().manual_seed(0)
    a, b = (torch.randn(20, 5, generator=generator).double() for _ in range(2))
    expected, _ = orthogonal_procrustes(a.numpy(), b.numpy())
    assert rotate(a.T @ b).numpy() == pytest.approx(expected, abs=1e-5)


def test_the_shipped_network_stands_in_for_a_judge_that_is_the_target_itself():
    target = worlds.leaky()
    ctx = replace(RunContext(), judges={"target": target.extractor, "same": target.extractor})
    assert own_network("same", target, ctx)[1] == "the shipped network"
    assert own_network("", target, ctx)[1] == "the shipped network"
    ctx = replace(ctx, judges={"other": worlds.trainable().extractor})
    assert own_network("other", target, ctx) == (worlds.trainable().extractor, "other")
    with pytest.raises(UnsupportedTargetError, match="not a judge"):
        own_network("nobody", target, ctx)


def test_whoever_attacks_the_shipped_network_needs_another():
    with pytest.raises(UnsupportedTargetError, match="would be the adversary's own"):
        own_network("", Target(worlds.turned().extractor.network, worlds.people()), RunContext())


def test_the_audited_model_is_nobody_s_own():
    with pytest.raises(UsageError, match="audited model"):
        Alignment(own_model="target")


def test_three_people_are_no_crowd():
    data = worlds.leaky().data
    few = data.query.take((data.query.pids <= 3).nonzero().flatten())
    with pytest.raises(UnsupportedTargetError, match="show 3 people"):
        Alignment().run(replace(worlds.leaky(), data=replace(data, query=few)), RunContext())


def test_no_more_known_pairs_are_told_of_than_there_are_own_pictures():
    attack = Alignment(pairs=9999, starts=1, curve=(5, 9999), min_people=5)
    result = attack.run(worlds.turned(), RunContext())
    assert "and 240 known pairs" in result.notes[0]
    assert result.notes[1] == "no search with 9999 known pairs: there are 240 own pictures"
    assert [point[0] for point in result.curves[0].points] == [5]
