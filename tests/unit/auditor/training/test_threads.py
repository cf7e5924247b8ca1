"""How many threads a training gets."""

from types import SimpleNamespace

import pytest
import torch
from torch import nn

from auditor.training.threads import multiplications, suited_threads


@pytest.fixture
def two_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize(
    ("module", "rows", "threads"),
    [
        (nn.Linear(100, 100), 64, 1),
        (nn.Linear(2000, 2000), 64, 2),
        (nn.Conv2d(3, 8, 3), 64, 2),
        (nn.Linear(100, 100), None, 2),
    ],
    ids=["tiny", "large", "convolutional", "rows unknown"],
)
def test_a_tiny_network_is_trained_in_one_thread(two_threads, module, rows, threads):
    with suited_threads(module, SimpleNamespace(size=rows)):
        assert torch.get_num_threads() == threads
    assert torch.get_num_threads() == 2


def test_a_linear_layer_multiplies_each_weight_with_each_row():
    assert multiplications(nn.Linear(10, 20, bias=False), 3) == 600
