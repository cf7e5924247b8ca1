"""Memory that judging reconstructions takes, beside a table of all of them and the gallery.

`python -m benchmarks.judging [--people 10000] [--pictures 5]` compares a reconstruction of each
person with all real pictures as an attack is judged (found, mistaken, above the thresholds),
on features drawn at random, and prints the peak above inputs.
"""

import argparse
from typing import Any

import torch

from attacks.inversion.scoring import Known, Trial
from auditor.models.reference import load_reference
from auditor.types import MemoryImages, ReIDDataset, Split, Target
from benchmarks.measuring import machine, megabytes

CAMERAS = 5


def make_known(people: int, pictures: int, dim: int) -> tuple[Known, torch.Tensor]:
    """Return real pictures' features, and those of a reconstruction per person."""
    generator = torch.Generator().manual_seed(0)
    pids = torch.arange(1, people + 1).repeat_interleave(pictures)
    camids = torch.arange(len(pids)) % CAMERAS
    unseen = MemoryImages(torch.zeros(1, 3, 1, 1, dtype=torch.uint8).expand(len(pids), -1, -1, -1))
    gallery = Split(unseen, pids, camids)
    nobody = gallery.take(pids[:0])
    data = ReIDDataset("features", nobody, nobody, gallery, nobody)
    chosen = torch.arange(0, len(pids), pictures)
    drawn = torch.zeros(1, 3, 1, 1).expand(people, -1, -1, -1)
    features = torch.randn(len(pids), dim, generator=generator)
    trial = Trial(Target(load_reference(), data), chosen, drawn, drawn)
    seen = features[chosen] + torch.randn(people, dim, generator=generator)
    return Known(trial, features, pids, camids), seen


def judge(known: Known, seen: torch.Tensor) -> Any:
    """Search and compare as `attacks.inversion.scoring.score_identity` does."""
    other = len(seen) // 2
    found = [known.search(seen, shift) for shift in (0, other)]
    return found, known.compare(seen, (0, other), known.thresholds())


def main() -> None:
    """Print the peak, and what one whole table would take."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--people", type=int, default=10_000)
    parser.add_argument("--pictures", type=int, default=5)
    parser.add_argument("--dim", type=int, default=128)
    given = parser.parse_args()
    known, seen = make_known(given.people, given.pictures, given.dim)
    print(machine())
    peak, whole = megabytes(lambda: judge(known, seen)), len(seen) * len(known.pids) * 4 / 2**20
    print(f"{peak:,.0f} MB above inputs; one table of all scores: {whole:,.0f} MB")


if __name__ == "__main__":
    main()
