"""On a GPU, tests that repeat what they do ask for algorithms that do."""

from collections.abc import Iterator

import pytest

from auditor.pipeline.environment import determinism, pick_device
from tests import worlds


@pytest.fixture(autouse=True, scope="session")
def _repeatable() -> Iterator[None]:
    with determinism(pick_device(worlds.DEVICE.type), wanted=True):
        yield
