"""How much each identity and linkage rung finds on one set of features, bare and under noise.

`python benchmarks/rungs.py --data DIR --model FILE --features FILE.npz [--epsilon 300 100]
[--rungs identity_lda identity_plda …]` embeds once into FILE.npz, or reads it back, and prints one
row for each rung. Beside the headline stands its 95% interval. `--synthetic 80` takes the shipped
extractor and so many attacked synthetic people instead, by three cameras with four pictures each.
"""

import argparse
from pathlib import Path

import numpy as np
import torch

from auditor import plugins
from auditor.data import open_dataset
from auditor.data.synthetic import make_world
from auditor.embedding import features_of
from auditor.models import open_model
from auditor.models.card import card_from
from auditor.models.reference import WEIGHTS
from auditor.types import RunContext, Target
from defenses.dp_gallery import GalleryNoise

RUNGS = (
    "identity",
    "identity_linear",
    "identity_mlp",
    "identity_lda",
    "identity_plda",
    "identity_metric",
    "identity_transductive",
    "linkage",
    "linkage_plda",
    "linkage_metric",
)
SPLITS = ("auxiliary", "gallery", "query")


def embed(target: Target, file: Path) -> RunContext:
    """Return a context with the features in ``file``, which is written if it is not there."""
    ctx = RunContext()
    splits = {name: getattr(target.data, name) for name in SPLITS}
    if file.exists():
        with np.load(file) as kept:
            for name, split in splits.items():
                ctx.cache.add_features(target.extractor, split, torch.from_numpy(kept[name]))
    else:
        rows = {n: features_of(target.extractor, split, ctx) for n, split in splits.items()}
        np.savez(file, **{name: features.numpy() for name, features in rows.items()})
    return ctx


def release(target: Target, epsilon: float | None, ctx: RunContext) -> Target:
    """Return the bare gallery, or with noise for ``epsilon``."""
    if epsilon is None:
        return target
    return GalleryNoise(epsilon=epsilon, trials=200).apply(target, ctx)


def synthetic(people: int) -> Target:
    """Return the shipped extractor on synthetic ``people``; the adversary has twice as many."""
    card = {"height": 128, "width": 64, "l2_norm": True}
    model = open_model(WEIGHTS, arch="reference", card=card_from("torchreid", card))
    data = make_world(identities=people, auxiliary=2 * people, images_per_camera=4, seed=20)
    return Target(model.extractor, data)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--synthetic", type=int, metavar="PEOPLE")
    parser.add_argument("--data", type=Path)
    parser.add_argument("--model", type=Path)
    parser.add_argument("--features", type=Path)
    parser.add_argument("--epsilon", type=float, nargs="*", default=[300.0, 100.0])
    parser.add_argument("--rungs", nargs="*", default=list(RUNGS))
    given = parser.parse_args()
    if given.synthetic:
        bare, ctx = synthetic(given.synthetic), RunContext()
    elif given.data and given.model and given.features:
        model = open_model(given.model, arch=None, card=card_from("torchreid", {}))
        bare = Target(model.extractor, open_dataset(given.data))
        ctx = embed(bare, given.features)
    else:
        parser.error("either --synthetic, or --data, --model and --features")
    targets = [release(bare, epsilon, ctx) for epsilon in (None, *given.epsilon)]
    print("| rung | bare |", " | ".join(f"ε = {epsilon:g}" for epsilon in given.epsilon), "|")
    print("|---" * (2 + len(given.epsilon)) + "|")
    for rung in given.rungs:
        attack = plugins.build("attacks", rung, {})
        found = [attack.run(target, ctx).measurements[0] for target in targets]
        cells = [f"{m.value:.1%} ({100 * m.low:.1f}–{100 * m.high:.1f})" for m in found]
        print(f"| `{rung}` |", " | ".join(cells), "|", flush=True)


if __name__ == "__main__":
    main()
