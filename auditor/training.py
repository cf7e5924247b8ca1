"""The one loop in which every adversary and defense is trained: a Lightning Trainer, kept quiet.

The data of an attack fits in memory, so batches are slices of tensors that already lie on the
device; a DataLoader would only add workers to wait for.
"""

import logging
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.utilities.types import OptimizerLRSchedulerConfig
from torch import Tensor

from auditor.types import Progress, RunContext

# one line of advertisement and one of hardware per training would drown the audit's own progress
logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
logging.getLogger("pytorch_lightning.utilities.rank_zero").setLevel(logging.ERROR)


@dataclass
class Batches:
    """Shuffled batches over tensors of equal length, reshuffled every epoch.

    Attributes:
        tensors: columns, each ``(N, …)``.
        size: rows per batch; an incomplete last batch is dropped unless it is the only one.
        generator: decides the order.
    """

    tensors: Sequence[Tensor]
    size: int
    generator: torch.Generator
    rows: int = field(init=False)

    def __post_init__(self) -> None:
        self.rows = len(self.tensors[0])
        self.size = min(self.size, self.rows)

    def __len__(self) -> int:
        return self.rows // self.size

    def __iter__(self) -> Iterator[tuple[Tensor, ...]]:
        order = torch.randperm(self.rows, generator=self.generator)
        for batch in range(len(self)):
            picked = order[batch * self.size : (batch + 1) * self.size]
            yield tuple(tensor[picked.to(tensor.device)] for tensor in self.tensors)


class _Report(pl.Callback):
    """Passes progress on, and remembers an interruption, which Lightning turns into an exit."""

    def __init__(self, progress: Progress, detail: str, total: int) -> None:
        self.progress, self.detail, self.total = progress, detail, total
        self.stop: KeyboardInterrupt | None = None
        self.seen = 0

    def on_train_batch_end(self, trainer: pl.Trainer, *args: Any, **kwargs: Any) -> None:
        self.seen += 1
        self.progress(min(1.0, self.seen / self.total), self.detail)

    def on_exception(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException
    ) -> None:
        self.stop = exception if isinstance(exception, KeyboardInterrupt) else None


def fit(
    module: pl.LightningModule, batches: Batches, *, epochs: int, ctx: RunContext, detail: str
) -> None:
    """Train ``module`` in place on ``ctx.device``; it comes back on the CPU, in eval mode.

    Raises:
        KeyboardInterrupt: if the user interrupts the training.
    """
    watch = _Report(ctx.progress, detail, epochs * len(batches))
    trainer = pl.Trainer(
        max_epochs=epochs,
        accelerator="gpu" if ctx.device.type == "cuda" else "cpu",
        devices=[ctx.device.index or 0] if ctx.device.type == "cuda" else 1,
        callbacks=[watch],
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        default_root_dir=ctx.workdir,
    )
    with warnings.catch_warnings():
        # tensors in memory need no workers; Lightning cannot know
        warnings.filterwarnings("ignore", message=".*does not have many workers.*")
        warnings.filterwarnings("ignore", message=".*number of training batches.*")
        # Lightning's own use of a torch helper that has since been deprecated
        warnings.filterwarnings("ignore", message=".*LeafSpec.*", category=FutureWarning)
        try:
            trainer.fit(module, batches)
        except SystemExit:
            if watch.stop is not None:
                raise watch.stop from None
            raise
    module.eval().to("cpu")


def one_cycle(
    module: pl.LightningModule, lr: float, weight_decay: float
) -> OptimizerLRSchedulerConfig:
    """AdamW under a one-cycle schedule over the whole training, for `configure_optimizers`."""
    optimizer = torch.optim.AdamW(module.parameters(), lr=lr, weight_decay=weight_decay, fused=True)
    steps = max(2, int(module.trainer.estimated_stepping_batches))
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, lr, total_steps=steps)
    return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}
