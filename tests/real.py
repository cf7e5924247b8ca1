"""Where the real pretrained models are, if they are there: they are not part of the project."""

import os
from pathlib import Path

import pytest

FOLDER = Path(
    os.environ.get("AUDIT_TEST_WEIGHTS", Path(__file__).parents[1].parent / "shared" / "weights")
)


@pytest.fixture(scope="session")
def real_weights() -> Path:
    """The folder of real models; the test is skipped where there is none."""
    if not FOLDER.is_dir():
        pytest.skip(f"real models are not in {FOLDER}; set AUDIT_TEST_WEIGHTS to their folder")
    return FOLDER
