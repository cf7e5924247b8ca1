"""Columns of a Parquet file, vectors among them. The only place that needs pyarrow."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray


def read_parquet(path: Path) -> dict[str, NDArray[Any]]:
    """Column -> values ``(N,)``, or vectors ``(N, D)`` where it contains lists.

    Raises:
        ValueError: for a damaged file, two columns of one name, and vectors that are missing or of
            several lengths.
    """
    try:
        table = pq.read_table(path, memory_map=True, use_threads=False)
        named = zip(table.column_names, table.columns, strict=True)
        columns = {name: _read_values(name, column) for name, column in named}
    except pa.ArrowException as error:
        raise ValueError(str(error)) from None
    if len(columns) < table.num_columns:
        raise ValueError("several columns have one name; rename all but one")
    return columns


def _read_values(name: str, column: Any) -> NDArray[Any]:
    kind = column.type
    if pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind):
        return _read_vectors(name, column)
    cells = np.empty(len(column), dtype=object)
    cells[:] = column.to_pylist()
    return cells


def _read_vectors(name: str, column: Any) -> NDArray[Any]:
    if column.null_count:
        raise ValueError(f"{column.null_count} rows of {name!r} are empty; leave them out")
    lengths = sorted(pc.list_value_length(column).unique().to_pylist())
    if len(lengths) > 1:
        raise ValueError(
            f"rows of {name!r} have {lengths[0]} to {lengths[-1]} numbers; give as many for each"
        )
    # a copy, for pyarrow's own memory cannot be written to and torch has no such tensors
    flat = np.array(pc.list_flatten(column).to_numpy())
    return flat.reshape(len(column), -1)
