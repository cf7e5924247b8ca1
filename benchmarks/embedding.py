"""How fast pictures become tensors and features, beside what re-ID code does.

`python -m benchmarks.embedding --pictures DIR [--count 512] [--only decoding|embedding]` decodes
JPEG pictures to 256×128 with Pillow and torchvision's transforms one by one, with ours, and with
ours a second time; then embeds some, ``--batch 64`` as the product does, with ``--arch resnet50``
plainly, as an opened model does, and with ``fast``, ``--compiled`` too. One thread, processor time,
in turn. Decoded pixels are compared to the bit.
"""

import argparse
import copy
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor, nn
from torchvision.models import resnet50
from torchvision.transforms import Compose, Resize, ToTensor

from auditor.data.decoding import batch_pictures, read_pictures
from auditor.data.kept_pictures import KeptPictures
from auditor.embedding import BATCH, embed
from auditor.models.architectures.registry import build
from auditor.models.card import Card
from auditor.models.hastening import hasten
from auditor.models.own import own_model
from benchmarks.measuring import alternate, machine, ratio

SIZE = (256, 128)


def in_batches(paths: list[Path], load: Callable[[list[Path]], Tensor]) -> Callable[[], None]:
    """Return what loads all of ``paths``, a batch at a time."""

    def run() -> None:
        for start in range(0, len(paths), BATCH):
            load(paths[start : start + BATCH])

    return run


def decode(paths: list[Path], repeats: int) -> None:
    """Print pictures per second of each way to decode."""
    transform = Compose([Resize(SIZE), ToTensor()])
    kept = KeptPictures(2**30)

    def peer(some: list[Path]) -> Tensor:
        return torch.stack([transform(Image.open(path).convert("RGB")) for path in some])

    def ours(some: list[Path]) -> Tensor:
        return batch_pictures(read_pictures(some, SIZE), SIZE).float().div_(255)

    def again(some: list[Path]) -> Tensor:
        return kept.load(some, SIZE).float().div_(255)

    assert torch.equal(peer(paths[:BATCH]), ours(paths[:BATCH]))
    loads = {"Pillow + torchvision": peer, "ours": ours, "ours, kept": again}
    show(alternate({n: in_batches(paths, f) for n, f in loads.items()}, repeats), len(paths))


def embed_some(images: Tensor, arch: str, repeats: int, *, compiled: bool) -> None:
    """Print pictures per second of each way to embed a batch."""
    torch.manual_seed(0)
    plain = resnet50(weights=None).eval() if arch == "resnet50" else build(arch, SIZE).eval()
    if arch == "resnet50":
        plain.fc = nn.Identity()
    model = own_model(copy.deepcopy(plain).to(memory_format=torch.channels_last), Card())
    fast = hasten(model)
    eager = own_model(plain, Card())
    runs: dict[str, Callable[[], Any]] = {
        "eager, batch contiguous": lambda: embed(eager.extractor, images.contiguous()),
        "channels last": lambda: embed(model.extractor, images),
        "fast": lambda: embed(fast.extractor, images),
    }
    if compiled:
        both = hasten(own_model(copy.deepcopy(model.extractor.network), Card()))
        # after the trial runs of a model that is opened, each of which would be compiled
        both.extractor.network = torch.compile(both.extractor.network)
        runs["fast, compiled"] = lambda: embed(both.extractor, images)
        began = time.process_time()
        runs["fast, compiled"]()
        print(f"compiled in {time.process_time() - began:.0f} CPU-s")
    show(alternate(runs, repeats), len(images))


def show(seconds: dict[str, list[float]], pictures: int) -> None:
    """Print a row per way; the first is what the others are compared with."""
    first = next(iter(seconds.values()))
    for name, found in seconds.items():
        print(f"{name} | {pictures / min(found):.0f} a second | {ratio(first, found):.2f}×")


def main() -> None:
    """Decode, embed, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pictures", type=Path, required=True)
    parser.add_argument("--count", type=int, default=512)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--only", choices=("decoding", "embedding"))
    parser.add_argument("--arch", default="resnet50", help="resnet50, osnet_x0_25, …")
    parser.add_argument("--batch", type=int, default=BATCH)
    parser.add_argument("--compiled", action="store_true", help="by torch.compile, too")
    args = parser.parse_args()
    torch.set_num_threads(1)
    paths = sorted(args.pictures.glob("*.jpg"))[: args.count]
    print(machine())
    if args.only != "embedding":
        decode(paths, args.repeats)
    if args.only != "decoding":
        some = batch_pictures(read_pictures(paths[: args.batch], SIZE), SIZE).float().div_(255)
        embed_some(some, args.arch, args.repeats, compiled=args.compiled)


if __name__ == "__main__":
    main()
