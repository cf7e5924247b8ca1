"""Adds the columns `tracklet` and `time` to a table of people, for measurements over sequences.

`python benchmarks/tracklets.py data/market/manifest.csv data/market/tracklets.csv` reads them off
names such as `0002_c1s1_000451_03.jpg` (camera, sequence, frame, at 25 frames a second): a tracklet
is a person's passing by a camera, without a gap of more than `GAP` seconds. Where names do not say
so, or for an npz file of features, a tracklet is whatever a camera saw of a person, and nothing is
known of times.

With ``--hours H`` times are made up: everybody enters at a random time of H hours and passes the
cameras that saw them in a random order, about a minute apart. People and pictures stay as they are,
so what features tell is real and what times tell is not.
"""

import argparse
import csv
import re
from collections.abc import Sequence
from itertools import count
from pathlib import Path

import numpy as np

NAME = re.compile(r"_c\d+s(\d+)_(\d+)_\d+\.\w+$")
RATE = 25
"""Frames a second."""
SEQUENCE = 1e5
"""Seconds from the beginning of one sequence to that of the next: more than any of them lasts."""
GAP = 10
TRANSIT, SPREAD = 60.0, 0.5
"""Median of the seconds from camera to camera, and the deviation of their logarithm."""


def read_times(paths: Sequence[str]) -> np.ndarray | None:
    """Return the seconds ``(N,)`` that names of pictures tell; None if one does not."""
    names = [NAME.search(path) for path in paths]
    if not names or not all(names):
        return None
    parts = np.array([[int(name[1]), int(name[2])] for name in names if name])
    return parts[:, 0] * SEQUENCE + parts[:, 1] / RATE


def number_tracklets(pids: np.ndarray, camids: np.ndarray, times: np.ndarray | None) -> np.ndarray:
    """Return tracklets ``(N,)`` from 0; −1 for pictures of nobody in particular."""
    tracklets, numbers = np.full(len(pids), -1), count()
    for pid, camid in np.unique(np.stack([pids, camids]), axis=1).T:
        rows = np.flatnonzero((pids == pid) & (camids == camid))
        if pid <= 0:
            continue
        if times is None:
            tracklets[rows] = next(numbers)
            continue
        rows = rows[times[rows].argsort(kind="stable")]
        for part in np.split(rows, np.flatnonzero(np.diff(times[rows]) > GAP) + 1):
            tracklets[part] = next(numbers)
    return tracklets


def make_up_times(
    pids: np.ndarray, camids: np.ndarray, hours: float, rng: np.random.Generator
) -> np.ndarray:
    """Return seconds ``(N,)`` at which people may have passed the cameras that saw them."""
    times = np.empty(len(pids))
    for pid in np.unique(pids):
        mine = np.flatnonzero(pids == pid)
        seen = rng.permutation(np.unique(camids[mine]))
        legs = rng.lognormal(np.log(TRANSIT), SPREAD, len(seen))
        legs[0] = rng.uniform(0, 3600 * hours)
        for camid, arrival in zip(seen, legs.cumsum(), strict=True):
            rows = mine[camids[mine] == camid]
            times[rows] = arrival + np.arange(len(rows))
    return times


def main() -> None:
    """Write the table with its two further columns."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("table", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--hours", type=float)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    columns = _read(asked.table)
    pids, camids = (np.asarray(columns[name]).astype(int) for name in ("pid", "camid"))
    times = read_times([str(path) for path in columns.get("path", ())])
    tracklets = number_tracklets(pids, camids, times)
    if asked.hours is not None:
        times = make_up_times(pids, camids, asked.hours, np.random.default_rng(asked.seed))
    columns["tracklet"] = np.where(tracklets < 0, "", tracklets.astype(str))
    if times is not None:
        columns["time"] = times.round(2)
    _write(asked.out, columns)
    known = len(np.unique(tracklets[tracklets >= 0]))
    print(f"wrote {asked.out}: {len(pids)} pictures, {known} tracklets")


def _read(table: Path) -> dict[str, np.ndarray]:
    if table.suffix == ".npz":
        with np.load(table, allow_pickle=False) as arrays:
            return {name: arrays[name] for name in arrays.files}
    with table.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    return {name: np.array([row[name] for row in rows]) for name in rows[0]}


def _write(out: Path, columns: dict[str, np.ndarray]) -> None:
    if out.suffix == ".npz":
        np.savez(out, **columns)
        return
    with out.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(columns)
        writer.writerows(zip(*columns.values(), strict=True))


if __name__ == "__main__":
    main()
