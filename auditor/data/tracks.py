"""When each picture was taken, and as part of which tracklet: columns kept beside the people."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor

from auditor.data.rows import encode
from auditor.types import MISSING

TRACKLET = ("tracklet", "track", "trackid")
TIME = ("time", "timestamp")
"""Names of the columns, whatever the case; the first one that is there counts."""


@dataclass(frozen=True)
class Tracks:
    """What the columns say of N rows.

    Attributes:
        columns: indexed like the rows: ``tracklet`` (int64 code, −1 unknown) and ``time`` (float64
            seconds, NaN unknown), as far as they are known.
        notices: sentences for the report.
    """

    columns: pd.DataFrame
    notices: tuple[str, ...] = ()

    def of(self, rows: pd.Index) -> dict[str, Tensor]:
        """Return the columns of some rows, by the names that they have in a `Split`."""
        some = self.columns.loc[rows]
        return {f"{name}s": torch.tensor(some[name].to_numpy()) for name in some}

    def known(self) -> pd.DataFrame:
        """Return for each column and row whether it says something."""
        known = self.columns.notna()
        if "tracklet" in known:
            known["tracklet"] = self.columns["tracklet"] != MISSING
        return known


def read_tracks(texts: pd.DataFrame) -> Tracks:
    """Return what the columns of ``texts`` say; empty cells are unknown.

    Times are seconds, dates in ISO 8601 or times of day. Any other column is left out, with a
    notice.
    """
    columns: dict[str, NDArray[np.int64] | NDArray[np.float64]] = {}
    notices = []
    if (name := _find(texts, TRACKLET)) and any(texts[name]):
        columns["tracklet"] = encode(texts[name].tolist())[0]
    if (name := _find(texts, TIME)) and any(texts[name]):
        times = parse_times(texts[name].tolist())
        if times is None:
            notices.append(
                f"The column {name!r} is not used: times are seconds, dates in ISO 8601 or times "
                "of day (12:30:01)."
            )
        else:
            columns["time"] = times
    return Tracks(pd.DataFrame(columns, index=texts.index), tuple(notices))


def _find(texts: pd.DataFrame, names: Sequence[str]) -> str:
    """Return the column of one of those names; an empty text if there is none."""
    called = {str(column).lower(): str(column) for column in reversed(texts.columns.tolist())}
    return next((called[name] for name in names if name in called), "")


def parse_times(texts: Sequence[str]) -> NDArray[np.float64] | None:
    """Return seconds ``(N,)``, NaN for ""; None if a text is no time.

    >>> parse_times(["1.5", "", "20"])
    array([ 1.5,  nan, 20. ])
    >>> parse_times(["12:00", "12:00:01.5"]) - 43200
    array([0. , 1.5])
    >>> parse_times(["2026-01-01T00:00:01Z", "2026-01-01T00:01:00Z"]) - 1767225600
    array([ 1., 60.])
    """
    column = pd.Series(texts, dtype=str)
    told = column != ""
    for parse in (_numbers, _times_of_day, _dates):
        seconds: NDArray[np.float64] = parse(column.where(told)).to_numpy(np.float64)
        if np.isfinite(seconds[told.to_numpy()]).all():
            return seconds
    return None


def _numbers(column: pd.Series) -> pd.Series:
    return pd.to_numeric(column, errors="coerce")


def _times_of_day(column: pd.Series) -> pd.Series:
    parts = column.str.extract(r"^(\d{1,2}):(\d{2})(?::(\d{2}(?:\.\d+)?))?$").astype(float)
    return parts[0] * 3600 + parts[1] * 60 + parts[2].fillna(0)


def _dates(column: pd.Series) -> pd.Series:
    dates = pd.to_datetime(column, errors="coerce", utc=True, format="ISO8601")
    return (dates - pd.Timestamp(0, tz="UTC")) / pd.Timedelta(seconds=1)
