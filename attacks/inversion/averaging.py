"""Weights averaged while a network is trained, without a wait for the device that trains it."""

import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel


class Averaged(AveragedModel):
    """Torch's own, which reads from the device at every step how many steps there have been.

    Here the host counts along, so ``multi_avg_fn`` is given a number.
    """

    updates: int = 0

    def update_parameters(self, model: nn.Module) -> None:
        """Take in the weights of ``model``; the first ones as they are."""
        ours, theirs = (
            [weight.detach() for weight in module.parameters()] for module in (self.module, model)
        )
        if self.updates and self.multi_avg_fn is not None:
            self.multi_avg_fn(ours, theirs, self.updates)
        else:
            torch._foreach_copy_(ours, theirs)
        for kept, buffer in zip(self.module.buffers(), model.buffers(), strict=True):
            kept.copy_(buffer)
        self.updates += 1
        self.n_averaged += 1
