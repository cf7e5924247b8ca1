"""Areas under weighted ROC curves, against scikit-learn and pairs counted by hand."""

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score

from auditor.metrics import measure
from auditor.metrics.auc import macro_auc
from auditor.statistics.intervals import proportion


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


def test_a_figure_holds_its_value():
    areas = macro_auc(*draw(2))
    found = measure.area("x.auc", areas, chance=0.5)
    assert found.low < found.value < found.high
    assert (found.n, found.value) == (15, float(areas(np.ones(15))))


def test_perfect_scores_of_few_people_leave_the_rule_of_three():
    truth = torch.arange(20) % 2
    areas = macro_auc(torch.nn.functional.one_hot(truth), truth, torch.arange(20))
    found = measure.area("x.auc", areas, chance=0.5)
    assert (found.value, found.high) == (1, pytest.approx(1))
    # somebody unseen on either side, each as likely as one more of ten
    assert found.low < proportion(10, 10)[0]


def test_the_unseen_lose_all_or_win_all_pairs_by_hand():
    areas = macro_auc(torch.tensor([[0.0, 2], [0, 1]]), torch.tensor([0, 1]), torch.arange(2))
    # seen: one pair, lost; with one more of each class three of four are won at most
    assert areas.ends(np.ones(4)).tolist() == [0, 0.75]
    assert areas.ends(np.array([1.0, 1, 0, 0])).tolist() == [0, 0]


def test_one_person_never_settles_an_area():
    scores, truth, _ = draw(2)
    alone = measure.area("x.auc", macro_auc(scores, truth, torch.zeros_like(truth)), chance=0.5)
    assert alone.low < alone.value < alone.high
