"""Trees that see places among quantiles, found once for all attributes."""

import torch
from sklearn.ensemble import HistGradientBoostingClassifier

from attacks.attribute.boosting import BINS, AttributeBoosting
from attacks.attribute.learning import Known


def people(rows):
    draw = torch.Generator().manual_seed(0)
    features = torch.randn(rows, 12, generator=draw)
    labels = torch.stack([features[:, 0] > 0.5, features[:, 1] + features[:, 2] > 0], dim=1).long()
    return Known(features, labels, torch.arange(rows) // 4 + 1, (2, 2))


def test_trees_read_as_much_as_those_of_scikit_learn_on_plain_values():
    known, asked = people(2000), people(3000)
    fresh = slice(2000, None)
    found = AttributeBoosting().learn(known)(asked.rows[fresh])
    for attribute, scores in enumerate(found):
        truth = asked.labels[fresh, attribute]
        peer = HistGradientBoostingClassifier(
            max_iter=15, max_leaf_nodes=8, learning_rate=0.2, early_stopping=False
        ).fit(known.rows, known.labels[:, attribute])
        right = float((scores.argmax(1) == truth).double().mean())
        assert right >= peer.score(asked.rows[fresh], truth) - 0.02
        assert right > 0.9


def test_no_column_has_more_values_than_scikit_learn_sorts_into_bins_by_itself(monkeypatch):
    seen = []
    fit = HistGradientBoostingClassifier.fit
    monkeypatch.setattr(
        HistGradientBoostingClassifier,
        "fit",
        lambda model, rows, *labels, **weights: (
            seen.append(rows) or fit(model, rows, *labels, **weights)
        ),
    )
    AttributeBoosting(iterations=1).learn(people(1000))
    assert len(seen) == 2
    assert all(len(set(column)) <= BINS for rows in seen for column in rows.T)
