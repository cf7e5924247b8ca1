"""Counting by tiles and by compiled code, against one comparison at a time."""

import pytest
import torch

from auditor.metrics import counting
from auditor.metrics.counting import compile_counter, count_by_tiles, count_compiled


def by_hand(scores, limits, counts):
    rows = zip(scores.tolist(), limits.tolist(), counts.tolist(), strict=True)
    return [
        [(sum(s > x for s in row), sum(s >= x for s in row)) for x in lowest[:count]]
        for row, lowest, count in rows
    ]


def read(found, counts):
    above, at_least = (part.int().tolist() for part in found)
    return [
        list(zip(a[:n], b[:n], strict=True))
        for a, b, n in zip(above, at_least, counts.tolist(), strict=True)
    ]


def draw(rows=9, columns=70, width=5, levels=40):
    generator = torch.Generator().manual_seed(0)
    wide = torch.randint(0, levels, (rows, columns + 6), generator=generator).float()
    scores = wide[:, :columns]  # as products padded to whole tiles give them
    scores[2, 3] = -torch.inf
    counts = torch.randint(0, width + 1, (rows,), generator=generator)
    return scores, scores[:, :width].sort(1, descending=True).values, counts


def test_tiles_count_like_one_comparison_at_a_time(monkeypatch):
    monkeypatch.setitem(counting.TILE, "cpu", 4)
    given = draw()
    assert read(count_by_tiles(*given), given[2]) == by_hand(*given)


@pytest.mark.parametrize("layout", ["padded", "contiguous", "transposed", "one row"])
def test_compiled_code_counts_like_one_comparison_at_a_time(layout):
    pytest.importorskip("numba")
    scores, limits, counts = draw()
    if layout == "contiguous":
        scores = scores.contiguous()
    if layout == "transposed":
        scores = scores.T.contiguous().T
    if layout == "one row":
        scores, limits, counts = scores[1:2], limits[1:2], counts[1:2]
    found = count_compiled(compile_counter(), scores, limits, counts)
    assert read(found, counts) == by_hand(scores, limits, counts)


def test_small_counts_do_not_wait_for_the_compiler(monkeypatch):
    monkeypatch.setattr(counting, "compile_counter", lambda: pytest.fail("not worth it"))
    given = draw()
    assert read(counting.count_better(*given), given[2]) == by_hand(*given)


def test_without_numba_torch_counts(monkeypatch):
    monkeypatch.setattr(counting, "WORTHWHILE", 0)
    monkeypatch.setattr(counting, "compile_counter", lambda: None)
    given = draw()
    assert read(counting.count_better(*given), given[2]) == by_hand(*given)
