"""What training leaves behind in features: people drawn together, apart from others, and stable.

All take pictures' features ``(N, D)`` and give one number per picture; a person's is their mean.
"""

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor
from torchvision.transforms.v2 import functional as transforms

from attacks.learners.people import sum_groups
from attacks.membership.candidates import Candidates
from auditor.embedding import BATCH, embed
from auditor.types import FeatureExtractor, RunContext

BLOCK = 1024

Change = Callable[[Tensor], Tensor]


def compactness(features: Tensor, person: Tensor) -> Tensor:
    """Return the mean cosine ``(N,)`` of each picture to the other pictures of its person ``(N,)``.

    Unlike the distance to a centre or to the k-th nearest picture, its expectation does not depend
    on how many pictures a person has; everybody has two or more.
    """
    unit = F.normalize(features.double(), dim=1)
    counts = person.bincount()[person]
    sums = sum_groups(unit, person, int(person.max()) + 1)
    with_itself = (unit * sums[person]).sum(1)
    mean: Tensor = (with_itself - unit.square().sum(1)) / (counts - 1)
    return mean


def nearness(
    features: Tensor, pids: Tensor, anchors: Tensor, anchor_pids: Tensor, neighbours: int
) -> Tensor:
    """Mean cosine ``(N,)`` of each picture to its nearest anchors ``(A, D)`` of other people."""
    unit, others = F.normalize(features, dim=1), F.normalize(anchors, dim=1)
    rows = []
    for block, own in zip(unit.split(BLOCK), pids.split(BLOCK), strict=True):
        cosines = (block @ others.T).masked_fill(own[:, None] == anchor_pids, -1)
        rows.append(cosines.topk(min(neighbours, len(others)), dim=1).values.mean(1))
    return torch.cat(rows).double()


def consistency(extractor: FeatureExtractor, pictures: Candidates, ctx: RunContext) -> Tensor:
    """Return the mean cosine ``(N,)`` between a picture's feature and those of its `CHANGES`."""
    found = torch.empty(len(pictures), dtype=torch.float64)
    for start in range(0, len(pictures), BATCH):
        rows = range(start, min(start + BATCH, len(pictures)))
        images = pictures.load(rows, extractor.input_size).to(ctx.device)
        clean = embed(extractor, images)
        cosines = [
            F.cosine_similarity(clean, embed(extractor, change(images)))
            for change in CHANGES.values()
        ]
        found[start : rows.stop] = torch.stack(cosines).mean(0).cpu()
        ctx.progress(rows.stop / len(pictures), "changed pictures")
    return found


def per_person(values: Tensor, person: Tensor) -> Tensor:
    """Means ``(P,)`` of picture values ``(N,)``."""
    return sum_groups(values, person, int(person.max()) + 1) / person.bincount()


def _crop(images: Tensor) -> Tensor:
    """Return the middle, nine tenths of each side."""
    height, width = images.shape[-2:]
    top, left = height // 20, width // 20
    box = top, left, height - 2 * top, width - 2 * left
    middle: Tensor = transforms.resized_crop(images, *box, size=[height, width], antialias=True)
    return middle


def _blur(images: Tensor) -> Tensor:
    """Return a Gaussian of a hundredth of the height."""
    sigma = images.shape[-2] / 100
    blurred: Tensor = transforms.gaussian_blur(images, 2 * math.ceil(2 * sigma) + 1, sigma)
    return blurred


CHANGES: dict[str, Change] = {
    "flip": transforms.horizontal_flip,
    "crop": _crop,
    "brighter": lambda images: (1.25 * images).clamp(0, 1),
    "darker": lambda images: 0.8 * images,
    "blur": _blur,
}
"""What is done to a picture ``(B, 3, H, W)`` without changing who it shows."""
