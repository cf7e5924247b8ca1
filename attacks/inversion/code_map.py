"""From stored features to the codes of a prior: ridge regression, refined by a small network."""

from copy import deepcopy
from dataclasses import dataclass

import pytorch_lightning as pl
import torch
from pytorch_lightning.utilities.types import OptimizerLRSchedulerConfig
from torch import Tensor, nn

from attacks.inversion.linear import HELD_OUT, LinearMap
from attacks.learners.standardising import Standardise
from auditor.releasing import Release, draw_release
from auditor.training import Batches, fit, one_cycle
from auditor.types import RunContext

BATCH = 128
DROPOUT = 0.3


@dataclass(frozen=True, kw_only=True)
class Refinement:
    """How the network is trained that refines the ridge regression.

    Attributes:
        hidden: units of each layer.
        epochs: passes over the people who are not held out; 0 leaves the ridge regression as it is.
        lr: peak learning rate.
    """

    hidden: int
    epochs: int
    lr: float


class CodeMap(pl.LightningModule):
    """Features ``(B, D)`` to codes ``(B, K)``; starts from a closed form, and never gets worse.

    Worse is judged by people who are held out from the network: the weights kept are those of the
    epoch that serves them best, and those of the start if none does better.

    Args:
        seen: ``(N, D)`` features before their release.
        codes: ``(N, K)``.
        weights: ``(K,)``, how much a squared gap in each code counts.
        pids: ``(N,)``.
        release: what stored features went through.
        refinement: how the network is trained.
        generator: draws the release.
    """

    weights: Tensor

    def __init__(
        self,
        seen: Tensor,
        codes: Tensor,
        weights: Tensor,
        pids: Tensor,
        release: Release,
        refinement: Refinement,
        generator: torch.Generator,
    ) -> None:
        super().__init__()
        self.release, self.refinement, self.generator = release, refinement, generator
        released = draw_release(release, seen, generator)
        self.standardise = Standardise(released)
        self.linear = LinearMap(self.standardise(released), codes, pids)
        self.network = _network(seen.shape[1], refinement.hidden, codes.shape[1])
        self.register_buffer("weights", weights / weights.mean())
        self.people = len(pids.unique())
        held = torch.isin(pids, pids.unique()[::HELD_OUT]).to(seen.device)
        self.taught, self._held_out = (seen[~held], codes[~held]), (released[held], codes[held])
        self.to(seen.device)
        self._best = self._loss(*self._held_out).item(), deepcopy(self.network.state_dict())

    def forward(self, stored: Tensor) -> Tensor:
        """Return codes ``(B, K)`` of stored features ``(B, D)``."""
        features = self.standardise(stored)
        codes: Tensor = self.linear(features) + self.network(features)
        return codes

    def training_step(self, batch: tuple[Tensor, Tensor], index: int) -> Tensor:
        """Return the weighted squared gap between codes, on a fresh draw of the release."""
        seen, codes = batch
        return self._loss(draw_release(self.release, seen, self.generator), codes)

    def on_train_epoch_end(self) -> None:
        """Remember the weights that serve people who are held out best."""
        self.network.eval()
        with torch.no_grad():
            loss = self._loss(*self._held_out).item()
        self.network.train()
        if loss < self._best[0]:
            self._best = loss, deepcopy(self.network.state_dict())

    def on_train_end(self) -> None:
        """Go back to the best weights."""
        self.network.load_state_dict(self._best[1])

    def configure_optimizers(self) -> OptimizerLRSchedulerConfig:
        """AdamW under a one-cycle schedule."""
        return one_cycle(self, self.refinement.lr, 1e-2)

    def _loss(self, stored: Tensor, codes: Tensor) -> Tensor:
        loss: Tensor = ((self(stored) - codes).square() * self.weights).mean()
        return loss


def learn_codes(found: CodeMap, ctx: RunContext) -> CodeMap:
    """Refine a `CodeMap` on ``ctx.device``; one of too few people keeps the closed form alone."""
    epochs = found.refinement.epochs
    if epochs and found.people > HELD_OUT:
        batches = Batches(found.taught, BATCH, found.generator)
        fit(found, batches, epochs=epochs, ctx=ctx, detail="codes")
    return found.to(ctx.device).eval().requires_grad_(False)


def _network(inputs: int, hidden: int, outputs: int) -> nn.Sequential:
    """Make two hidden layers and a last one that says nothing at first."""
    last = nn.Linear(hidden, outputs)
    for parameter in last.parameters():
        nn.init.zeros_(parameter)
    inner = [nn.Linear(inputs, hidden), nn.GELU(), nn.Dropout(DROPOUT)]
    inner += [nn.Linear(hidden, hidden), nn.GELU(), nn.Dropout(DROPOUT)]
    return nn.Sequential(*inner, last)
