"""Probes that name people beside scikit-learn's: how long they take, and how often they are right.

`python -m benchmarks.identity_probes [--features FILE.npz]` takes features and labels from a file
as `benchmarks/rungs.py` keeps them, with ``gallery_pids`` and ``auxiliary_pids``; without,
Gaussian people are drawn. Half of each person's entries are known and the others are named, on one
thread, in turn. Ours is timed with its intervals, the peer's fit and prediction without.
"""

import argparse
import statistics
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.linear_model import LogisticRegression
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import Tensor

from attacks.protocol.closed_set import split_gallery
from auditor import plugins
from auditor.data.features import FeatureRows, StoredFeatures
from auditor.embedding import stored_gallery
from auditor.types import ReIDDataset, RunContext, Split, Target
from benchmarks import measuring
from defenses.dp_gallery import GalleryNoise

PEERS: dict[str, Callable[[], Any]] = {
    "identity_lda": lambda: LinearDiscriminantAnalysis(solver="lsqr", shrinkage="auto"),
    "identity_linear": lambda: LogisticRegression(max_iter=500),
    "identity": lambda: LogisticRegression(max_iter=500),
    "identity_mlp": lambda: MLPClassifier((512,), max_iter=60, early_stopping=False),
}
"""Attack -> the peer of scikit-learn that learns the same kind of boundary."""


def stored(rows: Tensor, pids: Tensor) -> Split:
    """Return features of people as a split."""
    return Split(FeatureRows(rows), pids, torch.full_like(pids, -1))


def real(file: Path) -> Target:
    """Return the gallery and the adversary's own people from a file."""
    with np.load(file) as kept:
        gallery, auxiliary = (
            stored(torch.from_numpy(kept[name]), torch.from_numpy(kept[f"{name}_pids"]).long())
            for name in ("gallery", "auxiliary")
        )
    return of_features(gallery, auxiliary)


def drawn(people: int, each: int, columns: int) -> Target:
    """Return Gaussian people, as many in the gallery as the adversary's own."""
    draw = torch.Generator().manual_seed(0)
    pids = torch.arange(2 * people).repeat_interleave(each) + 1
    centres = torch.randn(2 * people + 1, columns, generator=draw)
    rows = centres[pids] + 2 * torch.randn(len(pids), columns, generator=draw)
    attacked = pids <= people
    return of_features(
        stored(rows[attacked], pids[attacked]), stored(rows[~attacked], pids[~attacked])
    )


def of_features(gallery: Split, auxiliary: Split) -> Target:
    """Return a target without a model."""
    nobody = gallery.take(torch.arange(0))
    data = ReIDDataset("features", auxiliary, nobody, gallery, auxiliary)
    return Target(StoredFeatures(gallery.images.features.shape[1]), data)


def add_noise(target: Target, epsilon: float) -> Target:
    """Return the same people with one release under noise in the gallery's place."""
    ctx = RunContext()
    noisy = stored_gallery(GalleryNoise(epsilon=epsilon, trials=200).apply(target, ctx), ctx)
    return of_features(stored(noisy, target.data.gallery.pids), target.data.auxiliary)


def compare(name: str, target: Target, repeats: int) -> str:
    """Return a row about the attack ``name`` and its peer."""
    gallery, right = target.data.gallery, {}
    known, asked = split_gallery(gallery, "image", 0.5, RunContext())
    rows, pids = target.extractor.rows(gallery.images).numpy(), gallery.pids.numpy()
    attack = plugins.build("attacks", name, {})

    def ours() -> None:
        right["ours"] = attack.run(target, RunContext()).measurements[0].value

    def theirs() -> None:
        peer = make_pipeline(StandardScaler(), PEERS[name]()).fit(rows[known], pids[known])
        right["theirs"] = float((peer.predict(rows[asked]) == pids[asked]).mean())

    seconds = measuring.alternate({"ours": ours, "theirs": theirs}, repeats)
    mine, peers = (statistics.median(found) for found in seconds.values())
    return (
        f"| `{name}` | {mine:.2f} | {right['ours']:.1%} | `{type(PEERS[name]()).__name__}` "
        f"| {peers:.2f} | {right['theirs']:.1%} "
        f"| {measuring.ratio(seconds['theirs'], seconds['ours']):.2f}× |"
    )


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--features", type=Path)
    parser.add_argument("--epsilon", type=float, help="of noise on the gallery")
    parser.add_argument("--probes", nargs="*", default=list(PEERS))
    parser.add_argument("--repeats", type=int, default=5)
    given = parser.parse_args()
    torch.set_num_threads(1)
    warnings.filterwarnings("ignore", category=UserWarning)  # one entry of a person has no spread
    target = real(given.features) if given.features else drawn(300, 10, 256)
    if given.epsilon:
        target = add_noise(target, given.epsilon)
    print(f"{len(target.data.gallery.pids.unique())} people; {measuring.machine()}\n")
    print("| probe | CPU-s | top-1 | scikit-learn | CPU-s | top-1 | ratio |")
    print("|---|---|---|---|---|---|---|")
    for name in given.probes:
        print(compare(name, target, given.repeats), flush=True)


if __name__ == "__main__":
    main()
