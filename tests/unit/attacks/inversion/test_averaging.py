"""Averaged weights, beside torch's own."""

import pytest
import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from attacks.inversion.averaging import Averaged
from attacks.inversion.conditional_gan import _warm_average


@pytest.mark.parametrize("average", [get_ema_multi_avg_fn(0.9), _warm_average(0.99)])
def test_weights_and_buffers_are_those_that_torch_averages(average):
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4))
    ours, theirs = (kind(network, multi_avg_fn=average) for kind in (Averaged, AveragedModel))
    for _ in range(5):
        with torch.no_grad():
            for weight in network.parameters():
                weight.add_(torch.randn_like(weight))
            network(torch.randn(8, 3))
        for kept in (ours, theirs):
            kept.update_parameters(network)
    found, wanted = ours.state_dict(), theirs.state_dict()
    assert found.keys() == wanted.keys()
    assert all(torch.equal(found[name], wanted[name]) for name in wanted)
