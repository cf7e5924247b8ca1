"""What re-ranking and query expansion make of a model: figures with intervals, and their price.

`python -m benchmarks.ranking MODEL DATA [--arch NAME] [--card NAME] [--k1 N] [--k2 N] [--weight W]`
embeds query and gallery once, and prints a Markdown table. With `--gallery N [--queries N]
[--torchreid CHECKOUT]` instead of model and data it times re-ranking random pictures.
"""

import argparse
import statistics
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
from benchmarks import measuring, peers


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


def scale(given: argparse.Namespace) -> None:
    """Seconds and memory of re-ranking random pictures, beside torchreid's where it is at hand."""
    queries, rows = given.queries, given.queries + given.gallery
    generator = torch.Generator().manual_seed(0)
    people = max(1, rows // 13)
    pids = torch.randint(1, people + 1, (rows,), generator=generator)
    camids = torch.randint(0, 6, (rows,), generator=generator)
    centres = torch.randn(people + 1, 512, generator=generator)
    features = centres[pids] + 2 * torch.randn(rows, 512, generator=generator)
    query, gallery = features[:queries], features[queries:]
    truth = Truth(pids[:queries], pids[queries:], camids[:queries], camids[queries:])
    settings = {"k1": given.k1, "k2": given.k2}

    def mean_ap(scores: Scores | Tensor) -> float:
        return evaluate_scores(scores, truth).mean_ap

    runs = {
        "this project": lambda: mean_ap(
            k_reciprocal(query, gallery, weight=given.weight, **settings)
        )
    }
    if given.torchreid is not None:
        library = peers.torchreid(given.torchreid)

        def theirs() -> float:
            pairs = (query, gallery), (query, query), (gallery, gallery)
            # distances whose squares, which it ranks by, are those of unit rows
            distmats = [
                (2 * library.distance(*pair, "cosine")).clamp_min(0).sqrt().numpy()
                for pair in pairs
            ]
            reranked = library.rerank(*distmats, **settings, lambda_value=given.weight)
            return mean_ap(-torch.from_numpy(reranked))

        runs["torchreid"] = theirs
    memory = {name: measuring.megabytes(run) for name, run in runs.items()}
    seconds = measuring.alternate(runs, given.repeats)
    print(f"{queries} x {given.gallery} x 512; {measuring.machine()}\n")
    print("| | CPU-s | times this project | MB above inputs | mAP |\n|---|---|---|---|---|")
    for name, run in runs.items():
        times = measuring.ratio(seconds[name], seconds["this project"])
        spent = statistics.median(seconds[name])
        print(f"| {name} | {spent:.2f} | {times:.1f}× | {memory[name]:.0f} | {run():.9f} |")


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
    parser.add_argument("--queries", type=int, default=1000)
    parser.add_argument("--gallery", type=int, default=0)
    parser.add_argument("--torchreid", type=Path, help="checkout, with rank_cylib built")
    parser.add_argument("--repeats", type=int, default=3)
    given = parser.parse_args()
    torch.set_num_threads(1)
    if given.gallery:
        scale(given)
        return
    ctx = RunContext()
    card = card_from(given.card, {})
    model = open_model(given.model, arch=given.arch, card=card, device=ctx.device)
    data = open_dataset(given.data)
    splits = (data.query, data.gallery)
    compare(data, *(features_of(model.extractor, split, ctx) for split in splits), given)


if __name__ == "__main__":
    main()
