"""What training with noise or apart costs a model: re-identification beside the ε it bought.

`python benchmarks/private_training.py [DATA] [--arch NAME] [--size H W] [--people N] [--pictures N]
[--defend SPEC …]` retrains a model by each SPEC, written as for `audit run --defend`, and prints a
Markdown table. Without DATA, people are drawn. Above the specs stand the shipped weights (of
`reference`; random ones of others), and a network that was never trained, below which no training
is of use.
"""

import argparse
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import torch

from auditor.config.blocks import read_defenses
from auditor.config.chain import parse
from auditor.data import open_dataset
from auditor.data.synthetic import make_world
from auditor.models.architectures.registry import build
from auditor.models.card import Card
from auditor.models.extractor import CardedExtractor
from auditor.models.reference import load_reference
from auditor.report import PrivacyClaim
from auditor.training.job import utility
from auditor.types import ReIDDataset, RunContext, Split, Target
from defenses.dp_sgd.student import private_copy, unwrap_norms

Row = tuple[str, Target, float]


def few(split: Split, people: int, pictures: int) -> Split:
    """Return the first people of a split, and their first pictures; distractors are left out."""
    if not people:
        return split
    named = split.pids[split.pids > 0].unique()[:people].tolist()
    rows = [(split.pids == pid).nonzero().flatten()[:pictures] for pid in named]
    return split.take(torch.cat(rows))


def world(given: argparse.Namespace) -> ReIDDataset:
    """Return the people asked for."""
    if given.data is None:
        people = given.people or 100
        return make_world(identities=40, auxiliary=people, cameras=3, images_per_camera=2, seed=7)
    data = open_dataset(given.data)
    return replace(data, train=few(data.train, given.people, given.pictures))


def rows(given: argparse.Namespace, target: Target, ctx: RunContext) -> Iterator[Row]:
    """Name, target, and the seconds it took to make it."""
    extractor = target.extractor
    assert isinstance(extractor, CardedExtractor)
    yield "as given", target, 0.0
    with ctx.randomness("untrained"):
        untrained = private_copy(extractor, scratch=True).eval()
    unwrap_norms(untrained.network)
    yield "untrained, group normalisation", replace(target, extractor=untrained), 0.0
    for spec in given.defend:
        (defense,) = read_defenses(*parse(spec))
        start = time.perf_counter()
        made = defense.apply(target, ctx)
        yield spec, made, time.perf_counter() - start


def shown(claims: tuple[PrivacyClaim, ...]) -> str:
    """Return noise multiplier, and ε for a unit and for a person."""
    if not claims or claims[0].training is None:
        return "– | – | –"
    claim = claims[0]
    epsilons = [claim.epsilon_certified, claim.epsilon_identity]
    numbers = ["unbounded" if e is None else f"{e:.3g}" for e in epsilons]
    return " | ".join([f"{claims[0].training.noise_multiplier:.3g}", *numbers])


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", nargs="?", type=Path)
    parser.add_argument("--arch", default="reference")
    parser.add_argument("--size", nargs=2, type=int, default=(64, 32))
    parser.add_argument(
        "--people", type=int, default=0, help="to train on; 0: all, or 100 drawn ones"
    )
    parser.add_argument("--pictures", type=int, default=8, help="of each, with --people")
    parser.add_argument("--defend", action="append", default=[])
    given = parser.parse_args()
    height, width = given.size
    card = Card(height=height, width=width, l2_norm=True)
    drawn = given.arch == "reference"
    network = load_reference() if drawn else build(given.arch, (height, width)).eval()
    target = Target(CardedExtractor(network, card), world(given))
    pids = target.data.train.pids
    print(f"{len(pids)} pictures of {len(pids.unique())} people to train on\n")
    print("| training | noise multiplier | ε | ε person | rank-1 | mAP | seconds |")
    print("|---|---|---|---|---|---|---|")
    ctx = RunContext()
    for label, made, seconds in rows(given, target, ctx):
        assert isinstance(made.extractor, CardedExtractor)
        found = {m.metric: m for m in utility(made.extractor, made.data, ctx)}
        figures = [
            f"{m.value:.1%} ({m.low:.1%}–{m.high:.1%})" for m in (found["rank1"], found["map"])
        ]
        print(
            f"| {label} | {shown(made.claims)} | {' | '.join(figures)} | {seconds:.0f} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
