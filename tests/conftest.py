"""One thread per test process: small tensors lose more to waiting threads than they gain."""

import pytest
import torch


@pytest.fixture(autouse=True, scope="session")
def _one_thread():
    torch.set_num_threads(1)
