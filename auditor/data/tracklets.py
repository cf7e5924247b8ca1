"""Tracklets: several pictures of one passing by one camera, stored as one entry.

A deployed system pools the features of a tracklet's pictures and stores what comes of it. So where
tracklets are known, a split is turned into one with a row per tracklet (`pool_dataset`), once and
for everybody: utility, attacks, releases and records then meet the entries that a thief would.
The pictures stay behind the entries. Features are computed of each of them and pooled
(`auditor.embedding.features_of`), and protections change each of them (`ByPicture`); whoever looks
at an entry is shown the picture in its middle.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate, pairwise
from typing import get_args

import torch
import torch.nn.functional as F
from torch import Tensor

from auditor.data.images import JoinedImages, Pooling, TrackletImages
from auditor.errors import DataError
from auditor.types import Images, Publish, ReIDDataset, Selection, Split

Group = Sequence[int]


def pool_dataset(data: ReIDDataset, pooling: str) -> ReIDDataset:
    """Return the people with an entry per tracklet; ``train`` stays as it is: networks train on it.

    Args:
        data: the people, with an entry per picture.
        pooling: ``mean``, ``quality``, or ``none``; ``auto`` is the mean where tracklets are known.

    Raises:
        DataError: if pooling is asked for and no tracklets are known.
    """
    splits = {name: getattr(data, name) for name in ("query", "gallery", "auxiliary")}
    known = any(has_tracklets(split) for split in splits.values())
    if pooling == "none" or (pooling == "auto" and not known):
        return data
    if not known:
        raise DataError(
            f"pooling: {pooling} pools the pictures of a tracklet, and none are known; add a "
            "column 'tracklet', or leave pooling out"
        )
    kind: Pooling = "quality" if pooling == "quality" else "mean"
    pooled = {name: pool_split(split, kind) for name, split in splits.items()}
    pictures, entries = (sum(map(len, some.values())) for some in (splits, pooled))
    notice = (
        f"{pictures} pictures are stored as {entries} entries, one for each tracklet (pooling: "
        f"{kind}); with pooling: none every picture is an entry."
    )
    facts = {
        **data.facts,
        "pooling": kind,
        "entries": {name: len(split) for name, split in pooled.items()},
        "notices": [*data.facts.get("notices", ()), notice],
    }
    query, gallery, auxiliary = pooled.values()
    return replace(data, query=query, gallery=gallery, auxiliary=auxiliary, facts=facts)


def has_tracklets(split: Split) -> bool:
    """Return whether any picture is known to belong to a tracklet."""
    return split.tracklets is not None and bool((split.tracklets >= 0).any())


def pool_split(split: Split, pooling: Pooling) -> Split:
    """Return a split with one row for each tracklet, and for each picture that is in none.

    A row has the labels of its middle picture, and the mean of the times of all.
    """
    if not has_tracklets(split):
        return split
    groups = group_pictures(split)
    images = TrackletImages(split.images, groups, pooling)
    pooled = split.of_images(images, images.middles)
    if split.times is None:
        return pooled
    means = [split.times[torch.tensor(group)].nanmean() for group in groups]
    return replace(pooled, times=torch.stack(means))


def group_pictures(split: Split) -> list[list[int]]:
    """Return the rows of each tracklet in the order of time, tracklets in order of first rows."""
    assert split.tracklets is not None
    columns = (column.tolist() for column in (split.pids, split.camids, split.tracklets))
    found: dict[tuple[int, ...], list[int]] = {}
    for row, key in enumerate(zip(*columns, strict=True)):
        found.setdefault(key if key[-1] >= 0 else (row,), []).append(row)
    times = split.times
    if times is not None:
        for group in found.values():
            group.sort(key=lambda row: float(times[row].nan_to_num(0.0)))
    return list(found.values())


def look_behind(images: Images) -> TrackletImages | None:
    """Return the rows as tracklets, whatever they were taken from; None if each is one picture."""
    if isinstance(images, TrackletImages):
        return images
    if isinstance(images, Selection):
        whole = look_behind(images.source)
        if whole is None:
            return None
        return replace(whole, groups=[whole.groups[row] for row in images.rows])
    if isinstance(images, JoinedImages):
        sides = [look_behind(side) for side in (images.first, images.second)]
        known = [side for side in sides if side is not None]
        return _join(images, sides, known[0].pooling) if known else None
    return None


def _join(
    images: JoinedImages, sides: Sequence[TrackletImages | None], pooling: Pooling
) -> TrackletImages:
    first, second = (
        TrackletImages(source, [[row] for row in range(len(source))], pooling)
        if side is None
        else side
        for source, side in zip((images.first, images.second), sides, strict=True)
    )
    border = len(first.source)
    later = [[border + row for row in group] for group in second.groups]
    source = JoinedImages(first.source, second.source)
    return TrackletImages(source, [*first.groups, *later], pooling)


def pictures_of(split: Split) -> Split:
    """Return a split with a row for each picture behind ``split``, whose labels it has."""
    behind = look_behind(split.images)
    if behind is None:
        return split
    sizes = torch.tensor([len(group) for group in behind.groups])
    entry = torch.arange(len(split)).repeat_interleave(sizes)
    places = [row for group in behind.groups for row in group]
    return split.of_images(Selection(behind.source, places), entry)


@dataclass(frozen=True, eq=False)
class ByPicture:
    """A mechanism that does to each picture behind an entry what ``publish`` does to pictures."""

    publish: Publish

    def __call__(self, split: Split, generator: torch.Generator) -> Split:
        """See `auditor.types.Publish`.

        Raises:
            DataError: if the mechanism does not give one picture for each.
        """
        behind = look_behind(split.images)
        if behind is None:
            return self.publish(split, generator)
        published = self.publish(pictures_of(split), generator)
        ends = list(accumulate((len(group) for group in behind.groups), initial=0))
        if len(published) != ends[-1]:
            raise DataError(
                f"the protection made {len(published)} pictures of {ends[-1]}; it must keep the "
                "rows"
            )
        groups = [range(start, end) for start, end in pairwise(ends)]
        images = TrackletImages(published.images, groups, behind.pooling)
        return replace(published.of_images(images, images.middles), times=split.times)


def split_tracklets(data: ReIDDataset) -> ReIDDataset:
    """Return the people with an entry per picture, whatever was pooled."""
    query, gallery, auxiliary = map(pictures_of, (data.query, data.gallery, data.auxiliary))
    return replace(data, query=query, gallery=gallery, auxiliary=auxiliary)


def pool_rows(rows: Tensor, groups: Sequence[Group], pooling: Pooling) -> Tensor:
    """Return one row ``(G, D)`` for the rows ``(N, D)`` of each group, which follow one another.

    ``mean`` is their mean. ``quality`` weighs each by how well it agrees with the others: by its
    cosine to the mean direction of the group, so that an occluded or badly cropped picture counts
    for less. Nothing is learned.
    """
    weigh = WEIGHTS[pooling]
    parts = rows.split([len(group) for group in groups])
    return torch.stack([weigh(part) @ part for part in parts])


def _evenly(rows: Tensor) -> Tensor:
    return rows.new_full((len(rows),), 1 / len(rows))


def _by_agreement(rows: Tensor) -> Tensor:
    """Weights ``(N,)`` that sum to 1; equal ones where nothing agrees."""
    unit = F.normalize(rows, dim=1)
    agreement = (unit @ F.normalize(unit.mean(0), dim=0)).clamp_min(0) + 1e-6
    return agreement / agreement.sum()


WEIGHTS: dict[Pooling, Callable[[Tensor], Tensor]] = {"mean": _evenly, "quality": _by_agreement}
assert tuple(WEIGHTS) == get_args(Pooling)
