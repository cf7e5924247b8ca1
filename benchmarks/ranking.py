"""What re-ranking and query expansion make of a model: figures with intervals, and their price.

`python benchmarks/ranking.py MODEL DATA [--arch NAME] [--card NAME] [--k1 N] [--k2 N] [--weight W]`
embeds query and gallery once, and prints a Markdown table. `--rows N` instead times re-ranking on
that many random pictures.
"""

import argparse
import resource
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from auditor.data import open_dataset
from auditor.embedding import features_of
from auditor.metrics import measure
from auditor.metrics.reranking import expand_queries, k_reciprocal
from auditor.metrics.retrieval import Retrieval, evaluate_scores
from auditor.metrics.similarity import Scores, Similarities, Truth
from auditor.models import open_model
from auditor.models.card import card_from
from auditor.report import Measurement
from auditor.types import ReIDDataset, RunContext

QUERY_SHARE = 0.17
"""Of the pictures of Market-1501's test set (3,368 of 19,281)."""


def rankings(query: Tensor, gallery: Tensor, given: argparse.Namespace) -> dict[str, Callable]:
    """Name -> who prepares the scores."""

    def reranked(query: Tensor) -> Scores:
        return k_reciprocal(query, gallery, k1=given.k1, k2=given.k2, weight=given.weight)

    def averaged(alpha: float) -> Tensor:
        return expand_queries(query, gallery, k=given.neighbours, alpha=alpha)

    return {
        "plain": lambda: Similarities.of(query, gallery, "cosine"),
        "average expansion": lambda: Similarities.of(averaged(0.0), gallery, "cosine"),
        "alpha expansion": lambda: Similarities.of(averaged(given.alpha), gallery, "cosine"),
        "k-reciprocal": lambda: reranked(query),
        "alpha expansion, then k-reciprocal": lambda: reranked(averaged(given.alpha)),
    }


def figures(found: Retrieval, pids: Tensor) -> list[Measurement]:
    """Rank-1, mAP and mINP over people."""
    pids = pids[found.query_index]
    return [
        measure.rate("rank-1", found.hit(1), pids),
        measure.mean("mAP", found.average_precision, pids),
        measure.mean("mINP", found.inverse_penalty, pids),
    ]


def compare(data: ReIDDataset, query: Tensor, gallery: Tensor, given: argparse.Namespace) -> None:
    """One row per ranking."""
    people = (data.query.pids, data.gallery.pids, data.query.camids, data.gallery.camids)
    truth = Truth(*people, cross_camera=data.cross_camera)
    print("| ranking | rank-1 | mAP | mINP | CPU-s |\n|---|---|---|---|---|")
    for name, prepare in rankings(query, gallery, given).items():
        began = time.process_time()
        found = evaluate_scores(prepare(), truth)
        seconds = time.process_time() - began
        cells = [
            f"{m.value:.1%} ({m.low:.1%}–{m.high:.1%})" for m in figures(found, data.query.pids)
        ]
        print(f"| {name} | {' | '.join(cells)} | {seconds:.2f} |")


def scale(rows: int, given: argparse.Namespace) -> None:
    """Seconds and memory of re-ranking ``rows`` random pictures of rows / 13 people."""
    generator = torch.Generator().manual_seed(0)
    people = max(1, rows // 13)
    pids = torch.randint(1, people + 1, (rows,), generator=generator)
    camids = torch.randint(0, 6, (rows,), generator=generator)
    centres = torch.randn(people + 1, 512, generator=generator)
    features = centres[pids] + 2 * torch.randn(rows, 512, generator=generator)
    count = int(rows * QUERY_SHARE)
    truth = Truth(pids[:count], pids[count:], camids[:count], camids[count:])
    for name, prepare in rankings(features[:count], features[count:], given).items():
        before, began = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
        found = evaluate_scores(prepare(), truth)
        grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 2**10
        seconds = time.process_time() - began
        print(f"{name}: {seconds:.1f} CPU-s, {grown:.0f} MB more, mAP {found.mean_ap:.3f}")


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", type=Path, nargs="?")
    parser.add_argument("data", type=Path, nargs="?")
    parser.add_argument("--arch")
    parser.add_argument("--card", default="torchreid")
    parser.add_argument("--k1", type=int, default=20)
    parser.add_argument("--k2", type=int, default=6)
    parser.add_argument("--weight", type=float, default=0.3)
    parser.add_argument("--neighbours", type=int, default=5)
    parser.add_argument("--alpha", type=float, default=3.0)
    parser.add_argument("--rows", type=int, default=0)
    given = parser.parse_args()
    torch.set_num_threads(1)
    if given.rows:
        scale(given.rows, given)
        return
    ctx = RunContext()
    card = card_from(given.card, {})
    model = open_model(given.model, arch=given.arch, card=card, device=ctx.device)
    data = open_dataset(given.data)
    splits = (data.query, data.gallery)
    compare(data, *(features_of(model.extractor, split, ctx) for split in splits), given)


if __name__ == "__main__":
    main()
