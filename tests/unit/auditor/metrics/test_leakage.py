"""Confusion counts and the scores read off them, against scikit-learn and counts by hand."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics

from auditor.metrics.leakage import (
    accuracy,
    balanced_accuracy,
    blind_f1,
    confusion_by_person,
    f1,
    mean_over,
)


def counted(guesses, truth, classes, pids=None):
    pids = range(1, len(truth) + 1) if pids is None else pids
    columns = (torch.tensor(list(column)) for column in (guesses, truth, pids))
    return confusion_by_person(*columns, classes)


def draw(classes, images, seed=0):
    rng = np.random.default_rng(seed)
    truth = np.concatenate([np.arange(classes), rng.integers(0, classes, images)])
    wrong = rng.integers(0, classes, len(truth))
    return np.where(rng.random(len(truth)) < 0.6, truth, wrong), truth


@pytest.mark.parametrize("classes", [2, 3, 5])
@given(seed=st.integers(0, 10**6), images=st.integers(0, 60))
@settings(max_examples=25, deadline=None)
def test_scores_are_those_of_scikit_learn(classes, seed, images):
    guesses, truth = draw(classes, images, seed)
    sums = counted(guesses, truth, classes).sum(0)
    assert accuracy(classes)(sums) == pytest.approx(metrics.accuracy_score(truth, guesses))
    wanted = metrics.balanced_accuracy_score(truth, guesses)
    assert balanced_accuracy(classes)(sums) == pytest.approx(wanted)
    average = "binary" if classes == 2 else "macro"
    wanted = metrics.f1_score(truth, guesses, average=average)
    assert f1(classes)(sums) == pytest.approx(wanted)


def test_two_values_worked_by_hand():
    # truth-major: 5 of 6 negatives right, 1 of 4 positives
    sums = np.array([5.0, 1, 3, 1])
    assert accuracy(2)(sums) == pytest.approx(6 / 10)
    assert balanced_accuracy(2)(sums) == pytest.approx((5 / 6 + 1 / 4) / 2)
    assert f1(2)(sums) == pytest.approx(2 * 1 / (2 * 1 + 1 + 3))


def test_resamples_are_scored_row_by_row():
    sums = np.array([[[5.0, 1, 3, 1], [1, 0, 0, 1]]])
    assert balanced_accuracy(2)(sums).shape == (1, 2)
    assert balanced_accuracy(2)(sums)[0, 1] == 1


def test_a_class_without_images_has_no_balanced_accuracy():
    assert np.isnan(balanced_accuracy(2)(np.array([4.0, 1, 0, 0])))


def test_counts_belong_to_people():
    table = counted([0, 1, 1, 0], [0, 0, 1, 1], 2, pids=[7, 7, 3, 7])
    assert table.tolist() == [[0, 0, 0, 1], [1, 1, 1, 0]]  # people 3 and 7


def test_missing_labels_and_distractors_count_nowhere():
    table = counted([0, 1, 1, 1], [0, -1, 1, 1], 2, pids=[1, 1, 0, 2])
    assert table.tolist() == [[1, 0, 0, 0], [0, 0, 0, 1]]


def test_a_person_without_labels_keeps_an_empty_row():
    assert counted([0, 1], [-1, 1], 2, pids=[1, 2]).tolist() == [[0, 0, 0, 0], [0, 0, 0, 1]]


@pytest.mark.parametrize("share", [0.02, 0.2, 0.5, 0.8, 0.97])
def test_nothing_beats_the_blind_f1_of_two_values(share):
    # a blind guesser says "positive" with probability q: expected counts are products
    def expected(q):
        return np.array([(1 - share) * (1 - q), (1 - share) * q, share * (1 - q), share * q])

    best = max(float(f1(2)(expected(q))) for q in np.linspace(0, 1, 101)[1:])
    assert blind_f1(np.array([1 - share, share])) == pytest.approx(best)


@pytest.mark.parametrize("shares", [(1 / 3, 1 / 3, 1 / 3), (0.6, 0.3, 0.1), (0.96, 0.02, 0.02)])
def test_nothing_beats_the_blind_f1_of_more_values(shares):
    # a blind guesser names value j with probability q[j]; all q on a grid of 1/60
    def expected(*q):
        return np.outer(shares, np.array(q) / 60).ravel()

    grid = [(i, j, 60 - i - j) for i in range(61) for j in range(61 - i)]
    best = max(float(f1(3)(expected(*q))) for q in grid)
    assert best <= blind_f1(np.array(shares)) + 1e-9
    assert best == pytest.approx(blind_f1(np.array(shares)), abs=1e-3)


@pytest.mark.parametrize("sizes", [(2,), (2, 3), (4, 2, 2)])
def test_a_mean_over_attributes_is_the_mean_of_each(sizes):
    tables = [counted(*draw(k, 30, seed), k).sum(0) for seed, k in enumerate(sizes)]
    joint = np.concatenate(tables)
    for formula in (accuracy, balanced_accuracy, f1):
        each = [formula(k)(t) for k, t in zip(sizes, tables, strict=True)]
        assert mean_over(formula, sizes)(joint) == pytest.approx(np.mean(each))
