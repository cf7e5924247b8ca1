"""Train the shipped extractor on synthetic people: ``python -m auditor.training.train_reference``.

A strong re-ID baseline in small (Luo et al., CVPRW 2019): identity softmax with label smoothing on
the neck, batch-hard triplets before it, P people × K cameras per batch, warm-up and cosine decay.
The people are of another world than any demo's, and each is seen by many cameras, so that the
network has to cope with cameras it never met.
"""

import time
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from auditor.data.synthetic import make_world
from auditor.evaluation.utility import search
from auditor.metrics.retrieval import Retrieval
from auditor.models.extractor import CardedExtractor
from auditor.models.reference import CARD, WEIGHTS, ReferenceNet, load_reference, save_reference
from auditor.training.recipe import Recipe
from auditor.training.reid import train_reid
from auditor.types import ReIDDataset, RunContext, Target

TRAIN_SEED, HELD_OUT_SEED = 90_001, 90_002
"""Worlds nobody draws by chance; demos and tests count from 0."""

RECIPE = Recipe(epochs=16, steps=100, lr=2e-3, precision="bf16")
"""bfloat16: half the time where the processor multiplies it, and no less accurate here."""


def train(people: int, cameras: int, recipe: Recipe = RECIPE, seed: int = 0) -> ReferenceNet:
    """Train from scratch; the same arguments give the same network on the same machine."""
    world = make_world(identities=1, auxiliary=people, cameras=cameras, images_per_camera=2,
                       seed=TRAIN_SEED)  # fmt: skip
    ctx = RunContext(seed=seed)
    with ctx.randomness("reference"):
        fresh = CardedExtractor(ReferenceNet(), CARD)
    net = train_reid(fresh, world.train, recipe, ctx).extractor.network
    assert isinstance(net, ReferenceNet)
    return net


def cross_camera_retrieval(net: ReferenceNet, world: ReIDDataset) -> Retrieval:
    """Return how well ``net`` finds the world's query people under the other cameras."""
    return search(Target(CardedExtractor(net, CARD), world), RunContext(), CARD.distance)


app = typer.Typer(add_completion=False)


@app.command()
def main(
    out: Annotated[Path, typer.Option(help="Where to write the weights.")] = WEIGHTS,
    epochs: Annotated[int, typer.Option(help="Rounds of training.")] = RECIPE.epochs,
    steps: Annotated[int, typer.Option(help="Batches of 64 pictures in a round.")] = RECIPE.steps,
    people: Annotated[int, typer.Option(help="Synthetic people to train on.")] = 750,
    cameras: Annotated[int, typer.Option(help="Cameras that see each of them.")] = 10,
    held_out: Annotated[int, typer.Option(help="Synthetic people to measure on.")] = 100,
) -> None:
    """Train the reference extractor, write its weights, and measure what was written."""
    start = time.perf_counter()
    save_reference(train(people, cameras, replace(RECIPE, epochs=epochs, steps=steps)), out)
    seconds = time.perf_counter() - start
    world = make_world(identities=held_out, auxiliary=0, seed=HELD_OUT_SEED)
    found = cross_camera_retrieval(load_reference(out), world)
    typer.echo(f"{out}: {out.stat().st_size / 1e6:.2f} MB after {seconds:.0f} s")
    typer.echo(f"held-out people: rank-1 {found.cmc(1):.3f}, mAP {found.mean_ap:.3f}")


if __name__ == "__main__":
    app()
