import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression

from attacks.learners import softmax
from attacks.learners.softmax import learn_softmax


def crowd(people=12, columns=8, spread=0.8):
    """Rows of people with two to six entries each, of a mean square length of one."""
    draw = torch.Generator().manual_seed(0)
    labels = torch.arange(people).repeat_interleave(torch.arange(people) % 5 + 2)
    labels = labels[torch.randperm(len(labels), generator=draw)]
    rows = torch.randn(people, columns, generator=draw)[labels]
    rows = rows + spread * torch.randn(rows.shape, generator=draw) + 0.3
    return rows / rows.square().sum(1).mean().sqrt(), labels


@pytest.mark.parametrize("inverse_penalty", [0.1, 3.0, 60.0])
def test_directions_are_those_of_logistic_regression(inverse_penalty):
    rows, labels = crowd()
    rows = rows.double()
    found = learn_softmax(rows, labels, inverse_penalty, iterations=300, flat=1e-6)
    peer = LogisticRegression(C=inverse_penalty, fit_intercept=False, max_iter=2000, tol=1e-9)
    wanted = peer.fit(rows.numpy(), labels.numpy()).coef_
    np.testing.assert_allclose(found.numpy(), wanted, atol=1e-4 * np.abs(wanted).max())


def test_where_it_stops_by_itself_rows_are_called_what_they_would_be_called_in_the_end():
    rows, labels = crowd(people=40, columns=16)
    usual, end = (
        rows @ learn_softmax(rows, labels, 60.0, iterations=300, flat=flat).T
        for flat in (softmax.FLAT, 1e-3)
    )
    assert (usual.argmax(1) == end.argmax(1)).double().mean() > 0.97


def test_blocks_of_rows_change_nothing(monkeypatch):
    rows, labels = crowd()
    whole = learn_softmax(rows.double(), labels, 3.0, iterations=100, flat=1e-6)
    monkeypatch.setattr(softmax, "BLOCK", 20)
    parts = learn_softmax(rows.double(), labels, 3.0, iterations=100, flat=1e-6)
    assert len(rows) > 2 * softmax.BLOCK
    torch.testing.assert_close(parts, whole, atol=1e-4, rtol=1e-4)


def test_no_more_iterations_are_made_than_asked_for(monkeypatch):
    asked, loss = [], softmax._Regression.loss

    def count(self, points, which):
        asked.append(which)
        return loss(self, points, which)

    monkeypatch.setattr(softmax._Regression, "loss", count)
    learn_softmax(*crowd(), 60.0, iterations=1, flat=0.0)
    assert 2 <= len(asked) <= 11
