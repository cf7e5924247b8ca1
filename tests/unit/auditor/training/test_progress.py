"""How far a training says it is."""

import pytest
import pytorch_lightning as pl
import torch
from torch import nn

from auditor.training.loop import Batches, fit
from auditor.types import RunContext


class TwoOptimizers(pl.LightningModule):
    """Takes two steps per batch, as an inverter and its critic do."""

    def __init__(self):
        super().__init__()
        self.automatic_optimization = False
        self.numbers = nn.Parameter(torch.zeros(2))

    def training_step(self, batch, index):
        for optimizer in self.optimizers():
            optimizer.zero_grad()
            self.manual_backward(self.numbers.square().sum())
            optimizer.step()

    def configure_optimizers(self):
        return [torch.optim.SGD([self.numbers], 0.1) for _ in range(2)]


def test_a_training_with_two_optimizers_is_half_done_after_half_its_batches(tmp_path):
    told = []
    ctx = RunContext(workdir=tmp_path, progress=lambda fraction, detail="": told.append(fraction))
    batches = Batches([torch.ones(8)], 2, torch.Generator())
    fit(TwoOptimizers(), batches, epochs=2, ctx=ctx, detail="inverter")
    assert told == pytest.approx([i / 8 for i in range(1, 9)])
