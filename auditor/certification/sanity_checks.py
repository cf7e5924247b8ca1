"""Sanity questions put to a model before any attack: a wrongly fed model looks private.

Asked on a few hundred attacked images: are features finite, the same twice, the same in any batch,
and different for different pictures; and would another common normalisation find more people?
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

import torch
import torch.nn.functional as F
from scipy import stats
from torch import Tensor

from auditor.data.features import Store
from auditor.embedding import embed_rows, features_of
from auditor.errors import ModelError
from auditor.metrics.retrieval import evaluate
from auditor.metrics.similarity import Truth
from auditor.models import LoadedModel
from auditor.models.card import Card, alternatives
from auditor.report import ProbeCheck
from auditor.types import FeatureExtractor, ReIDDataset, RunContext, Split

PEOPLE = 96
GALLERY_IMAGES = 2
"""Per person, beside one query."""

TOO_FEW = 20
"""People below which two rank-1 figures are not compared."""

ROWS = 512
"""Stored features looked at where there is no model to ask."""
BATCH = 32
REPEATED = 64
"""Images embedded twice; eight of them also one by one."""

SAME = 1e-5
DIFFERENT = 1e-3
"""Relative error of a feature up to which two runs count as the same, and above which they fail."""
ROUNDINGS = 8
"""Where a network computes in less than single precision, so many units of its rounding are no
failure: batches of another size are summed in another order."""
TF32 = 2.0**-10
"""The rounding of convolutions on a recent GPU, whatever type their numbers have."""

COLLAPSED = 0.99


@dataclass(frozen=True, eq=False)
class Sample:
    """One query and some gallery images of each of P people, loaded once.

    Attributes:
        images: ``(N, 3, H, W)``, the P queries first.
        people: P.
        pids: ``(N,)``.
        camids: ``(N,)``.
        cross_camera: whether matches from the query's camera are ignored.
    """

    images: Tensor
    people: int
    pids: Tensor
    camids: Tensor
    cross_camera: bool


def probe(model: LoadedModel | Store, data: ReIDDataset, ctx: RunContext) -> tuple[ProbeCheck, ...]:
    """Ask all questions; a model without finite features is asked no further.

    Features that came without their model can only be looked at.

    Raises:
        ModelError: if an alternative card does not fit the model at all.
    """
    if isinstance(model, Store):
        rows = torch.randperm(len(data.gallery), generator=ctx.generator("probe"))[:ROWS]
        return _look_at(features_of(model.extractor, data.gallery.take(rows), ctx))
    sample = take_sample(data, model.extractor.input_size, ctx)
    with ctx.randomness("probe"):
        try:
            features = _features(model.extractor, sample.images, ctx)
        except ModelError as error:
            return (ProbeCheck(name="finite", outcome="fail", detail=str(error)),)
        finite = f"the features of {len(features)} images are finite"
        return (
            ProbeCheck(name="finite", outcome="pass", detail=finite),
            _deterministic(model.extractor, sample.images[:REPEATED], ctx),
            _batch_invariant(model.extractor, sample.images[:8], ctx),
            _check_collapse(features),
            _check_normalisation(model, sample, features, ctx),
        )


def _look_at(features: Tensor) -> tuple[ProbeCheck, ...]:
    """Return what stored features ``(N, D)`` alone can say.

    That they are finite was seen on opening.
    """
    median = _median_cosine(features)
    detail = f"the median cosine between two of {len(features)} stored features is {median:.4f}"
    if median > COLLAPSED:
        detail += (
            ", so they hardly tell anybody apart; are they the model's last features, and whole?"
        )
    outcome: Literal["pass", "fail"] = "pass" if median <= COLLAPSED else "fail"
    return (ProbeCheck(name="not-collapsed", outcome=outcome, detail=detail),)


def take_sample(data: ReIDDataset, size: tuple[int, int], ctx: RunContext) -> Sample:
    """Up to `PEOPLE` people with a findable match; any images at all if there is nobody."""
    generator = ctx.generator("probe")
    pairs = list(_matches(data, generator))
    query = torch.tensor([row for row, _ in pairs], dtype=torch.long)
    gallery = torch.tensor([row for _, rows in pairs for row in rows], dtype=torch.long)
    if not pairs:
        gallery = torch.arange(min(len(data.gallery), PEOPLE))
    parts = [_load(data.query, query, size), _load(data.gallery, gallery, size)]
    return Sample(
        torch.cat(parts),
        len(pairs),
        torch.cat([data.query.pids[query], data.gallery.pids[gallery]]),
        torch.cat([data.query.camids[query], data.gallery.camids[gallery]]),
        data.cross_camera,
    )


def _matches(data: ReIDDataset, generator: torch.Generator) -> Iterator[tuple[int, list[int]]]:
    """(query row, its gallery rows) of people in random order."""
    pids = data.query.pids.unique()
    pids = pids[(pids > 0) & torch.isin(pids, data.gallery.pids)]
    found = 0
    for pid in pids[torch.randperm(len(pids), generator=generator)]:
        rows = (data.query.pids == pid).nonzero().flatten()
        row = rows[torch.randint(len(rows), (), generator=generator)]
        hit = data.gallery.pids == pid
        camera = data.query.camids[row]
        if data.cross_camera and camera >= 0:
            hit = hit & (data.gallery.camids != camera)
        hits = hit.nonzero().flatten()
        if len(hits):
            order = torch.randperm(len(hits), generator=generator)[:GALLERY_IMAGES]
            yield int(row), hits[order].tolist()
            found += 1
        if found == PEOPLE:
            return


def _load(split: Split, rows: Tensor, size: tuple[int, int]) -> Tensor:
    return split.images.load(rows.tolist(), size) if len(rows) else torch.empty(0, 3, *size)


def _features(
    extractor: FeatureExtractor, images: Tensor, ctx: RunContext, batch: int = BATCH
) -> Tensor:
    return embed_rows(extractor, len(images), lambda rows: images[rows], ctx, size=batch)


def _relative_error(first: Tensor, second: Tensor) -> float:
    scale = first.norm(dim=1).clamp_min(1e-12)
    return float(((first - second).norm(dim=1) / scale).max())


def _deterministic(extractor: FeatureExtractor, images: Tensor, ctx: RunContext) -> ProbeCheck:
    error = _relative_error(_features(extractor, images, ctx), _features(extractor, images, ctx))
    if error <= SAME:
        detail = f"{len(images)} images gave the same features twice"
        return ProbeCheck(name="deterministic", outcome="pass", detail=detail)
    detail = f"the same images gave features that differ by {error:.2g} of their length"
    if error <= _tolerance(extractor, ctx):
        detail += "; small enough, but results will not repeat to the last digit"
        return ProbeCheck(name="deterministic", outcome="warn", detail=detail)
    detail += "; is dropout still active? Export the model in evaluation mode"
    return ProbeCheck(name="deterministic", outcome="fail", detail=detail)


def _batch_invariant(extractor: FeatureExtractor, images: Tensor, ctx: RunContext) -> ProbeCheck:
    alone = _features(extractor, images, ctx, batch=1)
    together = _features(extractor, images, ctx, batch=len(images))
    error = _relative_error(alone, together)
    if error <= _tolerance(extractor, ctx):
        detail = f"features alone and in a batch of {len(images)} agree to {error:.1g}"
        if error > DIFFERENT:
            detail += ", which is rounding: the network computes in reduced precision"
        return ProbeCheck(name="batch-invariant", outcome="pass", detail=detail)
    detail = (
        f"features alone and in a batch of {len(images)} differ by {error:.2g} of their length; "
        "is batch normalisation still learning? Export the model in evaluation mode"
    )
    return ProbeCheck(name="batch-invariant", outcome="fail", detail=detail)


def _tolerance(extractor: FeatureExtractor, ctx: RunContext) -> float:
    """Return the relative error that is no failure of a network which computes as this one does."""
    fast = getattr(extractor, "fast", False)
    kind = torch.bfloat16 if fast else getattr(extractor, "dtype", torch.float32)
    rounding = torch.finfo(kind).eps if kind.is_floating_point else 0.0
    if ctx.device.type == "cuda" and torch.backends.cudnn.allow_tf32:
        rounding = max(rounding, TF32)
    return max(DIFFERENT, ROUNDINGS * rounding)


def _check_collapse(features: Tensor) -> ProbeCheck:
    median = _median_cosine(features)
    detail = f"the median cosine between features of two images is {median:.4f}"
    if median <= COLLAPSED:
        return ProbeCheck(name="not-collapsed", outcome="pass", detail=detail)
    detail += (
        ", so the model hardly tells them apart; double or missing normalisation? "
        "Check value_range, mean and std of the preprocessing card"
    )
    return ProbeCheck(name="not-collapsed", outcome="fail", detail=detail)


def _median_cosine(features: Tensor) -> float:
    unit = F.normalize(features)
    rows, columns = torch.triu_indices(len(unit), len(unit), offset=1)
    return float((unit @ unit.T)[rows, columns].median())


def _check_normalisation(
    model: LoadedModel, sample: Sample, features: Tensor, ctx: RunContext
) -> ProbeCheck:
    """Compare the given card with the other plausible ones, person by person."""
    name = "normalisation"
    if sample.people < TOO_FEW:
        detail = f"too few people have a match ({sample.people}) to compare normalisations"
        return ProbeCheck(name=name, outcome="warn", detail=detail)
    card = model.extractor.card
    given = _find_people(features, sample, card)
    others = alternatives(card)
    better: list[tuple[int, str, Card]] = []
    for place, (way, other) in enumerate(others.items()):
        ctx.progress(place / len(others), f"trying {way}")
        elsewhere = _embed_under(model.with_card(other), sample.images, features, ctx)
        if elsewhere is None:
            continue
        found = _find_people(elsewhere, sample, card)
        if clearly_more(found, given, comparisons=len(others)):
            better.append((int(found.sum()), way, other))
    count = f"{int(given.sum())} of {sample.people} people are found at rank 1"
    if not better:
        detail = f"{count}; no other common normalisation finds clearly more"
        return ProbeCheck(name=name, outcome="pass", detail=detail)
    most, way, other = max(better, key=lambda entry: entry[0])
    detail = (
        f"{count}, but {most} with {way}; if the model was trained so, set in the preprocessing "
        f"card: colour {other.colour}, value_range {other.value_range}, mean {list(other.mean)}, "
        f"std {list(other.std)}"
    )
    return ProbeCheck(name=name, outcome="warn", detail=detail)


def _embed_under(
    extractor: FeatureExtractor, images: Tensor, given: Tensor, ctx: RunContext
) -> Tensor | None:
    """Return features under another card; None if they cannot be better."""
    few = slice(None, BATCH)
    try:
        first = _features(extractor, images[few], ctx)
        if _relative_error(given[few], first) <= DIFFERENT:
            return None  # the model normalises its input itself
        return torch.cat([first, _features(extractor, images[BATCH:], ctx)])
    except ModelError:
        return None  # not finite when fed so: certainly not how it was trained


def _find_people(features: Tensor, sample: Sample, card: Card) -> Tensor:
    """Return ``(P,)`` whether each person's query finds them at rank 1."""
    query, gallery = slice(None, sample.people), slice(sample.people, None)
    retrieval = evaluate(
        features[query],
        features[gallery],
        Truth(
            sample.pids[query],
            sample.pids[gallery],
            sample.camids[query],
            sample.camids[gallery],
            cross_camera=sample.cross_camera,
        ),
        distance=card.distance,
    )
    found = torch.zeros(sample.people, dtype=torch.bool)
    found[retrieval.query_index] = retrieval.hit(1) > 0.5
    return found


def clearly_more(found: Tensor, given: Tensor, *, comparisons: int = 1) -> bool:
    """Return whether ``found`` ``(P,)`` beats ``given`` ``(P,)`` beyond chance, paired by person.

    McNemar's exact test: of the people only one of the two finds, the lower end of the share that
    ``found`` finds is above one half, at 95% over all ``comparisons`` together.
    """
    gained, lost = int((found & ~given).sum()), int((given & ~found).sum())
    if gained + lost == 0:
        return False
    level = 1 - 0.05 / comparisons
    test: Any = stats.binomtest(gained, gained + lost)
    return bool(test.proportion_ci(level, method="exact").low > 0.5)
