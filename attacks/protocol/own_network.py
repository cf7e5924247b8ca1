"""A re-identification network of the adversary's own, which is not the audited one."""

from functools import cache

import torch

from auditor.embedding import features_of
from auditor.errors import UnsupportedTargetError
from auditor.models.extractor import CardedExtractor
from auditor.models.reference import CARD, load_reference
from auditor.types import FeatureExtractor, RunContext, Target


@cache
def shipped_network(device: torch.device) -> FeatureExtractor:
    """Return the network that ships with the auditor, trained on synthetic people alone.

    It is one and the same for everybody, so that its features are computed once per run.
    """
    return CardedExtractor(load_reference().to(device), CARD, device)


def own_network(label: str, target: Target, ctx: RunContext) -> tuple[FeatureExtractor, str]:
    """Return the adversary's own network and what it is called.

    That is the judge ``label``; the shipped network where none is named, or where that judge embeds
    as the attacked model does: then having it would be having the model. A judge stands for the
    model in controls, too.

    Raises:
        UnsupportedTargetError: if no judge is called so, or the shipped one is attacked.
    """
    if label and label not in ctx.judges:
        known = ", ".join(sorted(ctx.judges)) or "none"
        raise UnsupportedTargetError(
            f"own_model {label!r} is not a judge of this audit (known: {known}); add it under "
            "judges"
        )
    if label and not is_attacked(ctx.judges[label], target, ctx):
        return ctx.judges[label], label
    network = shipped_network(ctx.device)
    if is_attacked(network, target, ctx):
        raise UnsupportedTargetError(
            "the audited model is the shipped network, which would be the adversary's own; name "
            "another judge in own_model"
        )
    return network, "the shipped network"


def is_attacked(network: FeatureExtractor, target: Target, ctx: RunContext) -> bool:
    """Return whether a network's features are the attacked model's, up to their lengths."""
    if network.feature_dim != target.extractor.feature_dim:
        return False
    split = target.data.query
    ours, theirs = (features_of(one, split, ctx) for one in (network, target.extractor))
    alike = torch.nn.functional.cosine_similarity(ours, theirs, dim=1)
    return bool((alike > 0.999).all())
