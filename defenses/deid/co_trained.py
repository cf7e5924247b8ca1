"""What the discarded Adv-ID head made of its own people, beside one who starts afresh on them."""

from dataclasses import replace

import torch
from torch import Tensor, nn

from attacks.identity import IdentityClassifier
from attacks.protocol.closed_set import score_names, split_gallery
from auditor.embedding import features_of
from auditor.errors import UnsupportedTargetError
from auditor.models.extractor import CardedExtractor
from auditor.report import AFRESH, Finding, Measurement
from auditor.training.sampler import pictures
from auditor.types import RunContext, Split, Target
from defenses.retrain import Seen


def co_trained(
    head: nn.Module, extractor: CardedExtractor, target: Target, ctx: RunContext
) -> tuple[Finding, ...]:
    """How often the head, and a fresh classifier, name the people that the head was trained on.

    Both are asked about the same half of every person's pictures. The head has seen all of them;
    the fresh one learns the other half only, so that the comparison leans towards the head.

    Returns:
        One finding with ``top1`` of the head and ``top1_fresh``, or none where fewer than two
        people have two pictures.
    """
    people = pictures(target.data.train, extractor.input_size).split
    seen = Seen(extractor).eval()
    try:
        own = _named(head, seen, people, ctx)
    except UnsupportedTargetError:
        return ()
    nobody = people.take(torch.zeros(0, dtype=torch.int64))
    data = replace(target.data, gallery=people, query=nobody, auxiliary=nobody)
    fresh = IdentityClassifier().run(Target(seen, data), ctx).measurements[0]
    return (
        Finding(
            attack="co-trained Adv-ID head",
            plugin="deid",
            family="identity",
            summary="The classifier that the extractor was trained against, as training left it.",
            status="done",
            measurements=(own, replace(fresh, metric=f"{own.metric}{AFRESH}")),
            notes=(
                "an extractor that wins against this one head need not win against a fresh one; "
                "judge by the fresh attackers",
                "both name people of the training, by features before any release",
            ),
        ),
    )


def _named(head: nn.Module, seen: Seen, people: Split, ctx: RunContext) -> Measurement:
    """Top-1 of the head on the pictures that a fresh classifier would be asked about."""
    _, asked = split_gallery(people, "image", 0.5, ctx)
    features = features_of(seen, people, ctx)[asked]
    with torch.no_grad():
        logits: Tensor = head.cpu().eval()(features.cpu())
    return score_names(logits, people.pids.unique(), people.pids[asked]).measurements[0]
