"""Retrieval figures against the evaluation rules of torchreid and fast-reid, spelled out here.

The reference sorts each query's row, drops the gallery entries of the same person and camera,
skips queries without a match, and reads CMC and AP (torchreid, metrics/rank.py, Market-1501 rule)
and INP (fast-reid, evaluation/rank.py: matches over the rank of the last one) off the sorted row.
Ties are checked against the mean over orders in which they may be broken.
"""

import math
from itertools import permutations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from auditor.errors import DataError, ModelError
from auditor.metrics import counting, retrieval, similarity
from auditor.metrics.retrieval import evaluate, evaluate_scores
from auditor.metrics.similarity import Truth


def distances(query, gallery, distance):
    query, gallery = query.double().numpy(), gallery.double().numpy()
    if distance == "euclidean":
        return np.sqrt(((query[:, None] - gallery[None]) ** 2).sum(2))
    query = query / np.maximum(np.linalg.norm(query, axis=1, keepdims=True), 1e-12)
    gallery = gallery / np.maximum(np.linalg.norm(gallery, axis=1, keepdims=True), 1e-12)
    return 1 - query @ gallery.T


def sorted_rows(distmat, labels, *, cross_camera=True, sources=None, keys=None):
    """For each valid query: (position, ranks of its matches, first gallery position)."""
    q_pids, g_pids, q_camids, g_camids = (column.numpy() for column in labels)
    for row, dist in enumerate(distmat):
        order = np.lexsort((np.arange(len(dist)) if keys is None else keys, dist))
        same = g_pids == q_pids[row]
        remove = same & (g_camids == q_camids[row]) & (q_camids[row] >= 0) & cross_camera
        if sources is not None and sources[row] >= 0:
            remove[int(sources[row])] = True
        kept = order[~remove[order]]
        ranks = np.flatnonzero(same[kept] & (g_pids[kept] > 0)) + 1
        if len(ranks):
            yield row, ranks, kept[0]


def expected(distmat, labels, **kwargs):
    """(query_index, rank, average_precision, inverse_penalty, best_index) of untied rows."""
    rows = []
    for row, ranks, best in sorted_rows(distmat, labels, **kwargs):
        precision = [(i + 1) / rank for i, rank in enumerate(ranks)]
        rows.append((row, ranks[0], np.mean(precision), len(ranks) / ranks[-1], best))
    return [np.array(column) for column in zip(*rows, strict=True)]


def make_world(seed, queries, gallery, dim=16, people=9, cameras=4):
    generator = torch.Generator().manual_seed(seed)
    centres = torch.randn(people + 1, dim, generator=generator)
    g_pids = torch.randint(0, people + 1, (gallery,), generator=generator)
    q_pids = torch.randint(1, people + 1, (queries,), generator=generator)
    features = [
        centres[pids] + 0.9 * torch.randn(len(pids), dim, generator=generator)
        for pids in (q_pids, g_pids)
    ]
    camids = [torch.randint(0, cameras, (n,), generator=generator) for n in (queries, gallery)]
    return features, (q_pids, g_pids, *camids)


def agrees(found, wanted):
    index, rank, precision, penalty, best = wanted
    assert found.query_index.tolist() == index.tolist()
    assert found.rank.numpy() == pytest.approx(rank)
    assert found.average_precision.numpy() == pytest.approx(precision)
    assert found.inverse_penalty.numpy() == pytest.approx(penalty)
    assert found.best_index.tolist() == best.tolist()


def columns(*values):
    return [torch.tensor(column) for column in values]


@pytest.mark.parametrize("distance", ["cosine", "euclidean"])
@pytest.mark.parametrize("cross_camera", [True, False])
# the gallery is padded to a multiple of 64, and queries come in blocks of 64
@pytest.mark.parametrize(("queries", "gallery"), [(7, 63), (64, 64), (65, 65), (150, 200), (3, 30)])
def test_random_worlds_rank_like_the_sorting_evaluators(distance, cross_camera, queries, gallery):
    features, labels = make_world(queries, queries, gallery)
    found = evaluate(*features, Truth(*labels, cross_camera=cross_camera), distance=distance)
    distmat = distances(*features, distance)
    agrees(found, expected(distmat, labels, cross_camera=cross_camera))
    best = distmat[found.query_index.numpy(), found.best_index.numpy()]
    score = 1 - best if distance == "cosine" else -best
    assert found.best_score.numpy() == pytest.approx(score, abs=1e-4)


@given(seed=st.integers(0, 10**6), queries=st.integers(1, 12), gallery=st.integers(1, 40))
@settings(max_examples=40, deadline=None)
def test_any_world_ranks_like_the_sorting_evaluators(seed, queries, gallery):
    features, labels = make_world(seed, queries, gallery, dim=5, people=4, cameras=2)
    distmat = distances(*features, "euclidean")
    if list(sorted_rows(distmat, labels)):
        found = evaluate(*features, Truth(*labels), distance="euclidean")
        agrees(found, expected(distmat, labels))
        assert found.mean_ap == pytest.approx(expected(distmat, labels)[2].mean())
        assert found.mean_inp == pytest.approx(expected(distmat, labels)[3].mean())
    else:
        with pytest.raises(DataError, match="no query has a true match"):
            evaluate(*features, Truth(*labels), distance="euclidean")


def test_one_query_worked_by_hand():
    # nearest first: match, other, match, other, match -> ranks 1, 3, 5
    gallery = torch.tensor([[1.0], [2.0], [3.0], [4.0], [5.0]])
    labels = columns([7], [7, 8, 7, 9, 7], [0], [1, 1, 2, 1, 3])
    found = evaluate(torch.tensor([[0.5]]), gallery, Truth(*labels), distance="euclidean")
    assert found.rank.tolist() == [1]
    assert found.average_precision.item() == pytest.approx((1 / 1 + 2 / 3 + 3 / 5) / 3)
    assert found.inverse_penalty.item() == pytest.approx(3 / 5)
    assert found.best_score.item() == pytest.approx(-0.5)
    assert (found.cmc(1), found.mean_ap, found.mean_inp) == pytest.approx((1.0, 34 / 45, 0.6))


def test_one_match_at_the_very_end():
    gallery = torch.arange(1.0, 6.0)[:, None]
    labels = columns([7], [1, 2, 3, 4, 7], [0], [1] * 5)
    found = evaluate(torch.tensor([[0.0]]), gallery, Truth(*labels), distance="euclidean")
    assert found.rank.tolist() == [5]
    assert [found.cmc(k) for k in (1, 4, 5, 10)] == [0, 0, 1, 1]
    assert (found.mean_ap, found.mean_inp) == pytest.approx((1 / 5, 1 / 5))


def test_cosine_ignores_length_and_euclidean_does_not():
    gallery = torch.tensor([[9.0, 0.0], [1.0, 1.0]])
    labels = columns([1], [1, 2], [0], [1, 1])
    query = torch.tensor([[1.0, 0.1]])
    assert evaluate(query, gallery, Truth(*labels), distance="cosine").rank.tolist() == [1]
    assert evaluate(query, gallery, Truth(*labels), distance="euclidean").rank.tolist() == [2]


def test_matches_of_the_own_camera_are_set_aside_only_when_asked():
    gallery = torch.tensor([[0.0], [1.0], [2.0]])
    labels = columns([1], [1, 2, 1], [0], [0, 0, 1])
    query = torch.tensor([[0.0]])
    across = evaluate(query, gallery, Truth(*labels), distance="euclidean")
    anywhere = evaluate(query, gallery, Truth(*labels, cross_camera=False), distance="euclidean")
    # across cameras: other, match; anywhere: match, other, match
    assert (across.rank.item(), across.best_index.item()) == (2, 1)
    assert across.average_precision.item() == pytest.approx(1 / 2)
    assert (anywhere.rank.item(), anywhere.best_index.item()) == (1, 0)
    assert anywhere.average_precision.item() == pytest.approx((1 + 2 / 3) / 2)


def test_an_unknown_camera_is_never_the_own_camera():
    labels = columns([1], [1, 2], [-1], [-1, -1])
    found = evaluate(torch.tensor([[0.0]]), torch.tensor([[0.0], [1.0]]), Truth(*labels))
    assert len(found.rank) == 1


def test_distractors_match_nobody_but_do_push_matches_back():
    gallery = torch.tensor([[0.0], [1.0], [2.0]])
    labels = columns([0, 5], [0, 0, 5], [0, 0], [1, 1, 1])
    found = evaluate(torch.tensor([[0.0], [0.0]]), gallery, Truth(*labels), distance="euclidean")
    assert found.query_index.tolist() == [1]
    assert found.rank.tolist() == [3]


def test_the_picture_a_query_was_made_from_never_matches_it():
    gallery = torch.tensor([[0.0], [1.0], [2.0]])
    labels = columns([5, 5], [5, 6, 5], [-1, -1], [-1, -1, -1])
    query = torch.tensor([[0.0], [0.0]])
    sources = torch.tensor([0, -1])
    found = evaluate(query, gallery, Truth(*labels, query_sources=sources), distance="euclidean")
    assert found.rank.tolist() == [2, 1]
    assert found.best_index.tolist() == [1, 0]


def test_sources_are_set_aside_in_random_worlds_too():
    features, labels = make_world(4, 130, 90)
    sources = torch.randint(-1, 90, (130,), generator=torch.Generator().manual_seed(0))
    found = evaluate(*features, Truth(*labels, query_sources=sources))
    agrees(found, expected(distances(*features, "cosine"), labels, sources=sources))


def test_queries_without_a_match_are_skipped_and_counted_nowhere():
    labels = columns([3, 1], [1, 2], [0, 0], [1, 1])
    found = evaluate(torch.zeros(2, 2), torch.eye(2), Truth(*labels))
    assert found.query_index.tolist() == [1]


@pytest.mark.parametrize(
    "labels",
    [
        ([1], [2, 3], [0], [1, 1]),  # nobody of that name
        ([1], [1, 2], [0], [0, 1]),  # only the own camera
        ([0], [0, 0], [0], [1, 1]),  # only distractors
    ],
)
def test_no_valid_query_is_an_error(labels):
    with pytest.raises(DataError, match=r"data\.cross_camera"):
        evaluate(torch.ones(1, 2), torch.ones(2, 2), Truth(*columns(*labels)))


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("side", [0, 1])
def test_features_that_are_no_numbers_are_refused(bad, side):
    features, labels = make_world(0, 4, 20)
    features[side][2, 1] = bad
    with pytest.raises(ModelError, match=("query", "gallery")[side] + " features contain NaN"):
        evaluate(*features, Truth(*labels))


@pytest.mark.parametrize("gallery", [2, 63, 64, 65, 129])
@pytest.mark.parametrize("distance", ["cosine", "euclidean"])
def test_constant_features_put_one_match_in_the_middle(gallery, distance):
    # one match anywhere among G equal entries stands at (G + 1) / 2 on average
    pids = torch.arange(1, gallery + 1)
    labels = (pids[:3], pids, torch.zeros(min(3, gallery)).long(), torch.ones(gallery).long())
    constant = torch.full((1, 37), 0.3)
    queries = constant.expand(len(labels[0]), -1)
    found = evaluate(queries, constant.expand(gallery, -1), Truth(*labels), distance=distance)
    assert found.rank.tolist() == [(gallery + 1) / 2] * len(queries)


@pytest.mark.parametrize(("gallery", "matches"), [(1, 1), (5, 1), (64, 1), (65, 3), (130, 7)])
def test_constant_features_give_every_figure_of_a_random_order(gallery, matches):
    # all orders are equally likely, so each figure is an expectation over where the matches fall
    pids = torch.cat([torch.ones(matches), torch.arange(2, gallery - matches + 2)]).long()
    labels = (torch.tensor([1]), pids, torch.tensor([0]), torch.ones(gallery).long())
    found = evaluate(torch.full((1, 8), 0.3), torch.full((gallery, 8), 0.3), Truth(*labels))
    for k in (1, 5, 10):
        missed = math.comb(gallery - matches, k) / math.comb(gallery, k) if k <= gallery else 0
        assert found.cmc(k) == pytest.approx(1 - missed)
    # the match at place r is the i-th with hypergeometric probability, and its precision is i / r
    precision = [
        (1 + (matches - 1) * (r - 1) / max(1, gallery - 1)) / r for r in range(1, gallery + 1)
    ]
    assert found.mean_ap == pytest.approx(np.mean(precision))
    assert found.rank.item() == pytest.approx((gallery + 1) / (matches + 1))
    # the last match stands at matches · (gallery + 1) / (matches + 1) on average
    last = matches * (gallery + 1) / (matches + 1)
    assert found.mean_inp == pytest.approx(matches / last)


def test_a_gallery_of_one_entry_that_matches_is_found_first():
    found = evaluate(torch.ones(1, 3), torch.ones(1, 3), Truth(*columns([4], [4], [0], [1])))
    assert [found.cmc(k) for k in (1, 5, 10)] == [1, 1, 1]
    assert (found.mean_ap, found.mean_inp) == pytest.approx((1, 1))


def test_queries_with_and_without_a_match_do_not_mix():
    gallery = torch.tensor([[1.0], [2.0], [3.0]])
    labels = columns([7, 8, 9], [7, 9, 9], [0, 0, 0], [1, 1, 0])
    found = evaluate(torch.zeros(3, 1), gallery, Truth(*labels), distance="euclidean")
    # nobody is called 8, and one of the two entries of 9 is from the query's own camera
    assert found.query_index.tolist() == [0, 2]
    assert found.rank.tolist() == [1, 2]
    assert found.mean_ap == pytest.approx((1 + 1 / 2) / 2)


def test_zero_features_are_ties_too():
    labels = columns([1], [1, 2, 3], [0], [1, 1, 1])
    assert evaluate(torch.zeros(1, 4), torch.zeros(3, 4), Truth(*labels)).rank.tolist() == [2]


def every_order(distmat, labels):
    """Mean rank of each query's best and of its last match, over all ways to break ties."""
    runs = [
        {row: (r[0], r[-1]) for row, r, _ in sorted_rows(distmat, labels, keys=np.array(keys))}
        for keys in permutations(range(distmat.shape[1]))
    ]
    return {row: np.mean([run[row] for run in runs], axis=0) for row in runs[0]}


@given(
    gallery=st.lists(st.tuples(st.integers(0, 2), st.integers(0, 2)), min_size=1, max_size=5),
    query=st.integers(0, 2),
)
@settings(max_examples=60, deadline=None)
def test_ties_get_their_mean_rank_over_every_order(gallery, query):
    values, pids = (list(column) for column in zip(*gallery, strict=True))
    features = [torch.tensor([[float(query)]]), torch.tensor(values).float()[:, None]]
    labels = columns([1], pids, [0], [1] * len(pids))
    if 1 not in pids:
        return
    found = evaluate(*features, Truth(*labels), distance="euclidean")
    (best, last) = every_order(distances(*features, "euclidean"), labels)[0]
    assert found.rank.item() == pytest.approx(best)
    assert found.inverse_penalty.item() == pytest.approx(pids.count(1) / last)


@given(
    gallery=st.lists(st.tuples(st.integers(0, 2), st.integers(0, 2)), min_size=1, max_size=5),
    query=st.integers(0, 2),
)
@settings(max_examples=60, deadline=None)
def test_ties_get_their_mean_precision_and_hits_over_every_order(gallery, query):
    values, pids = (list(column) for column in zip(*gallery, strict=True))
    features = [torch.tensor([[float(query)]]), torch.tensor(values).float()[:, None]]
    labels = columns([1], pids, [0], [1] * len(pids))
    if 1 not in pids:
        return
    found = evaluate(*features, Truth(*labels), distance="euclidean")
    distmat = distances(*features, "euclidean")
    orders = permutations(range(len(pids)))
    runs = [expected(distmat, labels, keys=np.array(keys)) for keys in orders]
    wanted = np.mean([run[2][0] for run in runs])
    assert found.average_precision.item() == pytest.approx(wanted)
    for k in range(1, 7):
        assert found.cmc(k) == pytest.approx(np.mean([run[1][0] <= k for run in runs]))


def test_a_twin_under_another_name_halves_rank_1_and_no_more():
    # were a tie counted by its mean rank 1.5, storing each row twice would hide everybody
    gallery = torch.eye(4).repeat(2, 1)
    pids = torch.arange(1, 5)
    labels = (pids, torch.cat([pids, pids + 4]), torch.zeros(4).long(), torch.ones(8).long())
    found = evaluate(torch.eye(4), gallery, Truth(*labels))
    assert (found.cmc(1), found.cmc(2)) == (0.5, 1.0)
    assert found.mean_ap == pytest.approx((1 + 1 / 2) / 2)


def test_ties_get_their_mean_rank_over_many_random_orders():
    generator = torch.Generator().manual_seed(1)
    features = [torch.randint(0, 3, (n, 2), generator=generator).float() for n in (6, 50)]
    _, labels = make_world(1, 6, 50)
    found = evaluate(*features, Truth(*labels), distance="euclidean")
    distmat, rng = distances(*features, "euclidean"), np.random.default_rng(0)
    runs = [
        [r[0] for _, r, _ in sorted_rows(distmat, labels, keys=rng.permutation(50))]
        for _ in range(1500)
    ]
    error = np.std(runs, axis=0) / math.sqrt(len(runs))
    assert (np.abs(np.mean(runs, axis=0) - found.rank.numpy()) <= 4.5 * error + 1e-9).all()


def test_half_precision_features_are_ranked_in_single():
    features, labels = make_world(2, 10, 70)
    halves = [column.half() for column in features]
    again = evaluate(*(column.float() for column in halves), Truth(*labels))
    assert torch.equal(evaluate(*halves, Truth(*labels)).rank, again.rank)


def test_nothing_depends_on_the_size_of_a_block(monkeypatch):
    features, labels = make_world(5, 30, 150)
    whole = evaluate(*features, Truth(*labels))
    monkeypatch.setattr(retrieval, "FEWEST", 7)
    monkeypatch.setattr(retrieval, "BLOCK_SCORES", 1)
    monkeypatch.setattr(similarity, "CHUNK", 64)
    monkeypatch.setitem(counting.TILE, "cpu", 3)
    pieces = evaluate(*features, Truth(*labels))
    assert torch.equal(whole.rank, pieces.rank)
    assert pieces.average_precision.numpy() == pytest.approx(whole.average_precision, rel=1e-14)


@pytest.mark.parametrize("distance", ["cosine", "euclidean"])
def test_twins_tie_to_the_last_bit_wherever_they_stand(monkeypatch, distance):
    # 150 rows make three products of 64, the last of them padded
    monkeypatch.setattr(similarity, "CHUNK", 64)
    features = torch.randn(75, 33, generator=torch.Generator().manual_seed(0)).repeat(2, 1)
    pids = torch.arange(1, 151)
    labels = (pids[:75], pids, torch.zeros(75).long(), torch.ones(150).long())
    found = evaluate(features[:75], features, Truth(*labels), distance=distance)
    assert found.level.tolist() == [2] * 75
    assert found.rank.tolist() == [1.5] * 75


def test_one_matrix_gives_the_sorting_evaluators_figures_to_twelve_digits():
    features, labels = make_world(6, 150, 500, people=20)
    scores = features[0] @ features[1].T
    found = evaluate_scores(scores, Truth(*labels))
    _, rank, precision, penalty, _ = expected(-scores.numpy(), labels)
    assert found.rank.tolist() == rank.tolist()
    assert abs(found.mean_ap - precision.mean()) < 1e-12
    assert abs(found.mean_inp - penalty.mean()) < 1e-12


def test_a_person_with_many_pictures_is_ranked_in_little_memory():
    # a table of match × match would hold 10^8 values here
    pids = torch.ones(10_000).long()
    scores = torch.rand(2, 10_000, generator=torch.Generator().manual_seed(0)).round(decimals=2)
    labels = (pids[:2], pids, torch.zeros(2).long(), torch.ones(10_000).long())
    found = evaluate_scores(scores, Truth(*labels))
    assert found.mean_ap == pytest.approx(1)
    assert found.mean_inp == pytest.approx(1)


def test_a_memory_mapped_gallery_is_ranked_as_it_lies(tmp_path):
    features, labels = make_world(3, 10, 70)
    features[1].numpy().tofile(tmp_path / "gallery")
    mapped = torch.from_file(str(tmp_path / "gallery"), size=features[1].numel()).view(70, -1)
    again = evaluate(features[0], mapped, Truth(*labels))
    assert torch.equal(again.rank, evaluate(*features, Truth(*labels)).rank)


@given(scale=st.floats(0.1, 50), seed=st.integers(0, 1000))
@settings(max_examples=15, deadline=None)
def test_ranks_do_not_depend_on_scale_or_on_names(scale, seed):
    features, labels = make_world(seed, 6, 40)
    base = evaluate(*features, Truth(*labels))
    scaled = evaluate(features[0] * scale, features[1] * scale, Truth(*labels))
    renamed = evaluate(*features, Truth(*(labels[0] * 7, labels[1] * 7), *labels[2:]))
    assert torch.equal(base.rank, scaled.rank)
    assert torch.equal(base.average_precision, renamed.average_precision)
