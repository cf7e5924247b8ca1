"""What gradient inversion recovers of real pictures, and how long it takes.

`python benchmarks/gradient.py DATA [--attack idlg] [--images 32] [--size 32 32]` attacks gallery
pictures of DATA (a folder that `audit` opens) on one thread and prints every figure, the spread of
PSNR and the seconds. `--attack gradient_inversion` attacks the extractor given by `--weights FILE
--arch NAME`, or the shipped reference network, at the pictures' `--size`. `--breaching N` attacks
the same gradients by breaching's L-BFGS as well, N pictures one by one, half before and half after.
"""

import argparse
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from attacks.gradient import Dlg, GradientInversion, Idlg
from attacks.gradient.sharing import lenet, sharing
from attacks.gradient.trial import choose_victims
from auditor.data import open_dataset
from auditor.metrics.perceptual import psnr
from auditor.models.card import Card
from auditor.models.extractor import CardedExtractor
from auditor.models.loaders import open_model
from auditor.models.reference import load_reference
from auditor.types import RunContext, Target
from benchmarks import measuring, peers


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--attack", choices=("dlg", "idlg", "gradient_inversion"), default="idlg")
    parser.add_argument("--images", type=int, default=32)
    parser.add_argument("--size", type=int, nargs=2, default=(32, 32), metavar=("H", "W"))
    parser.add_argument("--iterations", type=int)
    parser.add_argument("--weights", type=Path)
    parser.add_argument("--arch")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--breaching", type=int, default=0, metavar="N")
    return parser.parse_args()


def compare(attack: Idlg, target: Target, count: int, ctx: RunContext) -> None:
    """Attack the same gradients side by side, and ``count`` of them one by one by the peer."""
    victims = choose_victims(target, attack.images, attack.image_size, ctx, attack.name)
    people = len(victims.pids)
    network = lenet(attack.image_size, people, ctx.generator("attacks.gradient.weights"))
    recover = peers.breaching(network, attack.image_size, people)
    pictures, labels = victims.published, victims.labels
    share, loss = sharing(network), nn.CrossEntropyLoss()

    def one_by_one(rows: range) -> list[tuple[Tensor, float]]:
        found = []
        for row in rows:
            torch.manual_seed(ctx.seed + row)
            error = loss(network(pictures[row : row + 1]), labels[row : row + 1])
            gradients = torch.autograd.grad(error, list(network.parameters()))
            began = time.process_time()
            found.append((recover(list(gradients)), time.process_time() - began))
        return found

    theirs = one_by_one(range(count // 2))
    shared = share(pictures, F.one_hot(labels, people).float())
    generator = ctx.generator(f"attacks.{attack.name}")
    began = time.process_time()
    ours = attack._recover(share, shared, pictures.shape, generator).pictures
    each = (time.process_time() - began) / people
    theirs += one_by_one(range(count // 2, count))
    print(f"{people} pictures, {count} by breaching; {measuring.machine()}\n")
    print("| | pictures | above 30 dB | CPU-s per picture | CPU-s per picture above 30 dB |")
    print("|---|---|---|---|---|")
    for name, found, spent in (
        ("this project", ours, [each] * people),
        ("breaching", torch.cat([picture for picture, _ in theirs]), [s for _, s in theirs]),
    ):
        decibels = psnr(found.clamp(0, 1), pictures[: len(found)])
        above, total = int((decibels > 30).sum()), sum(spent)
        means = f"{total / len(found):.2f} | {total / max(1, above):.2f}"
        print(f"| {name} | {len(found)} | {above} | {means} |")
        print("dB (CPU-s):", *(f"{d:.1f} ({s:.1f})" for d, s in zip(decibels, spent, strict=True)))


def main() -> None:
    """Run and print."""
    given = arguments()
    torch.set_num_threads(1)
    size = tuple(given.size)
    card = Card(height=size[0], width=size[1])
    if given.weights:
        extractor = open_model(given.weights, arch=given.arch, card=card).extractor
    else:
        extractor = CardedExtractor(load_reference(), card)
    params = {"images": given.images}
    if given.iterations:
        params["iterations"] = given.iterations
    if given.attack == "gradient_inversion":
        attack = GradientInversion(**params)
    else:
        attack = {"dlg": Dlg, "idlg": Idlg}[given.attack](image_size=size, **params)
    target = Target(extractor, open_dataset(given.data))
    if given.breaching:
        compare(attack, target, given.breaching, RunContext(seed=given.seed))
        return
    began, used = time.monotonic(), time.process_time()
    with TemporaryDirectory() as folder:
        result = attack.run(target, RunContext(seed=given.seed, workdir=Path(folder)))
    print(attack)
    print(f"{time.monotonic() - began:.0f} s, {time.process_time() - used:.0f} CPU-s, one thread")
    for m in result.measurements:
        print(f"{m.metric:20} {m.value:.4f}  [{m.low:.4f}, {m.high:.4f}]  chance {m.chance}")
        if m.metric == "psnr":
            spread = sorted(round(total, 1) for total, _ in m.persons.values())
            print(f"{'':20} dB: {' '.join(map(str, spread))}")


if __name__ == "__main__":
    main()
