"""What the identity attacks share: whose names are known, and how the others are scored."""

from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor

from attacks.learners.people import group_rows
from attacks.protocol.sampling import sample_entries
from auditor.errors import UnsupportedTargetError
from auditor.metrics import measure
from auditor.row_blocks import fit_block
from auditor.types import MISSING, AttackResult, RunContext, Split

Sides = Literal["image", "camera"]
"""Half of a person's images is known, or all images by half of the cameras."""
BLOCK = 4096
"""Entries scored against everybody at a time, at most."""
MIN_IMAGES = 2
"""A person needs one image to learn from and one to be named on."""


def split_gallery(
    gallery: Split, by: Sides, train_share: float, ctx: RunContext
) -> tuple[Tensor, Tensor]:
    """Return the indices to learn from and indices to name, the same for every rung.

    Everybody's names are known in part; in a large gallery some people's other entries are named.

    Raises:
        UnsupportedTargetError: if fewer than two people are on both sides.
    """
    if by == "camera":
        known, asked = split_by_camera(gallery.pids, gallery.camids, train_share)
    else:
        generator = ctx.generator("attacks.identity")
        known, asked = split_by_image(gallery.pids, train_share, generator)
    return known, asked[sample_entries(gallery.pids[asked], ctx)]


def split_by_image(
    pids: Tensor, train_share: float, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Return the indices to learn from and indices to name, both sides with every person.

    People with one image, and distractors (pid 0), are left out.

    Raises:
        UnsupportedTargetError: if fewer than two people have two images.
    """
    known, asked = [], []
    for pid, rows in group_rows(pids):
        if pid <= 0 or len(rows) < MIN_IMAGES:
            continue
        rows = rows[torch.randperm(len(rows), generator=generator)]
        cut = min(max(1, round(train_share * len(rows))), len(rows) - 1)
        known.append(rows[:cut])
        asked.append(rows[cut:])
    if len(known) < 2:
        raise UnsupportedTargetError(
            f"people with two gallery images: {len(known)}; a closed-set classifier needs two "
            "people"
        )
    return torch.cat(known), torch.cat(asked)


def split_by_camera(pids: Tensor, camids: Tensor, train_share: float) -> tuple[Tensor, Tensor]:
    """Return the indices by the lower cameras, to learn from, and by the others, to name.

    Only people seen on both sides; distractors and images without a camera are left out.

    Raises:
        UnsupportedTargetError: if there is one camera, or fewer than two people cross over.
    """
    usable = (pids > 0) & (camids != MISSING)
    cameras = camids[usable].unique()
    if len(cameras) < 2:
        raise UnsupportedTargetError(
            f"the gallery was taken by {len(cameras)} known camera(s); naming people across "
            "cameras needs two, so add a camid column or use split: image"
        )
    cut = min(max(1, round(train_share * len(cameras))), len(cameras) - 1)
    lower = torch.isin(camids, cameras[:cut])
    people = [pids[usable & side].unique() for side in (lower, ~lower)]
    both = people[0][torch.isin(people[0], people[1])]
    if len(both) < 2:
        raise UnsupportedTargetError(
            f"people seen by both halves of the cameras: {len(both)}; a closed-set classifier "
            "needs two, so use split: image"
        )
    usable &= torch.isin(pids, both)
    return (usable & lower).nonzero().flatten(), (usable & ~lower).nonzero().flatten()


def learn_some(known: Tensor, asked: Tensor, pids: Tensor) -> tuple[Tensor, tuple[str, ...]]:
    """Return of the ``known`` entries those of people who are asked about, and what to note.

    For what trains on each entry against each name: that takes time that grows with their product.
    """
    some = known[torch.isin(pids[known], pids[asked])]
    if len(some) == len(known):
        return known, ()
    people, everybody = (len(pids[rows].unique()) for rows in (some, known))
    note = (
        f"names of {people} people, drawn at random, were learned, not those of all {everybody}: "
        "fewer are easier to tell apart, so the figure overestimates what is learned of the whole"
    )
    return some, (note,)


def put_aside(labels: Tensor) -> Tensor:
    """Which of known entries of ``labels (N,)`` stay known, the larger half of each person's."""
    kept = torch.zeros(len(labels), dtype=torch.bool)
    for _, rows in group_rows(labels):
        kept[rows[: (len(rows) + 1) // 2]] = True
    return kept


def score_names(logits: Tensor, people: Tensor, pids: Tensor, by: Sides = "image") -> AttackResult:
    """Top-1 and top-5 of logits ``(M, P)`` over ``people (P,)`` for entries of ``pids (M,)``."""
    return score_naming(lambda rows: rows, logits, people, pids, by)


def score_naming(
    score: Callable[[Tensor], Tensor],
    entries: Tensor,
    people: Tensor,
    pids: Tensor,
    by: Sides = "image",
) -> AttackResult:
    """Top-1 and top-5 of ``score``, entries ``(B, …)`` to logits ``(B, P)``, a block at a time."""
    best = min(5, len(people))
    blocks = entries.split(fit_block(len(people), BLOCK))
    ranked = torch.cat([score(block).topk(best, dim=1).indices for block in blocks])
    hits = people[ranked] == pids[:, None]
    classes = len(people)
    top1 = measure.rate("top1", hits[:, 0], pids, chance=1 / classes)
    top5 = measure.rate("top5", hits.any(1), pids, chance=min(1.0, 5 / classes))
    others = "their entries by other cameras" if by == "camera" else "their other entries"
    note = (
        f"closed set: {classes} people, {len(pids)} entries to name; "
        f"the same people were learned from {others}"
    )
    named = len(pids.unique())
    if named < classes:
        note += (
            f"; so that time does not grow with the square of the gallery, entries of {named} "
            "people, drawn at random, are named, among all"
        )
    return AttackResult((top1, top5), notes=(note,))
