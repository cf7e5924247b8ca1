"""The one loop in which every adversary and defense is trained: a Lightning Trainer, kept quiet.

The data of an attack fits in memory, so batches are slices of tensors that already lie on the
device; a DataLoader would only add workers to wait for.
"""

import logging
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import ModelCheckpoint
from pytorch_lightning.utilities.types import OptimizerLRSchedulerConfig
from torch import Tensor

from auditor.errors import TrainingFailedError
from auditor.training.threads import suited_threads
from auditor.types import Progress, RunContext

Precision = Literal["32-true", "bf16-mixed"]

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

    def __init__(self, progress: Progress, detail: str, epochs: int) -> None:
        self.progress, self.detail, self.epochs = progress, detail, epochs
        self.stop: KeyboardInterrupt | None = None

    def on_train_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        # batches, not the trainer's steps: those count once per optimizer
        batches = int(trainer.num_training_batches)
        done = trainer.current_epoch * batches + batch_idx + 1
        self.progress(min(1.0, done / max(1, self.epochs * batches)), self.detail)

    def on_exception(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException
    ) -> None:
        self.stop = exception if isinstance(exception, KeyboardInterrupt) else None


class _Finite(pl.Callback):
    """Ends a training at a loss or weight that is no number, before any of its epoch is kept.

    A checkpoint of it would go on from nothing, and so would every later epoch. On a GPU losses are
    looked at when their epoch ends: each value that is read waits for all that comes before it.
    """

    def __init__(self) -> None:
        self.losses: list[tuple[str, Tensor]] = []

    def on_train_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        loss = outputs.get("loss") if isinstance(outputs, Mapping) else outputs
        if isinstance(loss, Tensor):
            self.losses.append((f"the loss of batch {batch_idx + 1}", loss.isfinite().all()))
            if loss.device.type == "cpu":
                self._check_losses(trainer)

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._check_losses(trainer)
        weights = pl_module.named_parameters()
        _refuse_infinite([(f"the weight {n}", w.isfinite().all()) for n, w in weights], trainer)

    def _check_losses(self, trainer: pl.Trainer) -> None:
        losses, self.losses = self.losses, []
        _refuse_infinite(losses, trainer)


def _refuse_infinite(checked: Sequence[tuple[str, Tensor]], trainer: pl.Trainer) -> None:
    """Raise if something of what was checked is not finite; one value is read for all of them."""
    if not checked or (whole := torch.stack([finite for _, finite in checked])).all():
        return
    what, _ = checked[int(whole.byte().argmin())]
    raise TrainingFailedError(
        f"the training left the numbers: {what} in epoch {trainer.current_epoch + 1} is NaN or "
        "infinite; lower the learning rate, or train in float32"
    )


def fit(
    module: pl.LightningModule,
    batches: Iterable[Any],
    *,
    epochs: int,
    ctx: RunContext,
    detail: str,
    checkpoint: Path | None = None,
    devices: int = 1,
    num_nodes: int = 1,
    precision: Precision = "32-true",
) -> None:
    """Train ``module`` in place on ``ctx.device``; it comes back on the CPU, in eval mode.

    Args:
        module: knows its losses and its optimizer.
        batches: one epoch of them.
        epochs: passes over ``batches``.
        ctx: its device, its folder and whom to tell.
        detail: what to say while training.
        checkpoint: a ``.ckpt`` file kept up to date after every epoch, and resumed from if it is
            already there.
        devices: GPUs, or processes on a CPU, that share the batches (distributed data parallel).
        num_nodes: machines that do, each with as many devices.
        precision: of the arithmetic.

    Raises:
        KeyboardInterrupt: if the user interrupts the training.
        TrainingFailedError: if a loss or a weight is no number any more; the last checkpoint is of
            the epoch before.
    """
    watch = _Report(ctx.progress, detail, epochs)
    trainer = pl.Trainer(
        max_epochs=epochs,
        callbacks=[watch, _Finite(), *_keepers(checkpoint)],
        precision=precision,
        logger=False,
        enable_checkpointing=checkpoint is not None,
        enable_progress_bar=False,
        enable_model_summary=False,
        use_distributed_sampler=False,
        default_root_dir=ctx.workdir,
        deterministic=_determinism(),
        **_hardware(ctx.device, devices, num_nodes),
    )
    resume = checkpoint if checkpoint is not None and checkpoint.exists() else None
    with _silence(), suited_threads(module, batches):
        try:
            # weights_only: a checkpoint is data, also when somebody else put it there
            trainer.fit(module, batches, ckpt_path=resume, weights_only=True)
        except SystemExit:
            if watch.stop is not None:
                raise watch.stop from None
            raise
    module.eval().to("cpu")


@contextmanager
def _silence() -> Iterator[None]:
    """Keep back warnings of Lightning that are none here."""
    with warnings.catch_warnings():
        # tensors in memory need no workers; Lightning cannot know
        warnings.filterwarnings("ignore", message=".*does not have many workers.*")
        warnings.filterwarnings("ignore", message=".*number of training batches.*")
        # frozen networks may take part: a perceptual distance, a copy of an adversary
        warnings.filterwarnings("ignore", message=".*in eval mode at the start of training.*")
        # Lightning's own use of a torch helper that has since been deprecated
        warnings.filterwarnings("ignore", message=".*LeafSpec.*", category=FutureWarning)
        # the file being resumed from lies where the next one goes, which is what it is for
        warnings.filterwarnings("ignore", message=".*exists and is not empty.*")
        yield


def _determinism() -> Literal["warn"] | None:
    # an operation that cannot repeat is to be named, not to end the training
    return "warn" if torch.are_deterministic_algorithms_enabled() else None


def _keepers(checkpoint: Path | None) -> list[pl.Callback]:
    if checkpoint is None:
        return []
    keeper = ModelCheckpoint(
        checkpoint.parent, checkpoint.stem, every_n_epochs=1, enable_version_counter=False
    )
    return [keeper]


def _hardware(device: torch.device, devices: int, num_nodes: int) -> dict[str, Any]:
    alone = devices == num_nodes == 1
    # part models may leave a branch out of the loss
    shared = {"strategy": "auto" if alone else "ddp_find_unused_parameters_true"}
    if device.type == "cuda":
        chosen: list[int] | int = [device.index or 0] if alone else devices
        return {"accelerator": "gpu", "devices": chosen, "num_nodes": num_nodes, **shared}
    return {"accelerator": "cpu", "devices": devices, "num_nodes": num_nodes, **shared}


def one_cycle(
    module: pl.LightningModule, lr: float, weight_decay: float
) -> OptimizerLRSchedulerConfig:
    """AdamW under a one-cycle schedule over the whole training, for `configure_optimizers`."""
    optimizer = torch.optim.AdamW(module.parameters(), lr=lr, weight_decay=weight_decay, fused=True)
    steps = max(2, int(module.trainer.estimated_stepping_batches))
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, lr, total_steps=steps)
    return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}
