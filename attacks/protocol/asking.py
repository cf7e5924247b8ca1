"""Asking the extractor about pictures that an adversary made: as they are, and protected first.

A composite, a sample or a lookalike is compared with stored entries of *protected* pictures. What
it would look like in the gallery can be tried, for the mechanism is known; where its key matters
more than that helps, the bare picture serves better. So an attack that makes pictures runs both
ways, and whatever is worse for privacy counts.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial

import torch
from torch import Tensor

from attacks.protocol.matching import worse_of_each
from attacks.protocol.publication import own_pictures, publish_own
from auditor.data.features.rows import StoredFeatures
from auditor.data.images import as_bytes
from auditor.embedding import embed_pictures, features_of
from auditor.errors import UnsupportedTargetError
from auditor.report import Measurement
from auditor.types import AttackResult, MemoryImages, RunContext, Split, Target


@dataclass(frozen=True, eq=False)
class Asking:
    """One way of asking about pictures.

    Attributes:
        kind: ``clean`` or ``protected``.
        own: ``(N, D)`` features of the auxiliary pictures, asked about this way.
        embed: pictures ``(B, 3, H, W)`` of any size to their features ``(B, D)``.
    """

    kind: str
    own: Tensor
    embed: Callable[[Tensor], Tensor]


def ways_of_asking(target: Target, ctx: RunContext) -> list[Asking]:
    """As they are, and where pictures are protected, under a key of the adversary's own as well.

    Raises:
        UnsupportedTargetError: if features came without the model that would be asked.
    """
    if isinstance(target.extractor, StoredFeatures):
        raise UnsupportedTargetError(
            "this asks the model about pictures that it makes, and the features came without it"
        )

    def clean(pictures: Tensor) -> Tensor:
        return embed_pictures(target.extractor, pictures, ctx)

    ways = [Asking("clean", features_of(target.extractor, target.data.auxiliary, ctx), clean)]
    if target.publish is not None:
        own = own_pictures(target, ctx).features
        ways.append(Asking("protected", own, partial(embed_protected, target, ctx=ctx)))
    return ways


def embed_protected(target: Target, pictures: Tensor, ctx: RunContext) -> Tensor:
    """Return features ``(B, D)`` of pictures ``(B, 3, H, W)``, published as a person each."""
    pixels = as_bytes(pictures.cpu())
    nobody = torch.full((len(pixels),), -1)
    split = Split(MemoryImages(pixels), torch.arange(1, len(pixels) + 1), nobody)
    _, features = publish_own(target, split, ctx, "attacks.asking")
    return features


def ask_every_way(
    target: Target, ctx: RunContext, attack: Callable[[Asking, RunContext], AttackResult]
) -> AttackResult:
    """Run ``attack`` by every way of asking; keep, per figure, the one that is worse for privacy.

    Exhibits, notes and curves are those of the way whose headline is worse.
    """
    ways = ways_of_asking(target, ctx)
    if len(ways) == 1:  # whose files need no folder of their own
        return attack(ways[0], ctx)
    results = {}
    for way in ways:
        folder = ctx.workdir / way.kind
        folder.mkdir(parents=True, exist_ok=True)
        results[way.kind] = attack(way, replace(ctx, workdir=folder))
    return worse_result(results, "pictures were made by asking about them clean and protected")


def worse_result(results: Mapping[str, AttackResult], how: str) -> AttackResult:
    """Return every figure where it is worse.

    The rest as where the headline is, which a note says. A single result is returned as it is.
    """
    if len(results) == 1:
        return next(iter(results.values()))
    figures: dict[str, tuple[Measurement, ...]] = {
        kind: result.measurements for kind, result in results.items()
    }
    kind = max(results, key=lambda one: figures[one][0].value)
    note = f"{how}; exhibits and curves are of {kind}"
    picked = results[kind]
    return replace(picked, measurements=worse_of_each(figures), notes=(*picked.notes, note))
