"""Utility under the deployment's own ranking, and the rank lists that show it."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from pydantic import ValidationError

from attacks.search import WatchList
from auditor.config import AuditConfig, RankingConfig, load
from auditor.embedding import features_of, stored_gallery
from auditor.errors import UsageError
from auditor.evaluation.rank_lists import CELL, MARGIN, choose_queries
from auditor.evaluation.utility import measure_watch_list, score_deployed, utility
from auditor.metrics.open_set import identification_rate, search_list
from auditor.metrics.reranking import expand_queries, k_reciprocal
from auditor.metrics.retrieval import evaluate, evaluate_scores
from auditor.metrics.similarity import Similarities, Truth
from auditor.report import LISTED
from auditor.types import Target
from tests import worlds

PLAIN = ["rank1", "rank5", "rank10", "map", "minp"]


def config(**settings):
    return AuditConfig.model_validate({"attacks": {"identity": {}}, **settings})


class Thumbnail(torch.nn.Module):
    """Features that are a few pixels of the middle: good enough to be right sometimes."""

    feature_dim = 3 * 8 * 4
    input_size = (32, 16)

    def forward(self, images):
        middle = images[:, :, 4:, 4:12]
        return torch.nn.functional.interpolate(middle, (8, 4), mode="area").flatten(1) - 0.5


@pytest.fixture(scope="module")
def target():
    return Target(Thumbnail(), worlds.people())


def columns(target):
    data = target.data
    return data.query.pids, data.gallery.pids, data.query.camids, data.gallery.camids


def test_a_few_people_are_drawn_unless_nobody_asks(target, tmp_path):
    ctx = worlds.context(tmp_path)
    found = utility(target, ctx, config(tsne_people=4, rank_lists=0), "cosine").embedding
    assert {place.person for place in found} == {0, 1, 2, 3}
    assert utility(target, ctx, config(tsne_people=0, rank_lists=0), "cosine").embedding == ()


class TestRanking:
    def test_plain_by_default_and_once(self, target, tmp_path):
        found = utility(target, worlds.context(tmp_path), config(), "cosine")
        assert [m.metric for m in found.measurements] == PLAIN
        assert RankingConfig().plain

    def test_both_ways_under_names_of_their_own(self, target, tmp_path):
        ctx = worlds.context(tmp_path)
        ranking = {"rerank": "k_reciprocal", "k1": 5, "k2": 2, "lambda": 0.4}
        found = utility(target, ctx, config(ranking=ranking, rank_lists=0), "cosine")
        figures = {m.metric: m for m in found.measurements}
        assert list(figures) == PLAIN + [f"{name}_reranked" for name in PLAIN]
        query, gallery = (
            features_of(target.extractor, target.data.query, ctx),
            stored_gallery(target, ctx),
        )
        wanted = evaluate_scores(
            k_reciprocal(query, gallery, k1=5, k2=2, weight=0.4), Truth(*columns(target))
        )
        plain = evaluate(query, gallery, Truth(*columns(target)))
        assert figures["map"].value == pytest.approx(plain.mean_ap)
        assert figures["map_reranked"].value == pytest.approx(wanted.mean_ap)
        assert figures["rank1_reranked"].value == pytest.approx(wanted.cmc(1))
        assert figures["map_reranked"].value != figures["map"].value
        assert "k1 = 5, k2 = 2, λ = 0.4" in figures["map_reranked"].note
        assert (figures["map_reranked"].worse, figures["map"].note) == ("lower", "")

    def test_expansion_comes_before_re_ranking(self, target, tmp_path):
        ctx = worlds.context(tmp_path)
        query = features_of(target.extractor, target.data.query, ctx)
        gallery = stored_gallery(target, ctx)
        ranking = RankingConfig.model_validate(
            {"rerank": "k_reciprocal", "expansion": "average", "neighbours": 3, "k1": 4}
        )
        averaged = expand_queries(query, gallery, k=3, alpha=0.0, distance="euclidean")
        wanted = k_reciprocal(averaged, gallery, k1=4, distance="euclidean")(slice(0, 9))
        assert torch.equal(
            score_deployed(ranking, query, gallery, "euclidean")(slice(0, 9)), wanted
        )
        alpha = RankingConfig(expansion="alpha", neighbours=3, alpha=2.0)
        weighted = Similarities.of(
            expand_queries(query, gallery, k=3, alpha=2.0), gallery, "cosine"
        )
        found = score_deployed(alpha, query, gallery, "cosine")(slice(0, 9))
        assert torch.equal(found, weighted(slice(0, 9)))

    @pytest.mark.parametrize(
        "ranking",
        [{"k1": 0}, {"lambda": 1.1}, {"rerank": "jaccard"}, {"weight": 0.3}, {"neighbours": 0}],
    )
    def test_what_cannot_be_followed_is_refused(self, ranking):
        with pytest.raises(ValidationError):
            RankingConfig.model_validate(ranking)

    def test_it_is_set_from_the_command_line_and_recorded(self):
        flags = {"preset": "demo"}
        given = load(None, flags, ["ranking.rerank=k_reciprocal", "ranking.lambda=0.5"])
        assert not given.ranking.plain
        assert given.to_record()["ranking"]["lambda"] == 0.5
        assert AuditConfig.model_validate(given.to_record()).ranking == given.ranking
        with pytest.raises(UsageError, match=r"ranking\.k3: Extra inputs"):
            load(None, flags, ["ranking.k3=1"])


class TestRankLists:
    @pytest.fixture
    def lists(self, target, tmp_path):
        return utility(target, worlds.context(tmp_path), config(), "euclidean").rank_lists

    def test_matches_are_the_nearest_of_other_cameras_or_people(self, target, lists, tmp_path):
        data, ctx = target.data, worlds.context(tmp_path)
        query, gallery = (
            features_of(target.extractor, split, ctx).double()
            for split in (data.query, data.gallery)
        )
        people = list(zip(data.query.pids.tolist(), data.query.camids.tolist(), strict=True))
        for shown in lists:
            row = people.index((int(shown.query_id), int(shown.query_camera)))
            wanted = similar(query[row], gallery, data, row)
            names = [int(data.gallery.pids[entry]) for _, entry in wanted]
            assert [int(m.match_id) for m in shown.matches] == names[:LISTED]
            assert [m.similarity for m in shown.matches] == pytest.approx(
                [similarity for similarity, _ in wanted[:LISTED]], abs=1e-4
            )
            assert all(m.correct == (m.match_id == shown.query_id) for m in shown.matches)
            assert shown.rank == names.index(people[row][0]) + 1

    def test_half_are_wrong_and_the_hardest(self, target, lists):
        right = [shown.matches[0].correct for shown in lists]
        assert right == [False] * 3 + [True] * 3
        ranks = [shown.rank for shown in lists]
        assert ranks[:3] == sorted(ranks[:3], reverse=True)
        assert ranks[3:] == [1, 1, 1]

    def test_a_strip_holds_the_pictures_in_order(self, target, lists, tmp_path):
        with Image.open(lists[0].picture) as image:
            strip = np.asarray(image)
        height, width = CELL
        assert strip.shape == (height, width * (LISTED + 1), 4)
        assert strip[:MARGIN, :, 3].max() == 0
        data, seen = target.data, []
        for place in range(LISTED + 1):
            left = place * width + MARGIN
            cell = strip[MARGIN : height - MARGIN, left : left + width - 2 * MARGIN]
            assert cell[..., 3].min() == 255
            seen.append(torch.from_numpy(cell[..., :3].copy()).permute(2, 0, 1).float() / 255)
        size = (height - 2 * MARGIN, width - 2 * MARGIN)
        for split, ids, cells in (
            (data.query, [lists[0].query_id], seen[:1]),
            (data.gallery, [m.match_id for m in lists[0].matches], seen[1:]),
        ):
            for pid, cell in zip(ids, cells, strict=True):
                rows = (split.pids == int(pid)).nonzero().flatten().tolist()
                known = split.images.load(rows, size)
                assert (known - cell).abs().amax((1, 2, 3)).min() < 1 / 255

    def test_a_gallery_smaller_than_a_list_leaves_the_rest_empty(self, target, tmp_path):
        data = target.data
        keep = torch.tensor([0, len(data.gallery) - 1])
        small = replace(target, data=replace(data, gallery=data.gallery.take(keep)))
        ctx = worlds.context(tmp_path)
        (shown, *_) = utility(small, ctx, config(), "cosine").rank_lists
        assert 1 <= len(shown.matches) <= 2
        with Image.open(shown.picture) as image:
            assert image.size == (CELL[1] * (LISTED + 1), CELL[0])
            assert np.asarray(image)[:, 3 * CELL[1] :, 3].max() == 0

    def test_none_are_drawn_when_nobody_wants_them(self, target, tmp_path):
        found = utility(target, worlds.context(tmp_path), config(rank_lists=0), "cosine")
        assert found.rank_lists == ()
        assert list(tmp_path.iterdir()) == []

    def test_the_same_queries_every_time(self, target, tmp_path, lists):
        again = utility(target, worlds.context(tmp_path / "b"), config(), "euclidean").rank_lists
        names = [(x.query_id, x.query_camera, x.rank, x.matches) for x in lists]
        assert [(x.query_id, x.query_camera, x.rank, x.matches) for x in again] == names


@pytest.mark.parametrize(
    ("correct", "count", "wanted"),
    [
        ([1, 0, 1, 0, 0, 1, 1, 0, 1, 1], 6, [7, 4, 3, 0, 5, 8]),
        ([1, 1, 1, 1], 3, [0, 1, 2]),
        ([0, 0, 0, 0], 3, [3, 2, 1]),
        ([0, 1], 6, [0, 1]),
        ([1, 0, 1], 1, [0]),
        ([1, 0], 0, []),
    ],
)
def test_wrong_ones_first_and_each_makes_room_for_the_other(correct, count, wanted):
    rank = torch.arange(1.0, len(correct) + 1)
    assert choose_queries(rank, torch.tensor(correct).bool(), count) == wanted


def similar(query, gallery, data, row):
    """(similarity, entry), the nearest first, without the person's pictures by the own camera."""
    own = (data.gallery.pids == data.query.pids[row]) & (
        data.gallery.camids == data.query.camids[row]
    )
    distance = (gallery - query).square().sum(1).sqrt()
    entries = [entry for entry in range(len(gallery)) if not own[entry]]
    return sorted(((-float(distance[e]), e) for e in entries), reverse=True)


class TestWatchList:
    def test_misses_get_worse_as_they_rise_and_are_what_the_attack_finds_less(self, tmp_path):
        people = worlds.make_world(identities=60, auxiliary=2, cameras=2, images_per_camera=2)
        target, ctx = Target(Thumbnail(), people), worlds.context(tmp_path)
        found = {m.metric: m for m in utility(target, ctx, config(), "cosine").measurements}
        missed = found["fnir_at_fpir_1pct"]
        attacked = WatchList().run(target, ctx).measurements[0]
        assert missed.worse == attacked.worse == "higher"
        assert missed.value == pytest.approx(1 - attacked.value)
        assert "fnir_at_fpir_0_1pct" not in found, "120 searches cannot count one in a thousand"

    def test_distances_are_compared_across_queries(self, tmp_path):
        people = worlds.make_world(identities=60, auxiliary=2, cameras=2, images_per_camera=2)
        target, ctx = Target(Thumbnail(), people), worlds.context(tmp_path)
        splits = people.query, people.gallery
        query, gallery = (features_of(target.extractor, split, ctx) for split in splits)
        truth = Truth.of(people.query, people.gallery)
        (missed,) = measure_watch_list(Similarities.of(query, gallery, "euclidean"), truth)
        distances = -torch.cdist(query, gallery)
        wanted = search_list(lambda block: distances[block], truth)
        assert missed.value == pytest.approx(1 - identification_rate(wanted, 0.01, "tpir").value)
