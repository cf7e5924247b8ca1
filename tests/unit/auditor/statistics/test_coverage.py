"""A part of the coverage study: no interval misses the truth more often than it promises."""

import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest

from auditor.statistics.intervals import rate_interval

ROOT = Path(__file__).parents[4]


def load():
    """The study, whose file has the name of a well-known package."""
    spec = importlib.util.spec_from_file_location(
        "coverage_study", ROOT / "benchmarks" / "coverage.py"
    )
    module = sys.modules[spec.name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


study = load()


FAST = ("rate", "mean", "balanced_accuracy", "auc", "difference", "pu")


@pytest.mark.parametrize("name", FAST)
def test_every_estimator_keeps_its_promise(name):
    cells = list(study.study(name, fast=True))
    assert [cell for cell in cells if not cell.honest] == []


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in study.PARTS if name not in FAST])
def test_the_slower_ones_too(name):
    cells = list(study.study(name, fast=True))
    assert [cell for cell in cells if not cell.honest] == []


def test_the_committed_table_keeps_it_everywhere():
    cells = [cell for group in study.read(study.FOLDER / "coverage.csv").values() for cell in group]
    assert {cell.estimator for cell in cells} == set(study.PARTS)
    assert [cell for cell in cells if not cell.honest] == []


@pytest.mark.parametrize("rate", [0.02, 0.4])
def test_a_miss_is_an_end_on_the_wrong_side(rate):
    rng = np.random.default_rng(2)
    counts = np.full((40, 12), 5)
    hits = study.sample(rng, rate, "all or nothing", counts)
    cell = study.rates("rate", 12, 5, rate, "all or nothing", 40)
    assert 0 <= cell.below <= 0.1
    ends = [rate_interval(study._persons(h, c))[1] for h, c in zip(hits, counts, strict=True)]
    gains = np.array([h - rate * 5 for h in range(6)])
    table = np.stack([(hits == h).sum(1) for h in range(6)], 1).astype(float)
    found = study._missed(gains, np.column_stack([table, np.ones(40)]), np.full(40, 5 * (1 - rate)))
    assert found.tolist() == [end < rate for end in ends]
