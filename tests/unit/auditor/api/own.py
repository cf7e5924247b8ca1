"""A network and an attack as a researcher brings them: one class each, in no package."""

from dataclasses import dataclass

import torch
from torch import nn
from torch.nn.functional import normalize

from auditor import AttackResult, RunContext, Target
from auditor.embedding import features_of, stored_gallery
from auditor.errors import UnsupportedTargetError
from auditor.metrics import measure


class Net(nn.Module):
    """Keeps where which colours are, so that it tells some people apart."""

    def __init__(self, features: int = 32) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        weight = torch.randn(features, 3 * 8 * 4, generator=generator)
        self.pool = nn.AdaptiveAvgPool2d((8, 4))
        self.out = nn.Linear(3 * 8 * 4, features, bias=False)
        self.out.weight.data = weight / weight.norm(dim=1, keepdim=True)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.out(self.pool(images).flatten(1))


CARD = {"height": 64, "width": 32}


@dataclass(frozen=True, kw_only=True)
class NearestPicture:
    """Names each stored entry by the nearest of some named pictures.

    Threat model: has the stored gallery, a named picture of everybody in it, and the model.

    Attributes:
        cosine: whether features are compared by angle.
    """

    cosine: bool = True

    def run(self, target: Target, ctx: RunContext) -> AttackResult:
        stored = stored_gallery(target, ctx)
        named = features_of(target.extractor, target.data.query, ctx)
        if self.cosine:
            stored, named = normalize(stored), normalize(named)
        nearest = torch.cdist(stored, named).argmin(1)
        pids = target.data.gallery.pids
        hits = target.data.query.pids[nearest] == pids
        chance = 1 / len(pids.unique())
        return AttackResult((measure.rate("top1", hits, pids, chance=chance),))


@dataclass(frozen=True, kw_only=True)
class Uncontrolled(NearestPicture):
    """The same, but it runs against one kind of network alone, so that no control suits it."""

    def run(self, target: Target, ctx: RunContext) -> AttackResult:
        if not isinstance(getattr(target.extractor, "network", None), Net):
            raise UnsupportedTargetError("it attacks the network Net alone")
        return super().run(target, ctx)
