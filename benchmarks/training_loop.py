"""What the one training loop costs beside a bare one, and what the layout of pictures is worth.

`python -m benchmarks.training_loop [--steps 6] [--repeats 3]` trains ResNet-18 on pictures of
64×32 in turn: by `auditor.training.fit`, and by a loop that does nothing but the same steps, with
pictures as they are stacked and channels last. One thread, processor time.
"""

import argparse
import statistics
from collections.abc import Callable

import pytorch_lightning as pl
import torch
import torch.nn.functional as F
from torch import Tensor
from torchvision.models import resnet18

from auditor.training import Batches, fit, one_cycle
from auditor.types import RunContext
from benchmarks import measuring

BATCH, LR = 64, 1e-3


class Classifier(pl.LightningModule):
    """The network and its loss."""

    def __init__(self, layout: torch.memory_format) -> None:
        super().__init__()
        self.network = resnet18(num_classes=100).to(memory_format=layout)

    def training_step(self, batch: tuple[Tensor, Tensor], index: int) -> Tensor:
        """Return the loss of images ``(B, 3, H, W)`` and labels ``(B,)``."""
        images, labels = batch
        return F.cross_entropy(self.network(images), labels)

    def configure_optimizers(self) -> object:
        """Return AdamW under a one-cycle schedule."""
        return one_cycle(self, LR, 0.01)


def train_bare(module: Classifier, batches: Batches) -> None:
    """Make one pass."""
    adam = torch.optim.AdamW(module.parameters(), LR, weight_decay=0.01, fused=True)
    schedule = torch.optim.lr_scheduler.OneCycleLR(adam, LR, total_steps=len(batches))
    module.train()
    for index, batch in enumerate(batches):
        adam.zero_grad()
        module.training_step(batch, index).backward()
        adam.step()
        schedule.step()


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=6)
    parser.add_argument("--repeats", type=int, default=3)
    given = parser.parse_args()
    torch.set_num_threads(1)
    draw = torch.Generator().manual_seed(0)
    images = torch.rand(given.steps * BATCH, 3, 64, 32, generator=draw)
    labels = torch.randint(0, 100, (len(images),), generator=draw)
    ctx = RunContext()

    def run(loop: str, layout: torch.memory_format) -> Callable[[], None]:
        columns = (images.contiguous(memory_format=layout), labels)
        module, batches = Classifier(layout), Batches(columns, BATCH, draw)
        if loop == "bare":
            return lambda: train_bare(module, batches)
        return lambda: fit(module, batches, epochs=1, ctx=ctx, detail="a classifier")

    runs = {
        "bare loop": run("bare", torch.contiguous_format),
        "bare loop, channels last": run("bare", torch.channels_last),
        "this project, channels last": run("fit", torch.channels_last),
    }
    seconds = measuring.alternate(runs, given.repeats)
    print(f"{given.steps} steps of {BATCH}; {measuring.machine()}\n")
    print("| | CPU-s per step | times the bare loop | times it, channels last |\n|---|---|---|---|")
    for name, spent in seconds.items():
        times = [measuring.ratio(spent, seconds[peer]) for peer in list(runs)[:2]]
        each = statistics.median(spent) / given.steps
        print(f"| {name} | {each:.3f} | {times[0]:.2f} | {times[1]:.2f} |")


if __name__ == "__main__":
    main()
