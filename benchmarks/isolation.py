"""What a worker costs: TorchScript of a ResNet-50 in the audit's process and in each isolation.

    setsid python benchmarks/isolation.py [--format torchscript] [--batch 64] [--repeat 5]

Every way runs in turn within each repetition, so that whatever else the machine does meets all of
them alike; printed are medians and their ratio to the audit's own process. Linux may share a busy
processor among sessions, of which a worker is one of its own: hence ``setsid``.
"""

import argparse
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import torch
from torchvision.models import resnet50

from auditor.embedding import pullback
from auditor.models import open_model
from auditor.models.card import Card
from auditor.models.extractor import CardedExtractor
from auditor.models.isolation.launch import Isolation

CARD = Card()
WAYS: tuple[Isolation, ...] = ("none", "weak", "auto")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--format", choices=["torchscript", "pt2"], default="torchscript")
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--repeat", type=int, default=5)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        models, opening = {}, {}
        form, path = given.format, write(Path(folder), given.format)
        for way in WAYS:
            start = time.perf_counter()
            models[form, way] = open_model(path, arch=None, card=CARD, isolation=way)
            opening[form, way] = time.perf_counter() - start
        images = torch.rand(given.batch, 3, CARD.height, CARD.width)
        extractors = {key: model.extractor for key, model in models.items()}
        for name, work in (("embed", embed), ("gradient", gradient)):
            report(name, measure(work, extractors, images, given.repeat))
        for key, seconds in opening.items():
            by = " ".join(models[key].facts["isolation"]["by"])
            print(f"opening {key[0]} {key[1]} ({by or 'here'}): {seconds:.2f} s")


def write(folder: Path, form: str) -> Path:
    """Return the network as a program."""
    network = resnet50().eval()
    network.fc = torch.nn.Identity()
    example = torch.rand(2, 3, CARD.height, CARD.width)
    path = folder / f"model.{form}"
    if form == "torchscript":
        with warnings.catch_warnings(), torch.no_grad():
            warnings.simplefilter("ignore")
            torch.jit.trace(network, example).save(path)
    else:
        free = ({0: torch.export.Dim("batch")},)
        torch.export.save(torch.export.export(network, (example,), dynamic_shapes=free), path)
    return path


def embed(extractor: CardedExtractor, images: torch.Tensor) -> None:
    with torch.no_grad():
        extractor(images)


def gradient(extractor: CardedExtractor, images: torch.Tensor) -> None:
    features, pull = pullback(extractor, images)
    pull(2 * features)


def measure(
    work: Callable[[CardedExtractor, torch.Tensor], None],
    extractors: dict[tuple[str, Isolation], CardedExtractor],
    images: torch.Tensor,
    repeat: int,
) -> dict[tuple[str, Isolation], list[float]]:
    """Return the seconds of each way, taken in turn."""
    seconds: dict[tuple[str, Isolation], list[float]] = {key: [] for key in extractors}
    for index in range(repeat + 1):
        for key, extractor in extractors.items():
            start = time.perf_counter()
            work(extractor, images)
            if index:  # the first compiles and warms up
                seconds[key].append(time.perf_counter() - start)
    return seconds


def report(name: str, seconds: dict[tuple[str, Isolation], list[float]]) -> None:
    for (form, way), times in seconds.items():
        ratios = [mine / here for mine, here in zip(times, seconds[form, "none"], strict=True)]
        median = statistics.median(times)
        print(f"{name:9} {form:12} {way:5} {median:7.3f} s  ×{statistics.median(ratios):.3f}")


if __name__ == "__main__":
    main()
