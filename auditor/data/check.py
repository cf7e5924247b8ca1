"""Whether a dataset can be audited, and everything one wants to know before: nothing is changed."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from auditor.data.dataset import (
    Looks,
    copied_queries,
    encode_attributes,
    look_through,
    odd_searches,
    settle,
    too_many_broken,
)
from auditor.data.duplicates import copies_across
from auditor.data.rows import DISTRACTOR, JUNK, KEPT, Rows, encode, in_order
from auditor.data.splits import Division, count_lost
from auditor.data.tracks import read_tracks
from auditor.errors import DataError

ATTACKED = ("query", "gallery", "")
UNDECIDED = "undecided"


@dataclass(frozen=True, kw_only=True)
class Check:
    """What was found; plain data.

    Attributes:
        layout: the layout's name.
        splits: split -> counts of images, people, distractors and junk; as decided, or as labelled
            where no decision is possible. Without ``train``, the auxiliary people are it.
        cameras: camera -> readable pictures.
        attributes: attribute -> value -> people.
        tracks: ``tracklet`` and ``time`` -> pictures for which it is known, as far as any is.
        disjoint: numbers of people attacked, auxiliary and on both sides, and the first of those.
        queries: number, and how many find no match in the gallery; None without a decision.
        near_duplicates: the adversary's pictures that are copies of attacked ones; None if the
            splits could not be decided, so that there is no border to compare across.
        broken: picture -> why it cannot be read.
        notices: what the audit will say too.
        faults: why the dataset cannot be audited; empty if it can.
    """

    layout: str
    splits: Mapping[str, Mapping[str, int]]
    cameras: Mapping[str, int]
    attributes: Mapping[str, Mapping[str, int]]
    tracks: Mapping[str, int]
    disjoint: Mapping[str, Any]
    queries: Mapping[str, int] | None
    near_duplicates: Sequence[Mapping[str, Any]] | None
    broken: Mapping[str, str]
    notices: Sequence[str]
    faults: Sequence[str]


def check(rows: Rows, *, cross_camera: bool = True, max_broken: float = 0.01) -> Check:
    """Look at every picture once, decide the splits as an audit would, and compare across them.

    Args:
        rows: of any layout.
        cross_camera: whether same-camera matches of a query are ignored.
        max_broken: the largest share of missing or broken pictures that may be dropped.
    """
    looks = look_through(rows)
    table = looks.readable
    faults = [too_many_broken(rows, looks, max_broken)]
    division = None
    try:
        if rows.table.empty:
            raise DataError(f"{rows.source} contains no pictures; name the folder that does")
        camids, _ = encode(table["camid"].tolist())
        division = settle(rows, table.assign(camid=camids), cross_camera)
    except DataError as error:
        faults.append(str(error))
    copies = copies_across(division, looks.prints, rows.files) if division else None
    paths = rows.table["path"]
    texts = rows.attributes.loc[table.index]
    _, _, ignored = encode_attributes(texts)
    beside = [name for name in texts if str(name).lower() in KEPT]
    tracks = read_tracks(texts)
    return Check(
        layout=rows.layout,
        splits=count_splits(rows, division.parts if division else split_table(table)),
        cameras=_count_cameras(table),
        attributes=_count_values(table, texts.drop(columns=[*ignored, *beside])),
        tracks={str(name): int(known.sum()) for name, known in tracks.known().items()},
        disjoint=_compare_sides(division.parts if division else split_table(table)),
        queries=_count_queries(division) if division else None,
        near_duplicates=None
        if copies is None
        else [
            {"known": paths[copy.known], "attacked": paths[copy.attacked], "bits": copy.bits}
            for copy in copies
        ],
        broken=dict(looks.broken),
        notices=[*rows.notices, *_odd(division, looks), *ignored.values(), *tracks.notices],
        faults=[fault for fault in faults if fault],
    )


def _odd(division: Division | None, looks: Looks) -> list[str]:
    if division is None:
        return []
    copied = copied_queries(division, looks.digests)
    return [*division.notices, *odd_searches(division, copied)]


def split_table(table: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Return the parts of ``table`` as its split column has them."""
    return {str(name): part for name, part in table.groupby("split")}


def count_splits(rows: Rows, parts: Mapping[str, pd.DataFrame]) -> dict[str, dict[str, int]]:
    """Split to counts of images, people, distractors and junk; of equal parts the last is kept."""
    junk = rows.table.loc[rows.table["pid"] == JUNK, "split"].value_counts()
    names = [name for name in ("train", "auxiliary", "query", "gallery", "") if name in parts]
    if "auxiliary" in parts and parts.get("train") is parts["auxiliary"]:
        names.remove("train")
    return {
        name or UNDECIDED: {
            "images": len(parts[name]),
            "people": len(_people(parts[name])),
            "distractors": int((parts[name]["pid"] == DISTRACTOR).sum()),
            "junk": int(junk.get(name, 0)),
        }
        for name in names
    }


def _count_cameras(table: pd.DataFrame) -> dict[str, int]:
    counts = {str(name): int(n) for name, n in table["camid"].value_counts().items()}
    known = in_order(set(counts) - {""})
    unknown = {"unknown": counts[""]} if "" in counts else {}
    return {name: counts[name] for name in known} | unknown


def _count_values(table: pd.DataFrame, attributes: pd.DataFrame) -> dict[str, dict[str, int]]:
    """Return how many people each value of each attribute was annotated for."""
    pids = table.loc[table["pid"] > DISTRACTOR, "pid"]
    counted: dict[str, dict[str, int]] = {}
    for name, texts in attributes.loc[pids.index].items():
        people = {str(value): int(n) for value, n in pids.groupby(texts).nunique().items()}
        counted[str(name)] = {value: people[value] for value in in_order(set(people) - {""})}
    return counted


def _compare_sides(parts: Mapping[str, pd.DataFrame]) -> dict[str, Any]:
    attacked = {pid for name in ATTACKED if name in parts for pid in _people(parts[name])}
    side = "auxiliary" if len(parts.get("auxiliary", ())) else "train"
    auxiliary = _people(parts[side]) if side in parts else set()
    both = sorted(attacked & auxiliary)
    return {
        "attacked": len(attacked),
        "auxiliary": len(auxiliary),
        "both": len(both),
        "first": both[:5],
    }


def _count_queries(division: Division) -> dict[str, int]:
    query, gallery = division.parts["query"], division.parts["gallery"]
    lost = count_lost(query, gallery, division.cross_camera)
    return {"number": len(query), "without_match": lost}


def _people(part: pd.DataFrame) -> set[int]:
    return set(part["pid"].tolist()) - {DISTRACTOR, JUNK}
