"""The stored features of a few people in two dimensions, for the eye alone."""

import torch
import torch.nn.functional as F
from torch import Tensor

from auditor.metrics.similarity import Distance
from auditor.report import Place
from auditor.types import RunContext

ENTRIES = 8
"""Entries of one person that are drawn, the first in the gallery."""
FEWEST = 6
"""Entries below which there is nothing to see."""
ITERATIONS = 500
DIGITS = 2


def places(
    stored: Tensor, pids: Tensor, people: int, distance: Distance, ctx: RunContext
) -> tuple[Place, ...]:
    """Return where t-SNE (van der Maaten and Hinton, JMLR 2008) puts some entries of a gallery.

    The people depend on the seed and on who is in the gallery, not on the features, so that every
    scenario of an audit shows the same ones.

    Args:
        stored: ``(N, D)`` features as they are stored.
        pids: ``(N,)`` whose they are; distractors (0) are nobody.
        people: how many people are drawn, of those with two entries or more.
        distance: what the deployment ranks by; by cosine, lengths do not count.
        ctx: hands in the choice of people and the seed.

    Returns:
        Empty where there are too few entries, or all are alike.
    """
    chosen = _choose(pids, people, ctx)
    rows = torch.cat([torch.nonzero(pids == pid)[:ENTRIES, 0] for pid in chosen] or [pids[:0]])
    features = stored[rows].float()
    if distance == "cosine":
        features = F.normalize(features, dim=1)
    if len(rows) < FEWEST or not float(features.std(dim=0).max()) > 1e-6:
        return ()
    people_of = {pid: place for place, pid in enumerate(chosen)}
    return tuple(
        Place(person=people_of[pid], x=round(x, DIGITS), y=round(y, DIGITS))
        for pid, (x, y) in zip(pids[rows].tolist(), _project(features, ctx), strict=True)
    )


def _choose(pids: Tensor, people: int, ctx: RunContext) -> list[int]:
    """Identities with two entries or more, drawn without regard to anything else."""
    known, counts = pids[pids > 0].unique(return_counts=True)
    known = known[counts > 1]
    order = torch.randperm(len(known), generator=ctx.generator("places"))
    return sorted(map(int, known[order[:people]]))


def _project(features: Tensor, ctx: RunContext) -> list[list[float]]:
    # imported here: the import takes a second, and most commands draw nothing
    from sklearn.manifold import TSNE

    # the exact method has no parallel sums, whose order would change the last digits
    tsne = TSNE(
        init="pca",
        method="exact",
        perplexity=min(20.0, (len(features) - 1) / 3),
        max_iter=ITERATIONS,
        random_state=ctx.seed,
    )
    return [[float(x) for x in row] for row in tsne.fit_transform(features.numpy())]
