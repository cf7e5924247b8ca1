"""Lookalikes and composites: what is chosen, what is cut, and that a better part is kept."""

import itertools
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F

from attacks.inversion import Composite, Optimization
from attacks.inversion.composite import candidates, part_masks
from attacks.inversion.lookalike import nearest, stand_ins
from auditor.errors import UnsupportedTargetError
from auditor.types import ReIDDataset
from tests import worlds


def rows(count, dim=5, seed=0):
    return torch.randn(count, dim, generator=torch.Generator().manual_seed(seed))


def test_candidates_are_each_persons_nearest_picture_nearest_person_first():
    clean, entries = rows(30), F.normalize(rows(4, seed=1), dim=1)
    pids = torch.arange(30) % 7
    found = candidates(entries, clean, pids, 3)
    cosines = entries @ F.normalize(clean, dim=1).T
    for row in range(4):
        best = sorted(
            (
                max((float(cosines[row, i]), i) for i in range(30) if i % 7 == pid)
                for pid in range(7)
            ),
            reverse=True,
        )
        assert found[row].tolist() == [i for _, i in best[:3]]


def test_no_more_candidates_than_people():
    assert candidates(F.normalize(rows(2), dim=1), rows(6), torch.arange(6) % 2, 9).shape == (2, 2)


def test_nearest_and_stand_ins():
    clean, pids = rows(50), torch.arange(50) % 9
    assert torch.equal(nearest(clean, clean), torch.arange(50))
    found = stand_ins(clean, clean, pids)
    unit = F.normalize(clean, dim=1)
    for row in range(50):
        others = [i for i in range(50) if pids[i] != pids[row]]
        assert int(found[row]) == max(others, key=lambda i: float(unit[row] @ unit[i]))


@pytest.mark.parametrize("cuts", [(), (0.5,), (0.5, 0.2), (0.125, 0.5, 0.8)])
def test_parts_fill_the_picture_once(cuts):
    masks = part_masks(cuts, 64)
    assert masks.shape == (len(cuts) + 1, 1, 64, 1)
    assert torch.allclose(masks.sum(0), torch.ones(1, 64, 1))
    assert masks.min() >= -1e-6
    # each part reigns in its own middle
    edges = [0.0, *sorted(cuts), 1.0]
    for part, (top, bottom) in enumerate(itertools.pairwise(edges)):
        assert masks[part, 0, int(32 * (top + bottom)), 0] > 0.95


def test_a_composite_embeds_closer_than_the_lookalike_it_starts_from(tmp_path):
    def reached(**fields):
        attack = Composite(**fields)
        note = attack.run(worlds.leaky(), worlds.context(tmp_path)).notes[-1]
        return float(note.rsplit(" ", 1)[1])

    assert reached(rounds=0) < reached(rounds=1) <= reached(rounds=3)


@pytest.mark.parametrize("attack", [Composite(), Optimization()])
def test_without_own_pictures_there_is_nobody_to_look_alike(attack, tmp_path):
    data = worlds.people()
    alone = data.auxiliary.take(torch.zeros(0, dtype=torch.long))
    bare: ReIDDataset = replace(data, auxiliary=alone)
    with pytest.raises(UnsupportedTargetError, match="no auxiliary pictures"):
        attack.run(replace(worlds.leaky(), data=bare), worlds.context(tmp_path))


def test_a_black_box_has_no_gradients_to_descend(tmp_path):
    with pytest.raises(UnsupportedTargetError, match="black box"):
        Optimization().run(worlds.blind(), worlds.context(tmp_path))
