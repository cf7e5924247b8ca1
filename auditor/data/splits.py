"""Who is attacked, who searches for whom, and whom the adversary knows: the four splits.

What the rows do not say is decided here by fixed rules, each with a notice for the report.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pandas as pd

from auditor.data.rows import DISTRACTOR
from auditor.errors import DataError
from auditor.types import MISSING

HOW = {
    "gallery": "label rows 'gallery' in the manifest, or leave its whole split column empty; "
    "in the Market-1501 layout fill bounding_box_test",
    "query": "give people two or more pictures, or label rows 'query'",
    "auxiliary": "label rows 'auxiliary' or 'train' with people who are neither in query nor in "
    "gallery, or label none of four or more people so that half are set aside",
}


class MissingSplitError(DataError):
    """A split has no pictures, or nobody to tell apart; other labels would help."""


@dataclass(frozen=True)
class Division:
    """The rows of each split, and what had to be decided to get there."""

    parts: Mapping[str, pd.DataFrame]
    cross_camera: bool
    notices: tuple[str, ...]


def divide(table: pd.DataFrame, cross_camera: bool) -> Division:
    """Divide rows (pid, camid as code, split) into train, query, gallery and auxiliary.

    Raises:
        DataError: naming the split that leaves nothing to audit, and the way out.
    """
    table, strays = _place_distractors(table)
    attacked, others, learned = _set_aside(table)
    query, gallery, searched = _pick_queries(attacked)
    parts = {"query": query, "gallery": gallery, **others}
    _check_people(parts)
    cross_camera, seen = _check_cameras(parts, cross_camera)
    matched = _check_matches(query, gallery, cross_camera)
    return Division(parts, cross_camera, (*strays, *learned, *searched, *seen, *matched))


def without(division: Division, rows: Sequence[int]) -> Division:
    """Return the division without some auxiliary and train rows; the attacked people keep theirs.

    Raises:
        DataError: if what is left of the auxiliary people, or of train, is too little.
    """
    parts = division.parts
    # train and auxiliary may be one table, and stay one
    kept = {
        id(part): part.drop(rows, errors="ignore") for part in (parts["train"], parts["auxiliary"])
    }
    left = {name: kept.get(id(part), part) for name, part in parts.items()}
    _check_people(left)
    if left["train"].empty:
        raise DataError(
            "every picture in train is a copy of an attacked one, so dropping them leaves nothing "
            "to train on; label other pictures 'train', or none"
        )
    notice = f"{len(rows)} auxiliary or train pictures were dropped as copies of attacked ones."
    return Division(left, division.cross_camera, (*division.notices, notice))


def _place_distractors(table: pd.DataFrame) -> tuple[pd.DataFrame, list[str]]:
    """Nobody's pictures belong into the gallery only; anywhere else they would be a person."""
    queried = (table["pid"] == DISTRACTOR) & (table["split"] == "query")
    if queried.any() and (table["pid"].eq(DISTRACTOR) & (table["split"] == "gallery")).any():
        raise DataError(
            f"person {DISTRACTOR} is among the queries, but {DISTRACTOR} means a distractor, who "
            "is nobody; number people from 1"
        )
    stray = (table["pid"] == DISTRACTOR) & ~table["split"].isin(["gallery", ""])
    notices = []
    if stray.any():
        notices.append(f"{stray.sum()} distractors outside the gallery were dropped.")
    return table[~stray], notices


def _set_aside(
    table: pd.DataFrame,
) -> tuple[pd.DataFrame, dict[str, pd.DataFrame], list[str]]:
    """Return the attacked rows, the auxiliary and train rows, and notices."""
    train, auxiliary = (table[table["split"] == name] for name in ("train", "auxiliary"))
    attacked = table[table["split"].isin(["query", "gallery", ""])]
    if len(auxiliary) and len(train):
        both = _people(train) & _people(attacked)
        seen = [f"{len(both)} of the people in train are also attacked."] if both else []
        return attacked, {"train": train, "auxiliary": auxiliary}, seen
    if len(auxiliary) or len(train):
        known = auxiliary if len(auxiliary) else train
        return attacked, {"train": known, "auxiliary": known}, []
    people = sorted(_people(attacked))
    known_people = people[1::2]
    known = attacked[attacked["pid"].isin(known_people)]
    notice = (
        f"No pictures are labelled auxiliary or train: every second person ({len(known_people)} of "
        f"{len(people)}) became auxiliary, and the others are attacked."
    )
    return attacked.drop(known.index), {"train": known, "auxiliary": known}, [notice]


def _pick_queries(attacked: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame, list[str]]:
    """Query and gallery rows; where none is a query, one picture per person and camera is."""
    chosen = attacked["split"] == "query"
    if chosen.any():
        return attacked[chosen], attacked[~chosen], []
    chosen = ~attacked.duplicated(["pid", "camid"]) & (attacked["pid"] != DISTRACTOR)
    # Someone with one picture per camera would leave the gallery; their last picture stays there.
    gone = chosen.groupby(attacked["pid"]).transform("all")
    chosen &= ~(gone & ~attacked.duplicated("pid", keep="last"))
    notice = (
        "No pictures of the attacked people are labelled query: the first one of each person and "
        f"camera ({chosen.sum()} in all) became a query."
    )
    return attacked[chosen], attacked[~chosen], [notice]


def _check_people(parts: Mapping[str, pd.DataFrame]) -> None:
    """Every split has pictures, attacked and auxiliary people are several, and nobody is both."""
    attacked = _people(parts["query"]) | _people(parts["gallery"])
    auxiliary = _people(parts["auxiliary"])
    if len(attacked) == 1:
        raise DataError(
            "only one identity is attacked, so there is nobody to mix it up with; "
            "give two or more people in query and gallery, or four or more if none are labelled"
        )
    for name, way_out in HOW.items():
        if not len(parts[name]):
            raise MissingSplitError(f"the split {name!r} is empty; {way_out}")
    if len(auxiliary) == 1:
        raise MissingSplitError(f"the split 'auxiliary' has one identity only; {HOW['auxiliary']}")
    both = sorted(attacked & auxiliary)
    if both:
        raise MissingSplitError(
            f"{len(both)} identities are both attacked (query, gallery) and the adversary's own "
            f"(auxiliary, else train); the first is pid {both[0]}: keep each on one side"
        )


def _check_cameras(parts: Mapping[str, pd.DataFrame], cross_camera: bool) -> tuple[bool, list[str]]:
    """Return whether same-camera matches can be ignored, and notices."""
    rows = pd.concat([parts["query"], parts["gallery"]])
    cameras = set(rows.loc[rows["pid"] != DISTRACTOR, "camid"])
    if cameras == {MISSING}:
        notice = "The cameras are unknown, so the cross-camera protocol is impossible."
        return False, [notice]
    if cross_camera and len(cameras) == 1:
        raise DataError(
            "query and gallery come from one camera only, and matches from a query's own camera "
            "are ignored, so no query has a match; set data.cross_camera: false"
        )
    if MISSING in cameras:
        unknown = int((rows["camid"] == MISSING).sum())
        notice = f"{unknown} pictures have no camera; no match with them is ever ignored."
        return cross_camera, [notice]
    return cross_camera, []


def _check_matches(query: pd.DataFrame, gallery: pd.DataFrame, cross_camera: bool) -> list[str]:
    """At least one query finds its person in the gallery; notices about those that cannot."""
    lost = count_lost(query, gallery, cross_camera)
    if lost == len(query):
        raise DataError(
            "no query has a valid match in the gallery; put further pictures of the same people "
            "there" + (", from another camera or with data.cross_camera: false" * cross_camera)
        )
    return [f"{lost} of {len(query)} queries have no valid match in the gallery."] if lost else []


def count_lost(query: pd.DataFrame, gallery: pd.DataFrame, cross_camera: bool) -> int:
    """Return how many queries do not find their person in the gallery."""
    columns = ["pid", "camid"]
    pairs = query[columns].merge(gallery[columns].drop_duplicates(), on="pid", suffixes=("", "_of"))
    if cross_camera:
        same = (pairs["camid"] == pairs["camid_of"]) & (pairs["camid"] != MISSING)
        pairs = pairs[~same]
    matched = set(zip(pairs["pid"], pairs["camid"], strict=True))
    return sum(pair not in matched for pair in zip(query["pid"], query["camid"], strict=True))


def _people(table: pd.DataFrame) -> set[int]:
    return set(table["pid"].tolist()) - {DISTRACTOR}
