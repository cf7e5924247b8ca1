"""The candidates' pictures as an adversary may have them, where the deployment protects pictures.

A model trained on clean pictures remembers these, and one that was trained on protected ones those:
so membership is asked about both, and whichever is worse for privacy counts. In either view members
and others went through the same.
"""

from collections.abc import Callable
from dataclasses import replace
from functools import reduce

import torch

from attacks.protocol.asking import worse_result
from attacks.protocol.publication import by_single_pictures, publish_pictures
from auditor.data.joining import join_splits
from auditor.feature_cache import FeatureCache
from auditor.types import AttackResult, ReIDDataset, RunContext, Target


def attack_every_view(
    target: Target, ctx: RunContext, attack: Callable[[Target, RunContext], AttackResult]
) -> AttackResult:
    """Return what ``attack`` finds with clean pictures or with protected ones, figure by figure.

    A network is trained on pictures, so single ones are asked about where entries are tracklets.
    """
    target = by_single_pictures(target, ctx)
    if target.publish is None:
        return attack(target, ctx)
    data = replace(target.data, gallery=target.originals_of_gallery)
    views = {"clean": data, "protected": _publish(target, data, ctx)}
    once = replace(ctx, cache=FeatureCache())  # nobody asks for protected candidates again
    worlds = {"clean": ctx, "protected": once}
    results = {
        kind: attack(replace(target, data=view), worlds[kind]) for kind, view in views.items()
    }
    return worse_result(results, "candidates were asked about by clean and by protected pictures")


def _publish(target: Target, data: ReIDDataset, ctx: RunContext) -> ReIDDataset:
    """Return ``data`` as published under one key of the adversary's own."""
    splits = [data.train, data.query, data.gallery, data.auxiliary]
    everybody = publish_pictures(target, reduce(join_splits, splits), ctx, "attacks.membership")
    rows = torch.arange(len(everybody)).split([len(split) for split in splits])
    train, query, gallery, auxiliary = (
        replace(everybody.take(own), attributes=split.attributes)
        for split, own in zip(splits, rows, strict=True)
    )
    return replace(data, train=train, query=query, gallery=gallery, auxiliary=auxiliary)
