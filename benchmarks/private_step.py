"""What a step of differentially private training costs, by how many units are in memory at once.

`python -m benchmarks.private_step [--arch reid_resnet18] [--size 128 64] [--batch 32] [--chunks 32
8 4 2 1]` makes a step on random pictures, of which a batch takes part, for each `chunk` of
`dp_sgd`, in a process of its own, and prints seconds and memory as shares of the first one's. With
a chunk as large as the batch that is what Opacus' hooks do by themselves.
"""

import argparse
import json
import subprocess
import sys
import time

import torch

from auditor.models.architectures.registry import build
from auditor.models.card import Card
from auditor.models.extractor import CardedExtractor
from auditor.training.sampler import pictures
from auditor.types import MemoryImages, RunContext, Split
from benchmarks import measuring
from defenses.dp_sgd.randomness import SecretStream, seeded_secret
from defenses.dp_sgd.student import Student, private_copy
from defenses.dp_sgd.training import Settings, Units, learn

UNITS = 4
"""Times as many units as take part in a step."""


def measure(given: argparse.Namespace, chunk: int) -> dict[str, float]:
    """Return CPU-seconds of a step and MB above what was there before the first."""
    torch.set_num_threads(1)
    height, width = given.size
    network = build(given.arch, (height, width))
    extractor = private_copy(
        CardedExtractor(network, Card(height=height, width=width)), scratch=False
    )
    draw = torch.Generator().manual_seed(0)
    count = UNITS * given.batch
    pixels = torch.randint(0, 256, (count, 3, height, width), generator=draw, dtype=torch.uint8)
    pids = torch.arange(count) % 16 + 1
    shown = pictures(Split(MemoryImages(pixels), pids, pids), (height, width))
    student = Student(extractor, 16)
    settings = Settings(1, given.batch, chunk, 1e-3, 1.0, 1.0)
    stream = SecretStream(seeded_secret(0, "benchmark"))

    def one_pass() -> None:
        learn(student, extractor, Units.images(shown, draw), settings, stream, RunContext())

    memory = measuring.megabytes(one_pass)
    began = time.process_time()
    one_pass()
    return {"seconds": (time.process_time() - began) / UNITS, "megabytes": memory}


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--arch", default="reid_resnet18")
    parser.add_argument("--size", nargs=2, type=int, default=(128, 64))
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--chunks", nargs="*", type=int, default=[32, 8, 4, 2, 1])
    parser.add_argument("--alone", type=int, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.alone:
        print(json.dumps(measure(given, given.alone)))
        return
    print(f"{given.arch}, {given.batch} pictures of {given.size}; {measuring.machine()}\n")
    print("| units at once | CPU-s per step | of the first | MB | of the first |")
    print("|---|---|---|---|---|")
    first: dict[str, float] = {}
    for chunk in given.chunks:
        command = [sys.executable, "-m", "benchmarks.private_step", *sys.argv[1:]]
        done = subprocess.run(
            [*command, "--alone", str(chunk)], check=True, capture_output=True, text=True
        )
        found = json.loads(done.stdout.splitlines()[-1])
        first = first or found
        cells = [
            f"{found[key]:.{digits}f} | {found[key] / first[key]:.2f}"
            for key, digits in (("seconds", 2), ("megabytes", 0))
        ]
        print(f"| {chunk} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
