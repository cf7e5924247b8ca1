"""Regressions learned side by side, beside scikit-learn's, one by one."""

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression

from attacks.attribute.boundaries import learn_boundaries
from attacks.attribute.learning import Known
from attacks.attribute.sklearn_learners import one_each
from auditor.types import MISSING

SIZES = (2, 3, 2, 5, 2)
OFFSET = 0.03
"""Log-odds by which all scores of a class may be off: every rung calibrates where it cuts them."""


def known(rows=400, columns=12, seed=0, scale=1.0):
    """Rows whose columns vary by a factor of a hundred, about a mean that is not 0."""
    draw = torch.Generator().manual_seed(seed)
    pids = torch.arange(rows) % 60 + 1
    spread = torch.logspace(-1, 1, columns) * scale
    people = torch.randn(61, columns, generator=draw)
    features = (people[pids] + torch.randn(rows, columns, generator=draw)) * spread + 3 * scale
    labels = torch.stack(
        [(people @ torch.randn(columns, size, generator=draw)).argmax(1)[pids] for size in SIZES],
        dim=1,
    )
    labels[:70, 2] = MISSING
    return Known(features, labels, pids, SIZES)


def centred(scores):
    """Scores mean the same whatever is added to all of a row."""
    return [found - found.mean(1, keepdim=True) for found in scores]


@pytest.mark.parametrize("inverse_penalty", [0.01, 0.3, 10.0])
@pytest.mark.parametrize("scale", [1e-2, 1.0])
def test_scores_are_those_of_scikit_learn(inverse_penalty, scale):
    own, asked = known(scale=scale), known(rows=50, seed=1, scale=scale).rows

    def make():
        return LogisticRegression(C=inverse_penalty, tol=1e-10, max_iter=20000)

    wanted = centred(one_each(own, make)(asked))
    found = centred(learn_boundaries(own, inverse_penalty)(asked))
    for ours, theirs, size in zip(found, wanted, SIZES, strict=True):
        assert ours.shape == (50, size)
        assert ours.dtype == torch.float64
        assert (ours.mean(0) - theirs.mean(0)).abs().max() < OFFSET
        off = (ours - ours.mean(0)) - (theirs - theirs.mean(0))
        assert off.abs().max() < 0.08 * theirs.std()
        assert off.square().mean().sqrt() < 0.02 * theirs.std()


def test_attributes_do_not_touch_each_other():
    own, asked = known(), known(rows=50, seed=1).rows
    together = learn_boundaries(own, 0.3)(asked)
    for a, size in enumerate(SIZES):
        one = Known(own.rows, own.labels[:, [a]], own.pids, (size,))
        (alone,) = learn_boundaries(one, 0.3)(asked)
        assert (alone - together[a]).abs().max() < 0.02 * alone.std() + OFFSET


def test_a_class_that_nobody_carries_leaves_its_attribute_unread():
    own = known()
    own.labels[own.labels[:, 1] == 2, 1] = MISSING
    found = learn_boundaries(own, 0.3)(own.rows)
    assert found[1].isnan().all()
    assert found[1].shape == (400, 3)
    assert all(found[a].isfinite().all() for a in (0, 2, 3, 4))


def test_columns_that_never_vary_are_borne():
    own = known()
    own.rows[:, 3] = 1.0
    assert all(scores.isfinite().all() for scores in learn_boundaries(own, 1e6)(own.rows))


def test_people_weigh_the_same_however_many_pictures_they_have():
    """One person's pictures ten times over change nothing."""
    own = known()
    first = (own.pids == 1).nonzero().flatten()
    rows = torch.cat([torch.arange(len(own.pids)), first.repeat(9)])
    more = Known(own.rows[rows], own.labels[rows], own.pids[rows], SIZES)
    few, many = (learn_boundaries(k, 0.3 / len(k.pids))(own.rows) for k in (own, more))
    for one, other in zip(few, many, strict=True):
        assert np.allclose(one, other, rtol=0, atol=0.08 * float(one.std()) + OFFSET)
