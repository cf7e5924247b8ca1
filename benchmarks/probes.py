"""Linear probes beside scikit-learn's: how long they take to learn, and what they read.

`python -m benchmarks.probes --data DIR --features FILE.npz` takes the annotated people of DIR, and
their features as `benchmarks/rungs.py` keeps them; without, Gaussian people are drawn. Each probe
learns all attributes of the auxiliary people and reads the gallery, on one thread, in turn.
"""

import argparse
import statistics
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression
from torch import Tensor

from attacks.attribute.boundaries import learn_boundaries
from attacks.attribute.colours import with_colours
from attacks.attribute.labels import MEASURABLE, attackable, recode
from attacks.attribute.learning import Known, Reader, pool_entries
from attacks.attribute.sklearn_learners import one_each
from auditor.data import open_dataset
from auditor.types import MISSING, RunContext
from benchmarks import measuring

INVERSE_PENALTY = 0.3


def real(data: Path, features: Path) -> tuple[Known, Tensor, Tensor]:
    """Return what `attribute_logistic` learns from, what it reads, and what is true of that."""
    people = open_dataset(data)
    auxiliary, gallery = with_colours(people.auxiliary, people.gallery)
    codes = attackable(auxiliary, gallery, MEASURABLE)
    with np.load(features) as kept:
        own, stored = (torch.from_numpy(kept[name]) for name in ("auxiliary", "gallery"))
    sizes = tuple(map(len, codes.values()))
    known = Known(own, recode(auxiliary, codes), auxiliary.pids, sizes)
    everything = torch.arange(len(stored))
    known, stored, _ = pool_entries(None)(known, stored, everything, RunContext())
    return known, stored, recode(gallery, codes)


def drawn(rows: int, columns: int, sizes: tuple[int, ...]) -> tuple[Known, Tensor, Tensor]:
    """Return the same of Gaussian people, half of whom are read."""
    draw = torch.Generator().manual_seed(0)
    pids = torch.arange(2 * rows) % (rows // 10) + 1
    centres = torch.randn(rows // 10 + 1, columns, generator=draw)
    features = centres[pids] + torch.randn(2 * rows, columns, generator=draw)
    features = torch.nn.functional.normalize(features, dim=1)
    ways = [torch.randn(columns, size, generator=draw) for size in sizes]
    labels = torch.stack([(centres @ way).argmax(1)[pids] for way in ways], dim=1)
    own = pids <= rows // 20
    return Known(features[own], labels[own], pids[own], sizes), features[~own], labels[~own]


def accuracy(scores: list[Tensor], truth: Tensor) -> float:
    """Return the mean balanced accuracy over attributes and entries."""
    found = []
    for score, label in zip(scores, truth.T, strict=True):
        classes = label[label != MISSING].unique()
        right = score.argmax(1) == label
        found.append(statistics.mean(float(right[label == k].double().mean()) for k in classes))
    return statistics.mean(found)


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--features", type=Path)
    parser.add_argument("--repeats", type=int, default=7)
    given = parser.parse_args()
    torch.set_num_threads(1)
    sizes = (2,) * 10 + (6,)
    known, stored, truth = (
        real(given.data, given.features) if given.data else drawn(6000, 256, sizes)
    )

    def theirs() -> Reader:
        return one_each(known, lambda: LogisticRegression(C=INVERSE_PENALTY, max_iter=500))

    probes: dict[str, Callable[[], Reader]] = {
        "this project": lambda: learn_boundaries(known, INVERSE_PENALTY),
        "scikit-learn": theirs,
    }
    seconds = measuring.alternate(probes, given.repeats)
    rows, columns = known.rows.shape
    print(f"{len(known.sizes)} attributes of {rows} rows x {columns}; {measuring.machine()}\n")
    print("| | CPU-s to learn | times this project | mean balanced accuracy |\n|---|---|---|---|")
    for name, learn in probes.items():
        times = measuring.ratio(seconds[name], seconds["this project"])
        spent = statistics.median(seconds[name])
        print(f"| {name} | {spent:.3f} | {times:.2f}× | {accuracy(learn()(stored), truth):.4f} |")


if __name__ == "__main__":
    main()
