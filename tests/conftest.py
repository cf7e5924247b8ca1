"""One thread per test process: small tensors lose more to waiting threads than they gain."""

import pytest
import torch
from hypothesis import settings

# The same examples every time: a gate is no lottery. `--hypothesis-profile default` draws anew,
# and benchmarks/fuzz.py goes on for hours.
settings.load_profile("ci")

# looking for doctests imports a module: one makes a device known to the whole process, the other
# needs a server that is not installed here
collect_ignore = ["simulated.py", "integration/mlserver_model"]


@pytest.fixture(autouse=True, scope="session")
def _one_thread():
    torch.set_num_threads(1)
