"""Copies that nobody else's changes reach, whether or not they take up memory."""

from pathlib import Path

import numpy as np
import pytest
import torch

from auditor import lazy_copies
from auditor.lazy_copies import MappedRows, keep_rows
from auditor.row_blocks import BLOCK

ROWS = torch.randn(BLOCK + 3, 4, generator=torch.Generator().manual_seed(1))


def count_open():
    return len(list(Path("/proc/self/fd").iterdir()))


@pytest.fixture(params=["at once", "lazily"])
def copies(request, monkeypatch):
    if request.param == "lazily":
        monkeypatch.setattr(lazy_copies, "LEAST", 1)
    kept = keep_rows(ROWS)
    assert isinstance(kept, MappedRows) is (request.param == "lazily")
    return kept


def test_nobodys_changes_reach_another(copies):
    first = copies()
    assert torch.equal(first, ROWS)
    first.zero_()
    assert torch.equal(copies(), ROWS)
    assert not first.any()


def test_later_changes_of_the_origin_reach_nobody(monkeypatch):
    monkeypatch.setattr(lazy_copies, "LEAST", 1)
    rows = ROWS.clone()
    copies = keep_rows(rows)
    rows.zero_()
    assert torch.equal(copies(), ROWS)


@pytest.mark.parametrize("kind", [torch.float64, torch.uint8, torch.float16])
def test_any_numbers_can_be_kept(monkeypatch, kind):
    monkeypatch.setattr(lazy_copies, "LEAST", 1)
    rows = (100 * ROWS[:5].abs()).to(kind)
    assert torch.equal(keep_rows(rows)(), rows)
    assert torch.equal(keep_rows(rows.T)(), rows.T)


def test_a_copy_outlives_whoever_kept_it(monkeypatch):
    monkeypatch.setattr(lazy_copies, "LEAST", 1)
    copy = keep_rows(ROWS)()
    assert torch.equal(copy, ROWS)


def test_the_file_is_closed_with_the_last_who_needs_it(monkeypatch):
    monkeypatch.setattr(lazy_copies, "LEAST", 1)
    before = count_open()
    copies = keep_rows(ROWS)
    assert count_open() == before + 1
    del copies
    assert count_open() == before


def test_rows_of_a_file_may_begin_anywhere(tmp_path):
    file = tmp_path / "rows"
    file.write_bytes(b"x" * 5001 + ROWS.numpy().tobytes())
    mapped = np.memmap(file, np.float32, "c", 5001, ROWS.shape)
    copies = MappedRows.of_array(mapped)
    copies().zero_()
    assert torch.equal(copies(), ROWS)
    assert file.read_bytes()[5001:] == ROWS.numpy().tobytes()
