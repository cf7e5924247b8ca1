"""Where contract tests run: on the CPU, on a GPU or on a simulated device."""

from collections.abc import Iterator

import pytest

from auditor.pipeline.environment import determinism, pick_device
from auditor.training import loop
from tests import worlds


@pytest.fixture(autouse=True, scope="session")
def _device() -> Iterator[None]:
    if worlds.WANTED != "simulated":
        # tests that repeat what they do need algorithms that repeat
        with determinism(pick_device(worlds.WANTED), wanted=True):
            yield
        return
    from tests import simulated

    with pytest.MonkeyPatch.context() as patch, simulated.simulation():
        patch.setattr(loop, "_hardware", simulated.hardware)
        yield
