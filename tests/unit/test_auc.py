"""Areas under weighted ROC curves, against scikit-learn and pairs counted by hand."""

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score

from auditor.metrics import measure
from auditor.metrics.auc import macro_auc
from auditor.metrics.intervals import multiplicity


def draw(classes, images=80, persons=15, seed=0):
    rng = np.random.default_rng(seed)
    # few distinct scores, so that many are equal
    scores = torch.from_numpy(rng.integers(0, 6, (images, classes)) / 5)
    truth = torch.from_numpy(np.arange(images) % classes)
    person = torch.from_numpy(rng.permutation(np.arange(images) % persons))
    return scores, truth, person


@pytest.mark.parametrize("seed", range(5))
def test_two_classes_match_scikit_learn_under_any_weights(seed):
    scores, truth, person = draw(2, seed=seed)
    counts = np.random.default_rng(seed).integers(0, 4, (3, 15)).astype(float)
    found = macro_auc(scores, truth, person)(counts)
    gap = (scores[:, 1] - scores[:, 0]).numpy()
    for value, weights in zip(found, counts, strict=True):
        wanted = roc_auc_score(truth, gap, sample_weight=weights[person])
        assert value == pytest.approx(wanted)


def test_more_classes_are_the_mean_of_each_against_the_rest():
    scores, truth, person = draw(4)
    wanted = np.mean([roc_auc_score(truth == k, scores[:, k]) for k in range(4)])
    assert float(macro_auc(scores, truth, person)(np.ones(15))) == pytest.approx(wanted)


def test_pairs_by_hand():
    scores = torch.tensor([[0.0, 3], [0, 2], [0, 2], [0, 1]])
    area = macro_auc(scores, torch.tensor([1, 0, 1, 0]), torch.arange(4))
    # of four pairs three are won and one is level
    assert float(area(np.ones(4))) == pytest.approx(3.5 / 4)
    assert float(area(np.array([1.0, 1, 0, 0]))) == 1
    assert np.isnan(area(np.array([1.0, 0, 1, 0])))


def test_constant_scores_are_chance():
    area = macro_auc(torch.zeros(6, 2), torch.arange(6) % 2, torch.arange(6))
    assert float(area(np.ones(6))) == 0.5


def test_a_figure_holds_its_value_and_one_person_has_no_spread():
    scores, truth, person = draw(2)
    found = measure.reweighted("x.auc", 15, macro_auc(scores, truth, person), chance=0.5)
    assert found.low < found.value < found.high
    assert found.n == 15
    alone = macro_auc(scores, truth, torch.zeros_like(person))
    single = measure.reweighted("x.auc", 1, alone)
    assert single.low == single.value == single.high


def test_draws_are_counted_per_resample():
    rows = np.random.default_rng(0).integers(0, 7, (4, 5, 7))
    wanted = [[[(draw == p).sum() for p in range(7)] for draw in block] for block in rows]
    assert multiplicity(rows).tolist() == np.array(wanted, dtype=float).tolist()
