"""One thread per test process: small tensors lose more to waiting threads than they gain."""

import pytest
import torch

# looking for doctests imports a module, and this one makes a device known to the whole process
collect_ignore = ["simulated.py"]


@pytest.fixture(autouse=True, scope="session")
def _one_thread():
    torch.set_num_threads(1)
