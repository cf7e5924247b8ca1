"""What the re-identification itself is worth, ranked plainly and as the deployment ranks."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from auditor.config import AuditConfig, RankingConfig
from auditor.embedding import features_of, stored_gallery
from auditor.evaluation.projection import places
from auditor.evaluation.rank_lists import rank_lists
from auditor.metrics import measure
from auditor.metrics.open_set import LIMITS, miss_rate, search_list
from auditor.metrics.reranking import expand_queries, k_reciprocal
from auditor.metrics.retrieval import Retrieval, evaluate, evaluate_scores
from auditor.metrics.similarity import Distance, Scores, Similarities, Truth
from auditor.releasing import shared_rows
from auditor.report import (
    Finding,
    Match,
    Measurement,
    Place,
    PrivacyClaim,
    RankList,
)
from auditor.types import RunContext, Target


@dataclass(frozen=True, kw_only=True)
class Utility:
    """What a scenario's utility step found, or why it found nothing."""

    claims: tuple[PrivacyClaim, ...] = ()
    co_trained: tuple[Finding, ...] = ()
    measurements: tuple[Measurement, ...] = ()
    matches: tuple[Match, ...] = ()
    rank_lists: tuple[RankList, ...] = ()
    embedding: tuple[Place, ...] = ()
    reason: str = ""
    notes: tuple[str, ...] = ()
    bias: str = ""


def utility(target: Target, ctx: RunContext, config: AuditConfig, distance: Distance) -> Utility:
    """Rank the stored gallery for every query; pictures of rank lists go to ``ctx.workdir``.

    Raises:
        AuditError: if the features cannot be ranked, or no query has a true match.
    """
    data = target.data
    query, gallery = (
        features_of(target.extractor, target.deployed_query, ctx),
        stored_gallery(target, ctx),
    )
    truth = Truth.of(data.query, data.gallery, cross_camera=data.cross_camera)
    scores = Similarities.of(query, gallery, distance)
    found = evaluate_scores(scores, truth)
    best = scores.similarity(found.query_index, found.best_score)
    figures = (*measurements(found, target), *measure_watch_list(scores, truth))
    if not config.ranking.plain:
        mended = evaluate_scores(score_deployed(config.ranking, query, gallery, distance), truth)
        figures += measure_reranked(measurements(mended, target), config.ranking)
    return Utility(
        measurements=figures,
        matches=matches_of(replace(found, best_score=best), target),
        rank_lists=rank_lists(scores, truth, found, target, config.rank_lists, ctx.workdir),
        embedding=places(
            gallery, target.originals_of_gallery.pids, config.tsne_people, distance, ctx
        ),
        notes=tuple(_notes(gallery, data.gallery.pids)),
    )


def _notes(gallery: Tensor, pids: Tensor) -> Iterator[str]:
    """Yield what is odd about the stored rows ``(N, D)`` themselves."""
    if shared := shared_rows(gallery, pids):
        yield (
            f"{shared} of {len(gallery)} stored rows are equal, to the last bit, to a row of "
            "another person: such rows distinguish nobody, so whatever is not found in them is no "
            "merit of a gallery that works"
        )


def search(target: Target, ctx: RunContext, distance: Distance) -> Retrieval:
    """Rank the stored gallery plainly for every query.

    Raises:
        AuditError: if the features cannot be ranked, or no query has a true match.
    """
    data = target.data
    return evaluate(
        features_of(target.extractor, target.deployed_query, ctx),
        stored_gallery(target, ctx),
        Truth.of(data.query, data.gallery, cross_camera=data.cross_camera),
        distance=distance,
    )


def score_deployed(
    ranking: RankingConfig, query: Tensor, gallery: Tensor, distance: Distance
) -> Scores:
    """Return the deployment's own scores of ``query (Q, D)`` and ``gallery (G, D)``."""
    if ranking.expansion != "none":
        alpha = ranking.alpha if ranking.expansion == "alpha" else 0.0
        query = expand_queries(query, gallery, k=ranking.neighbours, alpha=alpha, distance=distance)
    if ranking.rerank == "none":
        return Similarities.of(query, gallery, distance)
    how = {"k1": ranking.k1, "k2": ranking.k2}
    return k_reciprocal(query, gallery, **how, weight=ranking.weight, distance=distance)


def measurements(found: Retrieval, target: Target) -> tuple[Measurement, ...]:
    """rank1, rank5, rank10, map and minp, worse when lower, with intervals over identities."""
    pids = target.data.query.pids[found.query_index]
    matches = (target.data.gallery.pids > 0).double().mean()
    blind = float(matches) / max(1, len(target.data.gallery.pids.unique()))
    rows = [(f"rank{k}", found.hit(k)) for k in (1, 5, 10)]
    rates = [measure.rate(name, hits, pids) for name, hits in rows]
    rates[0] = replace(rates[0], chance=blind)
    means = [
        measure.mean("map", found.average_precision, pids),
        measure.mean("minp", found.inverse_penalty, pids),
    ]
    return tuple(replace(m, worse="lower") for m in (*rates, *means))


def measure_watch_list(scores: Similarities, truth: Truth) -> tuple[Measurement, ...]:
    """Measure how often a watch list misses somebody at rare false alarms, if that can be counted.

    As a leak the same rates are bounded from the other side, by the attacks of the family `search`.
    """

    def comparable(block: slice) -> Tensor:
        rows = torch.arange(len(truth.query_pids))[block]
        return scores.similarity(rows, scores(block))

    searches = search_list(comparable, truth)
    return tuple(
        replace(miss_rate(searches, limit, f"fnir_at_fpir_{name}"), worse="higher")
        for name, limit in LIMITS.items()
        if searches.absent >= 1 / limit and searches.listed.any()
    )


def measure_reranked(
    figures: tuple[Measurement, ...], ranking: RankingConfig
) -> tuple[Measurement, ...]:
    """Return the figures under names of their own, with how the ranking was mended."""
    steps = []
    if ranking.expansion == "average":
        steps.append(f"average query expansion over {ranking.neighbours} entries")
    if ranking.expansion == "alpha":
        over = f"over {ranking.neighbours} entries (α = {ranking.alpha:g})"
        steps.append(f"alpha query expansion {over}")
    if ranking.rerank == "k_reciprocal":
        how = f"k1 = {ranking.k1}, k2 = {ranking.k2}, λ = {ranking.weight:g}"
        steps.append(f"k-reciprocal re-ranking ({how}) of all queries and entries together")
    note = f"re-ranked figures: {', then '.join(steps)}"
    return tuple(replace(m, metric=f"{m.metric}_reranked", note=note) for m in figures)


def matches_of(found: Retrieval, target: Target) -> tuple[Match, ...]:
    """Return the top gallery entry of every valid query."""
    query, gallery = target.data.query, target.data.gallery
    rows = zip(
        found.query_index.tolist(),
        found.best_index.tolist(),
        found.best_score.tolist(),
        found.rank.tolist(),
        strict=True,
    )
    return tuple(
        Match(
            query_id=str(int(query.pids[q])),
            query_camera=str(int(query.camids[q])),
            match_id=str(int(gallery.pids[g])),
            match_camera=str(int(gallery.camids[g])),
            similarity=score,
            correct=bool(query.pids[q] == gallery.pids[g]),
            rank=rank,
        )
        for q, g, score, rank in rows
    )
