"""ROC figures against scikit-learn and counting by hand, ties and weights included."""

import numpy as np
import pytest
from sklearn import metrics

from auditor.errors import DataError
from auditor.metrics.roc import auc, auc_interval, points, tpr_at_fpr


def drawn(seed, n=60, levels=None):
    """Scores of which members' are higher by half a deviation; few levels make many ties."""
    rng = np.random.default_rng(seed)
    member = np.append(rng.random(n - 2) < 0.4, [True, False])
    scores = rng.standard_normal(n) + 0.5 * member
    return (np.round(scores * levels) / levels if levels else scores), member


@pytest.mark.parametrize("levels", [None, 3, 1])
@pytest.mark.parametrize("seed", range(5))
def test_area_and_points_agree_with_scikit_learn(seed, levels):
    scores, member = drawn(seed, levels=levels)
    fpr, tpr = points(scores, member)
    assert auc(fpr, tpr) == pytest.approx(metrics.roc_auc_score(member, scores))
    reference = metrics.roc_curve(member, scores, drop_intermediate=False)
    np.testing.assert_allclose(fpr, reference[0])
    np.testing.assert_allclose(tpr, reference[1])


def test_area_is_the_share_of_pairs_in_order_with_half_for_equal_ones():
    scores, member = drawn(7, levels=2)
    pairs = scores[member][:, None] - scores[~member]
    wanted = (pairs > 0).mean() + (pairs == 0).mean() / 2
    assert auc(*points(scores, member)) == pytest.approx(wanted)


def test_weights_count_as_repetitions():
    scores, member = drawn(3, levels=2)
    weights = np.random.default_rng(0).integers(0, 4, (5, 2, len(scores))).astype(float)
    areas = auc(*points(scores, member, weights))
    assert areas.shape == (5, 2)
    for index in np.ndindex(5, 2):
        repeated = np.repeat(np.arange(len(scores)), weights[index].astype(int))
        wanted = metrics.roc_auc_score(member[repeated], scores[repeated])
        assert areas[index] == pytest.approx(wanted)
        one = points(scores[repeated], member[repeated])
        rates = tpr_at_fpr(*points(scores, member, weights), 0.2)
        assert rates[index] == pytest.approx(tpr_at_fpr(*one, 0.2))


@pytest.mark.parametrize("levels", [None, 2])
@pytest.mark.parametrize("limit", [0.0, 0.05, 0.1, 0.5, 1.0])
def test_tpr_at_fpr_is_the_best_threshold_that_keeps_the_limit(levels, limit):
    scores, member = drawn(11, levels=levels)
    best = 0.0
    for threshold in [*scores, np.inf]:
        accepted = scores >= threshold
        if accepted[~member].mean() <= limit:
            best = max(best, accepted[member].mean())
    assert tpr_at_fpr(*points(scores, member), limit) == pytest.approx(best)


def test_ties_at_the_top_find_nobody():
    """Interpolating would report half of the members at half of the tie's false positives."""
    scores, member = np.array([1.0] * 10 + [0.0] * 10), np.array(([True] * 5 + [False] * 5) * 2)
    assert tpr_at_fpr(*points(scores, member), 0.25) == 0
    assert tpr_at_fpr(*points(scores, member), 0.5) == 0.5


def test_constant_scores_say_nothing():
    fpr, tpr = points(np.zeros(6), np.array([True, False] * 3))
    assert (fpr.tolist(), tpr.tolist()) == ([0, 1], [0, 1])
    assert auc(fpr, tpr) == 0.5
    assert tpr_at_fpr(fpr, tpr, 0.99) == 0


def test_a_side_that_weighs_nothing_is_undefined():
    scores, member = np.array([2.0, 1.0]), np.array([True, False])
    weights = np.array([[1.0, 1.0], [1.0, 0.0], [0.0, 1.0]])
    fpr, tpr = points(scores, member, weights)
    assert np.isnan(auc(fpr, tpr)).tolist() == [False, True, True]
    assert np.isnan(tpr_at_fpr(fpr, tpr, 0.1)).tolist() == [False, True, True]


@pytest.mark.parametrize(
    ("scores", "member", "part"),
    [([0.0, np.nan], [True, False], "NaN"), ([0.0, 1.0], [True, True], "missing")],
)
def test_what_cannot_be_ranked_is_refused(scores, member, part):
    with pytest.raises(DataError, match=part):
        points(np.array(scores), np.array(member))


class TestInterval:
    def test_it_holds_the_value_is_symmetric_and_never_empty(self):
        for value in (0.0, 0.3, 0.5, 0.9, 1.0):
            low, high = auc_interval(value, 20, 30)
            assert 0 <= low <= value <= high <= 1
            assert high - low > 0.05
            mirrored = auc_interval(1 - value, 20, 30)
            assert (1 - mirrored[1], 1 - mirrored[0]) == pytest.approx((low, high), abs=1e-6)

    def test_its_ends_solve_the_defining_equation(self):
        """The Hanley–McNeil variance, as printed in their paper, but with sides of mean size."""
        members, others, value = 15, 15, 0.8
        for end in auc_interval(value, members, others):
            q1, q2 = end / (2 - end), 2 * end**2 / (1 + end)
            variance = end * (1 - end) + (members - 1) * (q1 - end**2)
            variance = (variance + (others - 1) * (q2 - end**2)) / (members * others)
            assert abs(value - end) == pytest.approx(1.959964 * variance**0.5, rel=1e-4)

    @pytest.mark.parametrize("gap", [0.0, 1.0, 2.0])
    def test_it_covers_the_truth(self, gap):
        from scipy.stats import norm

        rng, truth = np.random.default_rng(1), norm.cdf(gap / 2**0.5)
        member = np.arange(50) < 20
        hits = 0
        for _ in range(400):
            area = float(auc(*points(rng.standard_normal(50) + gap * member, member)))
            low, high = auc_interval(area, 20, 30)
            hits += low <= truth <= high
        assert hits / 400 > 0.92
