"""Work a block of rows at a time gives what work on all rows at once gives."""

import pytest
import torch

from auditor.row_blocks import BLOCK, join_blocks, map_rows, split_rows

ROWS = torch.randn(2 * BLOCK + 3, 3, generator=torch.Generator().manual_seed(1))


def test_blocks_are_all_rows_in_order():
    assert [len(block) for block in split_rows(ROWS)] == [BLOCK, BLOCK, 3]
    assert torch.equal(join_blocks(split_rows(ROWS), len(ROWS)), ROWS)


def test_no_rows_keep_their_width_and_type():
    nothing = join_blocks(split_rows(ROWS[:0].double()), 0)
    assert nothing.shape == (0, 3)
    assert nothing.dtype == torch.float64


@pytest.mark.parametrize("count", [BLOCK, 2 * BLOCK + 4])
def test_lost_and_added_rows_are_noticed(count):
    with pytest.raises((ValueError, RuntimeError)):
        join_blocks(split_rows(ROWS), count)


def test_work_never_sees_more_than_a_block():
    seen = []

    def work(block):
        seen.append(len(block))
        return block.double().exp()

    assert torch.equal(map_rows(work, ROWS), ROWS.double().exp())
    assert max(seen) == BLOCK
