"""A protection of pictures for controls and tests: whoever is in one is blended with somebody else.

It stands for published identity shifts, which do the same in the latent space of an autoencoder. It
is no defense: it is here to be undone.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from auditor.types import Images, Split


@dataclass(frozen=True, kw_only=True)
class Mixing:
    """Blends all pictures of a person with one picture of another, the same one for all of them.

    Attributes:
        own: share of the person's own picture.
    """

    own: float = 0.7

    def __call__(self, split: Split, generator: torch.Generator) -> Split:
        """See `auditor.types.Publish`; the generator draws everybody's partner, which is the key.

        Distractors stay as they are, and so does someone who is alone.
        """
        rows, partners = partner_rows(split.pids, generator)
        return replace(
            split, images=MixedImages(split.images, rows.tolist(), self.own), partners=partners
        )


def partner_rows(pids: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Row of the picture that is mixed into each of ``pids (N,)``, and whose it is; −1 for none.

    Every person is one other person's partner: the people stand in a circle, in random order.
    """
    people = pids[pids > 0].unique()
    rows, partners = torch.full_like(pids, -1), torch.full_like(pids, -1)
    if len(people) < 2:
        return rows, partners
    circle = people[torch.randperm(len(people), generator=generator)]
    for pid, partner in zip(circle.tolist(), circle.roll(1).tolist(), strict=True):
        shown = (pids == partner).nonzero().flatten()
        rows[pids == pid] = shown[torch.randint(len(shown), (), generator=generator)]
        partners[pids == pid] = partner
    return rows, partners


@dataclass(frozen=True)
class MixedImages:
    """Another source's pictures, each blended with one more of them.

    Attributes:
        source: the pictures.
        rows: which picture is mixed into each; −1 for none.
        own: share of the picture itself.
    """

    source: Images
    rows: Sequence[int]
    own: float

    def __len__(self) -> int:
        return len(self.source)

    def load(self, indices: Sequence[int], size: tuple[int, int]) -> Tensor:
        """See `auditor.types.Images.load`."""
        mixed = [index if self.rows[index] < 0 else self.rows[index] for index in indices]
        own, other = self.source.load(indices, size), self.source.load(mixed, size)
        return self.own * own + (1 - self.own) * other
