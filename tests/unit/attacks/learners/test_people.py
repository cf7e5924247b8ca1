"""Sums, means and spreads over people, beside numpy's and SciPy's."""

import numpy as np
import torch
from scipy import ndimage

from attacks.learners.people import (
    PersonMeans,
    covariance_within,
    group_rows,
    sum_groups,
    whitening_axes,
)
from auditor.row_blocks import BLOCK

DRAW = torch.Generator().manual_seed(3)
PIDS = torch.tensor([7, 2, 7, 7, 9, 2])
ROWS = torch.randn(6, 4, generator=DRAW).double()


def test_sums_over_groups_keep_those_nobody_is_in():
    groups = torch.tensor([2, 0, 2, 2, 3, 0])
    wanted = [ndimage.sum_labels(column, groups, range(5)) for column in ROWS.T.numpy()]
    assert np.allclose(sum_groups(ROWS, groups, 5), np.stack(wanted, 1))
    assert sum_groups(torch.tensor([1, 2, 4]), torch.tensor([1, 1, 0]), 2).tolist() == [4, 3]


def test_each_person_s_mean():
    means = PersonMeans.of(ROWS, PIDS)
    assert means.people.tolist() == [2, 7, 9]
    assert means.counts.tolist() == [2, 3, 1]
    assert means.freedom == 3
    for pid, mean in zip(means.people, means.rows, strict=True):
        assert torch.allclose(mean, ROWS[pid == PIDS].mean(0))
        assert torch.allclose(means.of_each[pid == PIDS], mean)


def test_the_covariance_within_people_is_that_of_each_weighed_by_its_freedom():
    parts = [2 * np.cov(ROWS[PIDS == 7].T), np.cov(ROWS[PIDS == 2].T)]
    assert np.allclose(covariance_within([(ROWS, PIDS)]), sum(parts) / 3)


def test_people_of_two_crowds_are_different_people():
    other = torch.randn(5, 4, generator=DRAW).double() + 10
    parts = [3 * covariance_within([(ROWS, PIDS)]).numpy(), 4 * np.cov(other.T)]
    both = covariance_within([(ROWS, PIDS), (other, torch.full((5,), 7))])
    assert np.allclose(both, sum(parts) / 7)


def test_one_row_each_spreads_nowhere():
    assert not covariance_within([(ROWS, torch.arange(6))]).any()


def test_along_whitening_axes_people_spread_as_a_ball_and_under_full_shrinkage_as_before():
    rows = torch.randn(400, 3, generator=DRAW).double() * torch.tensor([9.0, 1.0, 0.1])
    pids = torch.arange(400) // 4
    axes = whitening_axes([(rows, pids)], 0.0)
    assert np.allclose(covariance_within([(rows @ axes, pids)]), np.eye(3))
    lengths = whitening_axes([(rows, pids)], 1.0).norm(dim=0)
    assert torch.allclose(lengths, lengths[0])


def test_many_rows_are_added_up_in_double_precision_block_by_block():
    rows = torch.randn(2 * BLOCK + 9, 2, generator=DRAW)
    pids = torch.arange(len(rows)) % 3
    whole = rows.double().new_zeros(3, 2).index_add_(0, pids, rows.double())
    assert torch.equal(sum_groups(rows, pids, 3, torch.float64), whole)
    steps = rows.double() - PersonMeans.of(rows.double(), pids).of_each
    assert torch.allclose(covariance_within([(rows, pids)]), steps.T @ steps / (len(rows) - 3))


def test_rows_of_each_label_stay_in_order():
    found = {label: rows.tolist() for label, rows in group_rows(PIDS)}
    assert found == {2: [1, 5], 7: [0, 2, 3], 9: [4]}
    assert list(found) == [2, 7, 9]
