"""Putting protected pictures in the place of the clean ones, as all protections of pictures do.

Gallery and query go through the mechanism together, under one key, so that whoever is in both is
still one person. Scores are judged against the clean gallery, and the clean query stays what an
adversary has.
"""

from dataclasses import dataclass, replace

import torch
from torch import Generator

from auditor.data.joining import join_splits
from auditor.data.tracklets import ByPicture, look_behind
from auditor.types import Protection, Publish, RunContext, Split, Target

SEARCHED = "utility is searched with queries protected under the gallery's own key"
KEYED = (
    "there is a key per person: whoever protects a query with it knows whom the query shows, so "
    "part of the utility is the key's doing and not the extractor's"
)
"""The bias of mechanisms that do the same to all pictures of a person."""


def protect(
    target: Target,
    publish: Publish,
    ctx: RunContext,
    name: str,
    *,
    notes: tuple[str, ...] = (),
    bias: str = "",
) -> Target:
    """Return ``target`` with the pictures of its gallery, and of what it searches with, published.

    Args:
        target: may already be protected by another mechanism, which then goes first.
        publish: the mechanism; it is given every picture behind an entry.
        ctx: for the key.
        name: of the key.
        notes: what a reader must know about the mechanism.
        bias: why searching with queries under the gallery's key reads better than it should.
    """
    gallery, query = target.data.gallery, target.deployed_query
    publish = publish if look_behind(gallery.images) is None else ByPicture(publish)
    both = publish(join_splits(gallery, query), ctx.generator(name))
    rows = torch.arange(len(both))
    return replace(
        target,
        data=replace(target.data, gallery=both.take(rows[: len(gallery)])),
        protection=Protection(
            originals=target.originals_of_gallery,
            publish=publish if target.publish is None else Chain(target.publish, publish),
            query=both.take(rows[len(gallery) :]),
        ),
        notes=tuple(dict.fromkeys((*target.notes, SEARCHED, *notes))),
        utility_bias=target.utility_bias or bias,
    )


@dataclass(frozen=True)
class Chain:
    """One mechanism after another, each under a key of its own."""

    first: Publish
    second: Publish

    def __call__(self, split: Split, generator: Generator) -> Split:
        """See `auditor.types.Publish`."""
        return self.second(self.first(split, generator), generator)
