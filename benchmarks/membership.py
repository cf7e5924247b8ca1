"""Membership inference on a model whose training people are known, because we train it.

`python benchmarks/membership.py --data DIR --weights osnet_x0_25_msmt17.pth [--people 180]
[--epochs 12] [--tune] [--save FILE | --tuned FILE] [--pictures N]` fine-tunes OSNet x0.25 at 128×64
with an identity softmax on some of a dataset's auxiliary people, and attacks it: those people are
`train`, the other auxiliary people the adversary's, query and gallery the non-members. `--tune`
leaves query and gallery alone and takes half of the other auxiliary people for non-members instead:
choose hyper-parameters on that. Prints one line per figure. Nothing is written but the fine-tuned
weights, if `--save` asks for them; `--tuned` attacks weights saved before. `--pictures` limits the
pictures each person is attacked with in each split, not those trained on.
"""

import argparse
import time
from dataclasses import replace
from pathlib import Path

import pytorch_lightning as pl
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from attacks.membership import (
    MembershipAugmentation,
    MembershipCompactness,
    MembershipLira,
    MembershipSimilarity,
)
from auditor.data import open_dataset
from auditor.models import open_model
from auditor.models.card import card_from
from auditor.models.extractor import CardedExtractor
from auditor.training import Batches, fit, one_cycle
from auditor.types import ReIDDataset, RunContext, Split, Target

SIZE = (128, 64)


class Tuning(pl.LightningModule):
    """An extractor and a softmax over its training people."""

    def __init__(self, extractor: CardedExtractor, people: int) -> None:
        super().__init__()
        self.extractor = extractor
        self.classifier = nn.Linear(extractor.feature_dim, people)

    def training_step(self, batch: tuple[Tensor, Tensor], index: int) -> Tensor:
        """Cross-entropy of a batch, half of it mirrored."""
        pixels, labels = batch
        images = torch.cat([pixels[::2], pixels[1::2].flip(3)]).float() / 255
        features = self.extractor.network(self.extractor.prepare(images))
        return F.cross_entropy(self.classifier(features), torch.cat([labels[::2], labels[1::2]]))

    def configure_optimizers(self):  # noqa: ANN201
        """AdamW under one cycle."""
        return one_cycle(self, 1.5e-3, 5e-4)


def divide(data: ReIDDataset, people: int, tune: bool) -> ReIDDataset:
    """Return ``data`` with ``people`` of the auxiliary ones as train, in an order drawn once."""
    pids = data.auxiliary.pids.unique()
    pids = pids[torch.randperm(len(pids), generator=torch.Generator().manual_seed(0))]
    train, rest = pids[:people], pids[people:]
    parts = {"train": train, "auxiliary": rest}
    if tune:
        half = len(rest) // 2
        parts |= {"auxiliary": rest[:half], "gallery": rest[half:], "query": rest[half:]}
    splits = {
        name: data.auxiliary.take(torch.isin(data.auxiliary.pids, chosen).nonzero().flatten())
        for name, chosen in parts.items()
    }
    if tune:  # every picture once: one of each person asks, the others are stored
        gallery = splits["gallery"]
        first = torch.zeros(len(gallery), dtype=torch.bool)
        first[[int((gallery.pids == pid).nonzero()[0]) for pid in gallery.pids.unique()]] = True
        splits["query"] = gallery.take(first.nonzero().flatten())
        splits["gallery"] = gallery.take((~first).nonzero().flatten())
    return replace(data, **splits)


def fine_tune(extractor: CardedExtractor, train: Split, epochs: int, ctx: RunContext) -> None:
    """Train the extractor further on the people of ``train``, and print how well it knows them."""
    people, labels = train.pids.unique(return_inverse=True)
    pixels = (train.images.load(range(len(train)), SIZE) * 255).round().byte()
    with ctx.randomness("benchmark"):
        module = Tuning(extractor, len(people)).train()
        batches = Batches((pixels, labels), 64, ctx.generator("benchmark"))
        fit(module, batches, epochs=epochs, ctx=ctx, detail="fine-tuning")
    with torch.no_grad():
        rows = range(0, len(train), 7)
        features = extractor(pixels[list(rows)].float() / 255)
        right = module.classifier(features).argmax(1) == labels[list(rows)]
    accuracy = float(right.float().mean())
    print(f"{len(people)} people, {len(train)} pictures, training accuracy {accuracy:.3f}")


def thin_out(split: Split, pictures: int) -> Split:
    """No more than so many pictures of each person, evenly over the order of the split."""
    rows = []
    for pid in split.pids.unique():
        own = (split.pids == pid).nonzero().flatten()
        places = torch.linspace(0, len(own) - 1, min(len(own), pictures)).long()
        rows.append(own[places])
    return split.take(torch.cat(rows))


def main() -> None:
    """Train or load, attack, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--weights", type=Path, required=True)
    parser.add_argument("--people", type=int, default=180)
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--tune", action="store_true")
    parser.add_argument("--save", type=Path)
    parser.add_argument("--tuned", type=Path)
    parser.add_argument("--pictures", type=int)
    given = parser.parse_args()
    torch.set_num_threads(1)
    ctx = RunContext()
    data = divide(open_dataset(given.data), given.people, given.tune)
    card = card_from("torchreid", {"height": SIZE[0], "width": SIZE[1]})
    start = given.tuned or given.weights
    extractor = open_model(start, arch="osnet_x0_25", card=card).extractor
    if not given.tuned:
        began = time.process_time()
        fine_tune(extractor, data.train, given.epochs, ctx)
        print(f"fine-tuned in {time.process_time() - began:.0f} CPU-s", flush=True)
    if given.save:
        torch.save(extractor.network.state_dict(), given.save)
    if given.pictures:
        parts = ("train", "query", "gallery", "auxiliary")
        thin = {name: thin_out(getattr(data, name), given.pictures) for name in parts}
        data = replace(data, **thin)
    target = Target(extractor, data)
    attacks = (
        MembershipCompactness(),
        MembershipAugmentation(),
        MembershipSimilarity(),
        MembershipLira(),
    )
    for attack in attacks:
        began = time.process_time()
        result = attack.run(target, ctx)
        print(f"{attack} in {time.process_time() - began:.0f} CPU-s")
        for m in result.measurements:
            interval = f"[{m.low:.3f}, {m.high:.3f}]"
            print(f"  {m.metric} {m.value:.3f} {interval} chance {m.chance:.3f} n {m.n}")
        print("  " + "\n  ".join(result.notes), flush=True)


if __name__ == "__main__":
    main()
