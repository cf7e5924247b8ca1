"""What gradient inversion recovers of real pictures, and how long it takes.

`python benchmarks/gradient.py DATA [--attack idlg] [--images 32] [--size 32 32]` attacks gallery
pictures of DATA (a folder that `audit` opens) on one thread and prints every figure, the spread of
PSNR and the seconds. `--attack gradient_inversion` attacks the extractor given by `--weights FILE
--arch NAME`, or the shipped reference network, at the pictures' `--size`.
"""

import argparse
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import torch

from attacks.gradient import Dlg, GradientInversion, Idlg
from auditor.data import open_dataset
from auditor.models.card import Card
from auditor.models.extractor import CardedExtractor
from auditor.models.loaders import open_model
from auditor.models.reference import load_reference
from auditor.types import RunContext, Target


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
    return parser.parse_args()


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
