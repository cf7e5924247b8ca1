"""A training that leaves the numbers ends at once, and keeps nothing of it."""

import pytest
import pytorch_lightning as pl
import torch
from torch import nn

from auditor.errors import TrainingFailedError
from auditor.training.loop import Batches, fit
from auditor.types import RunContext


class Diverging(pl.LightningModule):
    """Learns a number; from some epoch on its loss, or its weight, is no number."""

    def __init__(self, epoch=99, *, loss=float("nan"), weight=None):
        super().__init__()
        self.number = nn.Parameter(torch.zeros(1))
        self.epoch, self.loss, self.weight = epoch, loss, weight
        self.steps = 0

    def training_step(self, batch, index):
        self.steps += 1
        loss = (self.number - batch[0].mean()).square().sum()
        if self.current_epoch >= self.epoch:
            if self.weight is None:
                return loss * self.loss
            if index == 3:  # the last batch, whose loss was still a number
                self.number.register_hook(lambda gradient: gradient * self.weight)
        return loss

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), 0.1)


def train(module, tmp_path, checkpoint=None):
    ctx = RunContext(seed=0, device=torch.device("cpu"), workdir=tmp_path)
    batches = Batches([torch.ones(8)], 2, torch.Generator())
    fit(module, batches, epochs=4, ctx=ctx, detail="x", checkpoint=checkpoint)


@pytest.mark.parametrize("loss", [float("nan"), float("inf")])
def test_the_first_loss_that_is_no_number_ends_it(tmp_path, loss):
    module = Diverging(2, loss=loss)
    with pytest.raises(TrainingFailedError, match="loss of batch 1 in epoch 3 is NaN or infinite"):
        train(module, tmp_path)
    assert module.steps == 2 * 4 + 1


def test_no_checkpoint_goes_on_from_nothing(tmp_path):
    checkpoint = tmp_path / "kept.ckpt"
    with pytest.raises(TrainingFailedError):
        train(Diverging(2), tmp_path, checkpoint)
    kept = torch.load(checkpoint, weights_only=True)
    assert kept["epoch"] == 1
    assert all(torch.isfinite(weight).all() for weight in kept["state_dict"].values())
    again = Diverging()
    train(again, tmp_path, checkpoint)
    assert again.steps == 2 * 4
    assert torch.isfinite(again.number).all()


def test_a_weight_that_is_no_number_ends_it_before_it_is_kept(tmp_path):
    checkpoint = tmp_path / "kept.ckpt"
    with pytest.raises(TrainingFailedError, match="the weight number in epoch 2"):
        train(Diverging(1, weight=float("inf")), tmp_path, checkpoint)
    assert torch.load(checkpoint, weights_only=True)["epoch"] == 0
