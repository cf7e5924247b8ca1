"""Speed of retrieval against the sort-based evaluation that re-ID code bases share.

`python benchmarks/retrieval.py [--queries N] [--gallery N] [--dim N]` alternates both in one
process and prints the ratio of their best times and both results.
"""

import argparse
import time

import numpy as np
import torch

from auditor.metrics.retrieval import evaluate
from auditor.metrics.similarity import Truth


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


def by_sorting(qf, gf, qp, gp, qc, gc) -> tuple[float, float]:  # noqa: ANN001
    """Rank-1 and mAP from a full distance matrix and an argsort per query (torchreid's rule)."""
    qf, gf = (torch.nn.functional.normalize(x, dim=1) for x in (qf, gf))
    distmat = (1 - qf @ gf.T).numpy()
    order = np.argsort(distmat, axis=1)
    gp, gc, qp, qc = (x.numpy() for x in (gp, gc, qp, qc))
    hits, precisions = [], []
    for i, ranked in enumerate(order):
        keep = ~((gp[ranked] == qp[i]) & (gc[ranked] == qc[i]))
        found = (gp[ranked] == qp[i])[keep]
        if found.any():
            hits.append(found[0])
            places = np.flatnonzero(found) + 1
            precisions.append(np.mean(np.arange(1, len(places) + 1) / places))
    return float(np.mean(hits)), float(np.mean(precisions))


def by_counting(*columns) -> tuple[float, float]:  # noqa: ANN002
    """Rank-1 and mAP of this project."""
    query, gallery, *labels = columns
    found = evaluate(query, gallery, Truth(*labels))
    return found.cmc(1), found.mean_ap


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--queries", type=int, default=3368)
    parser.add_argument("--gallery", type=int, default=15913)
    parser.add_argument("--dim", type=int, default=512)
    parser.add_argument("--repeats", type=int, default=3)
    given = parser.parse_args()
    torch.set_num_threads(1)
    columns = world(given.queries, given.gallery, given.dim)
    best: dict[str, float] = {}
    values = {}
    for _ in range(given.repeats):
        for run in (by_counting, by_sorting):
            began = time.process_time()
            values[run.__name__] = run(*columns)
            seconds = time.process_time() - began
            best[run.__name__] = min(seconds, best.get(run.__name__, np.inf))
    for name, seconds in best.items():
        rank1, mean_ap = values[name]
        print(f"{name}: {seconds:.2f} CPU-s, rank-1 {rank1:.6f}, mAP {mean_ap:.9f}")
    print(f"ratio {best['by_sorting'] / best['by_counting']:.2f}, one thread")


if __name__ == "__main__":
    main()
