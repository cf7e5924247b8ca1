"""What are they like? Attributes of stored entries, read by what own pictures taught elsewhere."""

from dataclasses import replace

from torch import Tensor

from attacks.attribute.labels import attackable, recode
from attacks.attribute.learning import FOLDS, Known, calibrate_learner
from attacks.attribute.logistic import AttributeLogistic
from attacks.attribute.pooling import folds, pool_neighbours
from attacks.attribute.scoring import score_attributes
from auditor.errors import UnsupportedTargetError
from auditor.report import Measurement
from auditor.types import ReIDDataset, RunContext

NEIGHBOURS = 8
"""Of an entry or an own picture, which are mostly of the same person: they are read together."""


def read_aligned(
    name: str, own: Tensor, entries: Tensor, data: ReIDDataset, min_people: int, ctx: RunContext
) -> list[Measurement]:
    """Return the balanced accuracy of attributes, the mean of all; none where none is annotated.

    Args:
        name: of the figure.
        own: ``(N, E)`` unit rows of ``data.auxiliary`` in the space of the entries.
        entries: ``(G, E)`` of ``data.gallery``.
        data: whose attributes.
        min_people: a value carried by fewer people on either side is not measured.
        ctx: the run.
    """
    auxiliary, gallery = data.auxiliary, data.gallery
    try:
        codes = attackable(auxiliary, gallery, min_people)
    except UnsupportedTargetError:
        return []
    rows = pool_neighbours(own, NEIGHBOURS)
    sizes = tuple(map(len, codes.values()))
    known = Known(rows, recode(auxiliary, codes), auxiliary.pids, sizes)
    held_out = folds(known.pids, FOLDS, ctx.generator("attacks.alignment.folds"))
    scores = calibrate_learner(
        AttributeLogistic().learn, known, held_out, pool_neighbours(entries, NEIGHBOURS)
    )
    found = score_attributes(scores, gallery, codes, set(codes)).measurements[0]
    return [replace(found, metric=name)]
