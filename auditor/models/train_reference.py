"""Train the shipped extractor on drawn people: ``python -m auditor.models.train_reference``.

A strong re-ID baseline in small (Luo et al., CVPRW 2019): identity softmax with label smoothing on
the neck, batch-hard triplets before it, P people × K cameras per batch, warm-up and cosine decay.
The people are of another world than any demo's, and each is seen by many cameras, so that the
network has to cope with cameras it never met.
"""

import logging
import math
import time
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import pytorch_lightning as pl
import torch
import torch.nn.functional as F
import typer
from pytorch_lightning.utilities.types import OptimizerLRSchedulerConfig
from torch import Tensor, nn

from auditor.data.synthetic import draw_world
from auditor.metrics.retrieval import Retrieval, evaluate
from auditor.models.reference import WEIGHTS, ReferenceNet, load_reference, save_reference
from auditor.types import ReIDDataset, Split

TRAIN_SEED, HELD_OUT_SEED = 90_001, 90_002
"""Worlds nobody draws by chance; demos and tests count from 0."""

MEAN = torch.tensor([0.485, 0.456, 0.406]).view(3, 1, 1)
STD = torch.tensor([0.229, 0.224, 0.225]).view(3, 1, 1)


@dataclass(frozen=True, eq=False)
class PeopleBatches:
    """Batches of ``people`` × ``views`` pictures, each person by different cameras where possible.

    Attributes:
        split: of the training people; classes are pids minus the smallest pid.
        steps: batches per epoch.
        generator: decides who comes, and what is cut, flipped and erased.
    """

    split: Split
    steps: int
    generator: torch.Generator
    people: int = 16
    views: int = 4

    def __len__(self) -> int:
        return self.steps

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Normalised images ``(people * views, 3, H, W)`` and classes."""
        classes = self.split.pids - self.split.pids.min()
        rows = [torch.nonzero(classes == c).flatten() for c in range(int(classes.max()) + 1)]
        for _ in range(self.steps):
            chosen = torch.randperm(len(rows), generator=self.generator)[: self.people]
            picked = torch.cat([self._views(rows[c]) for c in chosen.tolist()])
            images = self.split.images.load(picked.tolist(), ReferenceNet.input_size)
            yield (augment(images, self.generator) - MEAN) / STD, classes[picked]

    def _views(self, rows: Tensor) -> Tensor:
        """Rows of one person: random ones, those by cameras not yet seen first."""
        rows = rows[torch.randperm(len(rows), generator=self.generator)]
        seen: dict[int, int] = {}
        repeats = []
        for camera in self.split.camids[rows].tolist():
            seen[camera] = seen.get(camera, 0) + 1
            repeats.append(seen[camera])
        return rows[torch.tensor(repeats).argsort(stable=True)][: self.views]


def augment(images: Tensor, generator: torch.Generator) -> Tensor:
    """Flip, shift, recolour and erase parts of images ``(B, 3, H, W)`` in [0, 1]."""
    batch = len(images)

    def uniform(low: float, high: float) -> Tensor:
        return low + (high - low) * torch.rand(batch, generator=generator)

    flip = torch.where(uniform(0, 1) < 0.5, -1.0, 1.0)
    zoom, zero = uniform(0.92, 1.08), torch.zeros(batch)
    across = torch.stack([flip * zoom, zero, uniform(-0.08, 0.08)], 1)
    along = torch.stack([zero, zoom, uniform(-0.06, 0.06)], 1)
    grid = F.affine_grid(torch.stack([across, along], 1), list(images.shape), align_corners=False)
    images = F.grid_sample(images, grid, padding_mode="border", align_corners=False)
    gains = torch.exp(0.1 * torch.randn(batch, 3, 1, 1, generator=generator))
    images = (images * gains * uniform(0.8, 1.2).view(-1, 1, 1, 1)).clamp(0, 1)
    return _erase(images, uniform(0, 1) < 0.4, uniform(0, 1), uniform(0, 1), uniform(0.1, 0.3))


def _erase(images: Tensor, which: Tensor, top: Tensor, left: Tensor, part: Tensor) -> Tensor:
    """Grey out a box of ``part`` of the height, and twice that of the width, where ``which``."""
    _, _, height, width = images.shape
    y = torch.arange(height).view(1, 1, -1, 1) / height
    x = torch.arange(width).view(1, 1, 1, -1) / width
    top, left, part = (v.view(-1, 1, 1, 1) for v in (top, left, part))
    box = (y >= top) & (y < top + part) & (x >= left) & (x < left + 2 * part)
    return images.masked_fill(box & which.view(-1, 1, 1, 1), 0.45)


class ReferenceTraining(pl.LightningModule):
    """Identity softmax on the neck plus batch-hard triplets before it."""

    def __init__(self, classes: int, *, lr: float = 2e-3, margin: float = 0.3) -> None:
        super().__init__()
        self.net = ReferenceNet()
        self.classifier = nn.Linear(self.net.feature_dim, classes, bias=False)
        self.lr, self.margin = lr, margin

    def training_step(self, batch: tuple[Tensor, Tensor], index: int) -> Tensor:
        """Sum of both losses on one batch."""
        images, classes = batch
        features = self.net.embed(images).float()
        logits = self.classifier(self.net.neck(features))
        softmax = F.cross_entropy(logits, classes, label_smoothing=0.1)
        return softmax + batch_hard(F.normalize(features), classes, self.margin)

    def configure_optimizers(self) -> OptimizerLRSchedulerConfig:
        """AdamW, a tenth of warm-up, then a cosine to nothing."""
        optimizer = torch.optim.AdamW(self.parameters(), lr=self.lr, weight_decay=5e-4)
        steps = max(1, int(self.trainer.estimated_stepping_batches))
        warm = max(1, steps // 10)

        def factor(step: int) -> float:
            decay = 0.5 * (1 + math.cos(math.pi * min(1.0, step / steps)))
            return min(1.0, (step + 1) / warm) * decay

        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, factor)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


def batch_hard(features: Tensor, classes: Tensor, margin: float) -> Tensor:
    """Triplet loss of each anchor's farthest positive and nearest negative (Hermans et al., 2017).

    Args:
        features: ``(B, D)``.
        classes: ``(B,)``; each at least twice, and at least two of them.
        margin: by which a negative must be farther than a positive.
    """
    distances = torch.cdist(features, features, compute_mode="donot_use_mm_for_euclid_dist")
    same = classes[:, None] == classes
    farthest = distances.masked_fill(~same, 0).max(1).values
    nearest = distances.masked_fill(same, math.inf).min(1).values
    return F.relu(farthest - nearest + margin).mean()


def train(people: int, cameras: int, epochs: int, steps: int, seed: int = 0) -> ReferenceNet:
    """Train from scratch; the same arguments give the same network on the same machine."""
    world = draw_world(identities=1, auxiliary=people, cameras=cameras, images_per_camera=2,
                       seed=TRAIN_SEED)  # fmt: skip
    batches = PeopleBatches(world.train, steps, torch.Generator().manual_seed(seed))
    logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
    with torch.random.fork_rng(devices=[]), warnings.catch_warnings():
        # batches are made of tensors in memory; there is nothing for workers to do
        warnings.filterwarnings("ignore", message=".*LeafSpec.*")
        warnings.filterwarnings("ignore", message=".*does not have many workers.*")
        torch.manual_seed(seed)
        module = ReferenceTraining(people).to(memory_format=torch.channels_last)
        trainer = pl.Trainer(
            max_epochs=epochs,
            accelerator="cpu",
            # half the time where the processor multiplies bfloat16, and no less accurate here
            precision="bf16-mixed",
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
        )
        trainer.fit(module, batches)
    return module.net.to(memory_format=torch.contiguous_format).eval()


def embed_split(net: ReferenceNet, split: Split) -> Tensor:
    """Features ``(N, 128)`` of a split."""
    parts = []
    with torch.no_grad():
        for start in range(0, len(split), 64):
            rows = range(start, min(start + 64, len(split)))
            images = split.images.load(rows, net.input_size)
            parts.append(net((images - MEAN) / STD))
    return torch.cat(parts)


def cross_camera_retrieval(net: ReferenceNet, world: ReIDDataset) -> Retrieval:
    """How well ``net`` finds the world's query people under the other cameras."""
    query, gallery = world.query, world.gallery
    return evaluate(
        embed_split(net, query),
        embed_split(net, gallery),
        query.pids,
        gallery.pids,
        query.camids,
        gallery.camids,
    )


app = typer.Typer(add_completion=False)


@app.command()
def main(
    out: Annotated[Path, typer.Option(help="Where to write the weights.")] = WEIGHTS,
    epochs: Annotated[int, typer.Option(help="Rounds of training.")] = 16,
    steps: Annotated[int, typer.Option(help="Batches of 64 pictures in a round.")] = 100,
    people: Annotated[int, typer.Option(help="Drawn people to train on.")] = 750,
    cameras: Annotated[int, typer.Option(help="Cameras that see each of them.")] = 10,
    held_out: Annotated[int, typer.Option(help="Drawn people to measure on.")] = 100,
) -> None:
    """Train the reference extractor, write its weights, and measure what was written."""
    start = time.perf_counter()
    save_reference(train(people, cameras, epochs, steps), out)
    seconds = time.perf_counter() - start
    world = draw_world(identities=held_out, auxiliary=0, seed=HELD_OUT_SEED)
    found = cross_camera_retrieval(load_reference(out), world)
    typer.echo(f"{out}: {out.stat().st_size / 1e6:.2f} MB after {seconds:.0f} s")
    typer.echo(f"held-out people: rank-1 {found.cmc(1):.3f}, mAP {found.mean_ap:.3f}")


if __name__ == "__main__":
    app()
