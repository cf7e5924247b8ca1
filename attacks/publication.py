"""Pictures as a protection publishes them, under a key of one's own choice."""

from dataclasses import replace

import torch
from torch import Tensor

from auditor.embedding import features_of
from auditor.errors import DataError, ModelError
from auditor.types import Memo, RunContext, Split, Target


def published(target: Target, split: Split, ctx: RunContext, name: str) -> tuple[Split, Tensor]:
    """``split`` as it is published under the key ``name``, and its features before their release.

    Without a protection of pictures that is the split itself.

    Raises:
        DataError: if the protection does not give one picture for each.
    """
    if target.publish is None:
        return split, features_of(target.extractor, split, ctx)
    protected = target.publish(split, ctx.generator(name))
    if len(protected) != len(split):
        raise DataError(
            f"the protection made {len(protected)} pictures of {len(split)}; it must keep the rows"
        )
    # nobody asks for this publication again, so it need not be remembered
    return protected, features_of(target.extractor, protected, replace(ctx, memo=Memo()))


def released(target: Target, features: Tensor, generator: torch.Generator) -> Tensor:
    """A fresh release of own ``features (N, D)``.

    Raises:
        ModelError: if it holds NaN or infinity.
    """
    stored = target.release(features, generator)
    if not torch.isfinite(stored).all():
        raise ModelError("the release gave NaN or infinity; check the defense's parameters")
    return stored
