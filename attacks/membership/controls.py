"""Two worlds on which a membership attack must prove itself before its figures count.

Every picture of both carries a band that spells who it shows, so the pictures of members and of
non-members are alike and a blind extractor finds nothing. In the planted world the extractor has
the bands of the people it was "trained" on: whoever is among them has one fixed feature, everybody
else a common direction and noise of the picture. The null extractor ignores the picture.
"""

from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from attacks.membership.candidates import MIN_PEOPLE, members_of
from auditor.certification.controls import BAND, CELLS, NullExtractor, StampedImages
from auditor.errors import UnsupportedTargetError
from auditor.types import ReIDDataset, RunContext, Split, Target

COLUMNS = CELLS[1] // 2
"""Cells are stamped in blocks of two rows and two columns, which survive a crop and a blur."""
BITS = 3 * COLUMNS
TOLERATED = 2
"""Misread bits up to which a band is recognised."""


class Memoriser(nn.Module):
    """Features ``(B, 64)`` that are fixed for the people it knows, and noise for others.

    Args:
        known: ``(M, BITS)`` the codes of those people.
    """

    feature_dim = 64
    input_size = (64, 32)
    differentiable = False
    known: Tensor
    prototypes: Tensor
    noise: Tensor

    def __init__(self, known: Tensor) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        mirrored = known.view(-1, 3, COLUMNS).flip(2).flatten(1)
        prototypes = F.normalize(torch.randn(len(known), 64, generator=generator))
        self.register_buffer("known", torch.cat([known, mirrored]))
        self.register_buffer("prototypes", torch.cat([prototypes, prototypes]))
        self.register_buffer("noise", torch.randn(3 * 64 * 32, 63, generator=generator))

    def forward(self, images: Tensor) -> Tensor:
        """Map images ``(B, 3, 64, 32)`` in [0, 1] to features."""
        top = images[:, :, : images.shape[2] // (2 * BAND)]
        # light changes all bits alike, so they are read against the band's own middle
        cells = F.adaptive_avg_pool2d(top, (1, COLUMNS)).flatten(1)
        bits = (cells > cells.mean(1, keepdim=True)).float()
        misread = (bits[:, None] != self.known).sum(2).min(1)
        unknown = torch.sin(10 * images.flatten(1) @ self.noise) / 63**0.5
        unknown = torch.cat([torch.ones_like(unknown[:, :1]), unknown], dim=1)
        memory = self.prototypes[misread.indices]
        return torch.where((misread.values <= TOLERATED)[:, None], memory, unknown)


def make_planted_memory(target: Target, ctx: RunContext) -> Target:
    """Return an extractor that recognises its training people, over stamped pictures."""
    data = _stamp_all(_with_members(target.data, ctx))
    known = _codes(members_of(data))
    return Target(Memoriser(known).to(ctx.device), data)


def make_null_memory(target: Target, ctx: RunContext) -> Target:
    """Return the null extractor over stamped pictures of members and others."""
    return Target(NullExtractor(), _stamp_all(_with_members(target.data, ctx)))


def _with_members(data: ReIDDataset, ctx: RunContext) -> ReIDDataset:
    """Return ``data``, with half of the auxiliary people moved to train if nobody is a member yet.

    Raises:
        UnsupportedTargetError: if there are too few to divide.
    """
    if len(members_of(data)) >= MIN_PEOPLE:
        return data
    pids = data.auxiliary.pids
    people = pids.unique()
    count = len(people) // 2
    if count < MIN_PEOPLE:
        raise UnsupportedTargetError(
            f"too few auxiliary people ({len(people)}) to make members of half of them; "
            f"{2 * MIN_PEOPLE} are needed"
        )
    order = torch.randperm(len(people), generator=ctx.generator("attacks.membership.controls"))
    inside = torch.isin(pids, people[order[:count]])
    train, auxiliary = (data.auxiliary.take(rows.nonzero().flatten()) for rows in (inside, ~inside))
    return replace(data, train=train, auxiliary=auxiliary)


def _stamp_all(data: ReIDDataset) -> ReIDDataset:
    return replace(
        data,
        train=_stamp(data.train),
        query=_stamp(data.query),
        gallery=_stamp(data.gallery),
        auxiliary=_stamp(data.auxiliary),
    )


def _stamp(split: Split) -> Split:
    blocks = _codes(split.pids).view(-1, 3, 1, COLUMNS)
    cells = blocks.repeat_interleave(2, dim=3).expand(-1, -1, CELLS[0], -1)
    return replace(split, images=StampedImages(split.images, cells.flatten(1)))


def _codes(pids: Tensor) -> Tensor:
    """Random bits ``(N, BITS)``, half of them set, that depend on the person alone."""
    people, person = pids.unique(return_inverse=True)
    half = torch.arange(BITS) % 2
    rows = [
        half[torch.randperm(BITS, generator=torch.Generator().manual_seed(int(pid) + 1))]
        for pid in people
    ]
    return torch.stack(rows)[person].float()
