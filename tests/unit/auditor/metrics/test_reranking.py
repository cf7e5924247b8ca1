"""Re-ranking and expansion against loops that spell out the definitions of the papers.

The reference follows Zhong et al. (CVPR 2017) set by set: N(p, k) the picture itself and its k
nearest, R(p, k) the mutual ones (eq. 3), R* with the half sets that fit by two thirds (eq. 5),
vectors of exp(−d) (eq. 7), their mean over the nearest k2 (eq. 11), the Jaccard distance of vectors
(eq. 10) and the weighted sum with d (eq. 12). The published experiments divide the squared
Euclidean distances of a picture by the largest of them; so does the reference.
"""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from auditor.errors import DataError, ModelError
from auditor.metrics import reranking
from auditor.metrics.reranking import expand_queries, k_reciprocal
from auditor.metrics.retrieval import evaluate, evaluate_scores
from auditor.metrics.similarity import Truth

WHOLE = slice(0, None)


def by_definition(query, gallery, k1, k2, weight, distance):
    """Final distances ``(Q, G)``, one pair at a time."""
    x = torch.cat([query, gallery]).double().numpy()
    if distance == "cosine":
        x = x / np.linalg.norm(x, axis=1, keepdims=True)
    everyone = range(len(x))
    d = [[float(((x[i] - x[j]) ** 2).sum()) for j in everyone] for i in everyone]
    d = [[value / (max(row) or 1e-12) for value in row] for row in d]
    order = [
        [i, *sorted((j for j in everyone if j != i), key=lambda j, i=i: (round(d[i][j], 12), j))]
        for i in everyone
    ]

    def mutual(p, k):
        return {g for g in order[p][: k + 1] if p in order[g][: k + 1]}

    vectors = []
    for p in everyone:
        robust = set(start := mutual(p, k1))
        for q in start:
            half = mutual(q, round(k1 / 2))
            if len(start & half) >= 2 / 3 * len(half):
                robust |= half
        raw = [math.exp(-d[p][g]) if g in robust else 0.0 for g in everyone]
        vectors.append([value / sum(raw) for value in raw])
    means = []
    for p in everyone:
        near = order[p][:k2]
        means.append([sum(vectors[g][j] for g in near) / len(near) for j in everyone])
    final = np.empty((len(query), len(gallery)))
    for i in range(len(query)):
        for j in range(len(gallery)):
            pair = list(zip(means[i], means[len(query) + j], strict=True))
            jaccard = 1 - sum(map(min, pair)) / sum(map(max, pair))
            final[i, j] = (1 - weight) * jaccard + weight * d[i][len(query) + j]
    return final


def make_world(seed, queries, gallery, dim=6, people=4, cameras=3):
    generator = torch.Generator().manual_seed(seed)
    centres = torch.randn(people + 1, dim, generator=generator)
    pids = [torch.randint(1, people + 1, (n,), generator=generator) for n in (queries, gallery)]
    features = [centres[p] + 0.7 * torch.randn(len(p), dim, generator=generator) for p in pids]
    camids = [torch.randint(0, cameras, (n,), generator=generator) for n in (queries, gallery)]
    return features, (*pids, *camids)


def agrees(features, **how):
    found = k_reciprocal(*features, **how)(WHOLE)
    wanted = by_definition(
        *features,
        how.get("k1", 20),
        how.get("k2", 6),
        how.get("weight", 0.3),
        how.get("distance", "cosine"),
    )
    assert found.shape == wanted.shape
    assert -found.numpy() == pytest.approx(wanted, abs=2e-5)


class TestKReciprocal:
    @pytest.mark.parametrize("distance", ["cosine", "euclidean"])
    @pytest.mark.parametrize(("k1", "k2"), [(6, 3), (7, 1), (1, 1), (20, 6), (3, 9)])
    def test_distances_are_those_of_the_definition(self, distance, k1, k2):
        features, _ = make_world(k1, 8, 32)
        agrees(features, k1=k1, k2=k2, distance=distance)

    def test_the_defaults_are_those_of_the_paper(self):
        agrees(make_world(3, 5, 60)[0])

    @pytest.mark.parametrize(("queries", "gallery"), [(1, 1), (2, 3), (3, 1)])
    def test_more_neighbours_than_pictures_means_all_of_them(self, queries, gallery):
        features, _ = make_world(1, queries, gallery)
        agrees(features, k1=50, k2=50)

    # whole numbers on a small grid: most distances are shared by several pairs
    @given(
        st.lists(st.tuples(st.integers(0, 2), st.integers(0, 2)), min_size=3, max_size=9),
        st.integers(1, 5),
    )
    @settings(max_examples=40, deadline=None)
    def test_ties_go_to_the_earlier_picture(self, points, k1):
        points = torch.tensor(points).float()
        agrees((points[:2], points[2:]), k1=k1, k2=2, distance="euclidean")

    def test_pictures_that_are_all_one_stay_tied(self):
        scores = k_reciprocal(torch.ones(3, 4), torch.ones(5, 4), k1=8, k2=1)(WHOLE)
        assert torch.isfinite(scores).all()
        assert scores.unique().numel() == 1

    @pytest.mark.parametrize("distance", ["cosine", "euclidean"])
    def test_the_own_distance_alone_is_the_plain_ranking(self, distance):
        features, labels = make_world(5, 40, 90)
        plain = evaluate(*features, Truth(*labels), distance=distance)
        scores = k_reciprocal(*features, weight=1.0, distance=distance)
        again = evaluate_scores(scores, Truth(*labels))
        for name in ("query_index", "rank", "average_precision", "inverse_penalty", "best_index"):
            assert torch.equal(getattr(again, name), getattr(plain, name)), name

    def test_it_helps_where_people_form_clusters(self):
        features, labels = make_world(2, 60, 240, people=12)
        plain = evaluate(*features, Truth(*labels))
        again = evaluate_scores(k_reciprocal(*features, k1=10, k2=3), Truth(*labels))
        assert again.mean_ap > plain.mean_ap + 0.02

    def test_nothing_depends_on_the_size_of_a_block(self, monkeypatch):
        features, _ = make_world(7, 9, 40)
        whole = k_reciprocal(*features, k1=5, k2=2)(WHOLE)
        monkeypatch.setattr(reranking, "BLOCK", 4)
        monkeypatch.setattr(reranking, "PAIRS", 7)
        scores = k_reciprocal(*features, k1=5, k2=2)
        pieces = torch.cat([scores(slice(0, 4)), scores(slice(4, 20))])
        assert pieces.numpy() == pytest.approx(whole.numpy(), abs=1e-6)

    def test_it_never_sees_who_is_who_and_changes_no_feature(self):
        features, _ = make_world(7, 9, 40)
        before = [column.clone() for column in features]
        k_reciprocal(*features)(WHOLE)
        assert all(map(torch.equal, before, features))


class TestExpansion:
    @pytest.mark.parametrize("alpha", [0.0, 1.0, 3.0])
    @pytest.mark.parametrize("k", [1, 4, 99])
    @pytest.mark.parametrize("distance", ["cosine", "euclidean"])
    def test_queries_are_the_weighted_mean(self, alpha, k, distance):
        query, gallery = make_world(4, 7, 20)[0]
        found = expand_queries(query, gallery, k=k, alpha=alpha, distance=distance).numpy()
        query, gallery = query.double().numpy(), gallery.double().numpy()
        unit = [x / np.linalg.norm(x, axis=1, keepdims=True) for x in (query, gallery)]
        if distance == "cosine":
            query, gallery = unit
        for row, q in enumerate(query):
            near = sorted(range(20), key=lambda j, q=q: ((gallery[j] - q) ** 2).sum())[:k]
            parts, weights = [q], [1.0]
            for j in near:
                cosine = max(0.0, float(unit[0][row] @ unit[1][j]))
                parts.append(gallery[j])
                weights.append(cosine**alpha)
            wanted = np.average(parts, axis=0, weights=weights)
            assert found[row] == pytest.approx(wanted, abs=1e-5)

    @pytest.mark.parametrize("alpha", [0.0, 3.0])
    @pytest.mark.parametrize("distance", ["cosine", "euclidean"])
    def test_nobody_to_average_with_is_the_plain_ranking(self, alpha, distance):
        features, labels = make_world(5, 40, 90)
        query = expand_queries(*features, k=0, alpha=alpha, distance=distance)
        plain = evaluate(*features, Truth(*labels), distance=distance)
        again = evaluate(query, features[1], Truth(*labels), distance=distance)
        assert torch.equal(plain.average_precision, again.average_precision)

    def test_ties_go_to_the_earlier_entry(self):
        gallery = torch.tensor([[0.0, 1.0], [1.0, 0.0], [1.0, 0.0]])
        found = expand_queries(
            torch.tensor([[1.0, 1.0]]), gallery, k=1, alpha=0.0, distance="euclidean"
        )
        assert found.tolist() == [[0.5, 1.0]]


@pytest.mark.parametrize("side", [0, 1])
@pytest.mark.parametrize("method", [expand_queries, k_reciprocal])
def test_features_that_are_no_numbers_are_refused(method, side):
    features, _ = make_world(0, 4, 20)
    features[side][2, 1] = math.nan
    with pytest.raises(ModelError, match=("query", "gallery")[side] + " features contain NaN"):
        method(*features)


class TestGivenScores:
    def test_a_matrix_ranks_like_the_features_behind_it(self):
        features, labels = make_world(6, 100, 70)
        matrix = -torch.cdist(*(column.double() for column in features))
        before = matrix.clone()
        found = evaluate_scores(matrix, Truth(*labels))
        plain = evaluate(*features, Truth(*labels), distance="euclidean")
        assert torch.equal(found.rank, plain.rank)
        assert found.mean_ap == pytest.approx(plain.mean_ap)
        assert found.best_score.numpy() == pytest.approx(plain.best_score.numpy(), abs=1e-4)
        assert torch.equal(matrix, before)

    def test_ties_share_and_the_own_camera_is_set_aside(self):
        truth = Truth(*(torch.tensor(c) for c in ([1], [1, 2, 1], [0], [0, 1, 1])))
        found = evaluate_scores(torch.tensor([[9.0, 5.0, 5.0]]), truth)
        assert (found.rank.item(), found.cmc(1)) == (1.5, 0.5)

    def test_one_match_far_below_and_none_at_all(self):
        labels = [torch.tensor(c) for c in ([1, 3], [2, 2, 1], [0, 0], [1, 1, 1])]
        scores = torch.tensor([[3.0, 2.0, 1.0], [1.0, 2.0, 3.0]])
        found = evaluate_scores(scores, Truth(*labels))
        assert (found.query_index.tolist(), found.rank.tolist()) == ([0], [3])
        with pytest.raises(DataError, match="no query has a true match"):
            evaluate_scores(scores[1:], Truth(labels[0][1:], labels[1], labels[2][1:], labels[3]))

    @pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
    def test_scores_that_are_no_numbers_are_refused(self, bad):
        truth = Truth(*(torch.tensor(c) for c in ([1], [1, 2], [0], [1, 1])))
        with pytest.raises(ModelError, match="similarities contain NaN"):
            evaluate_scores(torch.tensor([[0.5, bad]]), truth)
