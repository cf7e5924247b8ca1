"""Two crowds of one kind are not told apart, those of two kinds are."""

import pytest
import torch

from auditor.certification.proving import UNLIKE
from auditor.metrics.resemblance import separability


def crowd(seed, people=40, pictures=5, dim=12):
    draw = torch.Generator().manual_seed(seed)
    pids = torch.arange(people).repeat_interleave(pictures)
    centres = torch.randn(people, dim, generator=draw).repeat_interleave(pictures, 0)
    return centres + 0.3 * torch.randn(len(pids), dim, generator=draw), pids


def apart(change, seed=0):
    first, second = crowd(2 * seed + 1), crowd(2 * seed + 2)
    sides = [first, (change(second[0]), second[1])]
    return separability(sides, torch.Generator().manual_seed(seed))


def test_crowds_of_one_kind_are_alike():
    found = [apart(lambda rows: rows, seed) for seed in range(8)]
    assert max(each.low for each in found) < 0.6
    assert sum(each.low <= 0.5 <= each.high for each in found) >= 6


@pytest.mark.parametrize(
    "change",
    [lambda x: x + 3, lambda x: 0.1 * x, lambda x: x.sign(), lambda x: x[:, :1].expand_as(x) + 5],
    ids=["moved", "shrunk", "quantised", "one for all"],
)
def test_crowds_of_two_kinds_are_told_apart(change):
    found = apart(change)
    assert found.value > UNLIKE
    assert found.low > 0.5


def test_of_one_person_on_either_side_nothing_is_sure():
    (first, pids), (second, _) = crowd(1, people=1), crowd(2, people=1)
    found = separability([(first, pids), (second + 9, pids)], torch.Generator().manual_seed(0))
    assert found.low <= 0.5
