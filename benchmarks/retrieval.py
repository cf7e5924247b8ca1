"""Speed and memory of retrieval beside torchreid's compiled evaluator and a bare product.

`python -m benchmarks.retrieval --torchreid CHECKOUT [--queries N] [--gallery N] [--dim N]` goes
from features to rank-1 and mAP, all in turn in one process and one thread, and prints a Markdown
table.
"""

import argparse
import statistics
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from auditor.metrics import counting
from auditor.metrics.retrieval import evaluate, evaluate_scores
from auditor.metrics.similarity import ALIGN, Truth
from benchmarks import measuring, peers


def world(queries: int, gallery: int, dim: int, people: int = 751, cameras: int = 6) -> tuple:
    """Random people around random centres, as features and labels."""
    generator = torch.Generator().manual_seed(0)
    centres = torch.randn(people + 1, dim, generator=generator)
    columns = []
    for count in (queries, gallery):
        pids = torch.randint(1, people + 1, (count,), generator=generator)
        camids = torch.randint(0, cameras, (count,), generator=generator)
        features = centres[pids] + 4 * torch.randn(count, dim, generator=generator)
        columns.append((features, pids, camids))
    return tuple(x for pair in zip(*columns, strict=True) for x in pair)


def count_ranks(columns: tuple, *, compiled: bool) -> tuple[float, float]:
    """Rank-1 and mAP of this project."""
    query, gallery, *labels = columns
    counting.WORTHWHILE = 0 if compiled else 2**62
    found = evaluate(query, gallery, Truth(*labels))
    return found.cmc(1), found.mean_ap


def multiply(query: Tensor, gallery: Tensor, block: int) -> None:
    """Compute the product alone, by blocks of queries, with a gallery padded beforehand."""
    for rows in query.split(block):
        rows @ gallery.T


def sort_ranks(columns: tuple, library: Any) -> tuple[float, float]:
    """Rank-1 and mAP of torchreid."""
    query, gallery, *labels = columns
    distmat = library.distance(query, gallery, "cosine").numpy()
    cmc, mean_ap = library.evaluate(distmat, *(x.numpy() for x in labels), use_cython=True)
    return float(cmc[0]), float(mean_ap)


def agreement(columns: tuple, library: Any) -> float:
    """Difference in mAP from torchreid's plain evaluator on one matrix of 300 queries.

    In double precision no two scores are equal; torchreid leaves the order of equal ones to chance.
    """
    query, gallery, *labels = columns
    query, labels[0], labels[2] = query[:300], labels[0][:300], labels[2][:300]
    distmat = library.distance(query.double(), gallery.double(), "cosine")
    _, theirs = library.evaluate(distmat.numpy(), *(x.numpy() for x in labels), use_cython=False)
    return float(abs(evaluate_scores(-distmat, Truth(*labels)).mean_ap - theirs))


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--torchreid", type=Path, help="checkout, with rank_cylib built")
    parser.add_argument("--queries", type=int, default=3368)
    parser.add_argument("--gallery", type=int, default=15913)
    parser.add_argument("--dim", type=int, default=512)
    parser.add_argument("--repeats", type=int, default=5)
    given = parser.parse_args()
    torch.set_num_threads(1)
    columns = world(given.queries, given.gallery, given.dim)
    padded = torch.nn.functional.pad(columns[1], (0, 0, 0, -len(columns[1]) % ALIGN))
    runs: dict[str, Callable[[], Any]] = {
        "product alone, padded": lambda: multiply(columns[0], padded, 256),
        "this project, torch": lambda: count_ranks(columns, compiled=False),
    }
    if counting.compile_counter() is not None:
        count_ranks(world(50, 100, 8), compiled=True)  # the compiler's memory is not the counts'
        runs["this project, numba"] = lambda: count_ranks(columns, compiled=True)
    library = peers.torchreid(given.torchreid) if given.torchreid else None
    if library is not None:
        runs["torchreid, Cython"] = lambda: sort_ranks(columns, library)
    memory = {name: measuring.megabytes(run) for name, run in runs.items()}
    seconds = measuring.alternate(runs, given.repeats)
    bare = seconds["product alone, padded"]
    peer = seconds.get("torchreid, Cython", bare)
    print(f"{given.queries} x {given.gallery} x {given.dim}; {measuring.machine()}\n")
    print("| | CPU-s | over the product | torchreid takes | MB above inputs | rank-1 | mAP |")
    print("|---|---|---|---|---|---|---|")
    for name, run in runs.items():
        times = measuring.ratio(seconds[name], bare), measuring.ratio(peer, seconds[name])
        rank1, mean_ap = run() or ("", "")
        shown = [f"{x:.9f}" if x else "" for x in (rank1, mean_ap)]
        cells = [f"{statistics.median(seconds[name]):.3f}", *(f"{x:.2f}×" for x in times)]
        print(f"| {name} | {' | '.join(cells)} | {memory[name]:.0f} | {' | '.join(shown)} |")
    if library is not None:
        print(f"\nmAP on one matrix differs by {agreement(columns, library):.1e}")


if __name__ == "__main__":
    main()
