"""Can the model be copied by asking it? A student learns from a black box's answers."""

from collections.abc import Callable, Sequence
from typing import Annotated, ClassVar

import torch
import torch.nn.functional as F
from pydantic import Field
from scipy.stats import rankdata
from sklearn.linear_model import RidgeCV
from torch import Tensor

from attacks import threat_models
from attacks.learners.standardising import Standardise
from attacks.protocol.publication import by_single_pictures
from auditor.certification.planting import Planted
from auditor.data.features.rows import StoredFeatures
from auditor.embedding import BATCH, embed_rows, features_of
from auditor.errors import UnsupportedTargetError
from auditor.metrics import measure
from auditor.metrics.retrieval import evaluate
from auditor.metrics.similarity import Truth
from auditor.models.reference import ReferenceNet, load_reference
from auditor.plugins.declaring import checked_dataclass
from auditor.report import Adversary, Curve, Measurement
from auditor.row_blocks import BLOCK, fit_block
from auditor.types import AttackResult, Images, RunContext, Split, Target

THUMBNAIL = (32, 16)
STRIPES = 4
PENALTIES = (1e-1, 1.0, 1e1, 1e2, 1e3, 1e4)
"""Tried ridge penalties on standardised inputs."""
LEAST = 100
"""Queries at which the curve begins; it goes on by powers of ten."""
CROP = 0.9
"""A changed copy shows this share of the picture's height and width."""


@checked_dataclass
class ModelExtraction:
    """Copies the extractor by learning from its answers to pictures of other people.

    Threat model: may send pictures to the extractor and sees the features it returns, without
    weights or gradients; has own pictures of other people, which are sent as they are and, where
    more queries are allowed than there are pictures, mirrored and cropped. Never sees the gallery.

    Source: knockoff nets (Orekondy et al., CVPR 2019), with features as answers. Differences: the
    student is a linear map of what any adversary has, thumbnails and the activations of the shipped
    re-ID network (trained on synthetic people), fitted in closed form. A network trained for hours
    copies more; what this finds is a lower bound.

    Attributes:
        queries: pictures that may be sent.
    """

    queries: Annotated[int, Field(ge=LEAST)] = 10_000

    family: ClassVar[str] = "extraction"
    adversary: ClassVar[Adversary] = threat_models.COPYIST
    headline: ClassVar[str] = "agreement"

    def run(self, target: Target, ctx: RunContext) -> AttackResult:
        """See `auditor.types.Attack`."""
        if isinstance(target.extractor, StoredFeatures):
            raise UnsupportedTargetError("this asks the model, and the features came without it")
        target = by_single_pictures(target, ctx)
        own = target.data.auxiliary
        if len(own) < 2:
            raise UnsupportedTargetError("the adversary has no auxiliary pictures to send")
        seen, answers = self._ask(target, ctx)
        judged = [target.data.query, target.originals_of_gallery]
        views = [look(split.images, ctx) for split in judged]
        truth = [features_of(target.extractor, split, ctx) for split in judged]
        blind = [Standardise(seen)(view) for view in views]
        before = mean_agreement(blind, truth)
        results = []
        for count in budgets(len(seen)):
            student = learn_student(seen[:count], answers[:count])
            copies = [student(view) for view in views]
            results.append((count, measure_student(copies, truth, before, target)))
        agreed = results[-1][1]
        note = (
            f"{len(seen)} queries were answered; without any, the student's inputs agree with the "
            f"model by {before:.3f}, which counts as chance"
        )
        return AttackResult(agreed, notes=(note,), curves=(_curve(results),))

    def reference(self, planted: Planted, ctx: RunContext) -> AttackResult:
        """Have the model itself."""
        target = planted.target
        judged = [target.data.query, target.originals_of_gallery]
        truth = [features_of(target.extractor, split, ctx) for split in judged]
        return AttackResult(measure_student(truth, truth, 0.0, target))

    def _ask(self, target: Target, ctx: RunContext) -> tuple[Tensor, Tensor]:
        """Return what the student sees of each query ``(N, E)``, and the answers ``(N, D)``."""
        own = target.data.auxiliary
        order = torch.randperm(len(own), generator=ctx.generator("attacks.extraction.order"))
        own = own.take(order[: self.queries])
        seen, answers = [look(own.images, ctx)], [features_of(target.extractor, own, ctx)]
        left, generator = self.queries - len(own), ctx.generator("attacks.extraction.copies")
        while left > 0:
            some = own.take(torch.arange(min(left, len(own))))
            change = draw_change(generator)
            seen.append(look(some.images, ctx, change))
            answers.append(_embed_changed(target, some, change, ctx))
            left -= len(some)
        return torch.cat(seen), torch.cat(answers)


Change = Callable[[Tensor], Tensor]
"""Pictures ``(B, 3, H, W)`` to changed copies of the same size."""


def keep(images: Tensor) -> Tensor:
    """Leave pictures as they are."""
    return images


def draw_change(generator: torch.Generator) -> Change:
    """Draw a way to change pictures: a crop of most of them, and mirrored half of the time."""
    top, left, flip = torch.rand(3, generator=generator).tolist()

    def change(images: Tensor) -> Tensor:
        height, width = images.shape[2:]
        rows, columns = int(CROP * height), int(CROP * width)
        y, x = int(top * (height - rows + 1)), int(left * (width - columns + 1))
        part = images[:, :, y : y + rows, x : x + columns]
        part = F.interpolate(part, (height, width), mode="bilinear", antialias=True)
        return part.flip(3) if flip < 0.5 else part

    return change


def _embed_changed(target: Target, split: Split, change: Change, ctx: RunContext) -> Tensor:
    def load(rows: slice) -> Tensor:
        places = range(rows.start, rows.stop)
        return change(split.images.load(places, target.extractor.input_size))

    return embed_rows(target.extractor, len(split), load, ctx)


def look(images: Images, ctx: RunContext, change: Change = keep) -> Tensor:
    """Compute what any adversary sees of pictures ``(N, E)``: thumbnails and public activations."""
    net = load_reference().to(ctx.device).eval()
    mean = torch.tensor([0.485, 0.456, 0.406])[:, None, None]
    std = torch.tensor([0.229, 0.224, 0.225])[:, None, None]
    rows = []
    for part in torch.arange(len(images)).split(BATCH):
        pictures = change(images.load(part.tolist(), ReferenceNet.input_size))
        thumbnails = F.adaptive_avg_pool2d(pictures, THUMBNAIL).flatten(1)
        with torch.no_grad():
            stages = net.stages(((pictures - mean) / std).to(ctx.device))
        pooled = [F.adaptive_avg_pool2d(stage, (STRIPES, 1)).flatten(1).cpu() for stage in stages]
        rows.append(torch.cat([thumbnails, *pooled], dim=1))
        ctx.progress(int(part[-1]) / len(images), "looking at pictures")
    return torch.cat(rows)


def budgets(queries: int) -> list[int]:
    """Powers of ten from `LEAST` below ``queries``, and ``queries``.

    >>> budgets(100), budgets(2500)
    ([100], [100, 1000, 2500])
    """
    counts, count = [], LEAST
    while count < queries:
        counts.append(count)
        count *= 10
    return [*counts, queries]


def learn_student(seen: Tensor, answers: Tensor) -> Callable[[Tensor], Tensor]:
    """Fit unit answers ``(N, D)`` by a linear map of what is seen ``(N, E)``, penalty held out."""
    scale = Standardise(seen)
    ridge = RidgeCV(alphas=PENALTIES).fit(scale(seen).numpy(), F.normalize(answers, dim=1).numpy())
    return lambda rows: torch.from_numpy(ridge.predict(scale(rows).numpy())).float()


def measure_student(
    copies: Sequence[Tensor], truth: Sequence[Tensor], before: float, target: Target
) -> tuple[Measurement, ...]:
    """Measure agreement with the model, and how well the student itself re-identifies.

    Args:
        copies: the student's features of queries ``(Q, D)`` and gallery ``(G, D)``.
        truth: the model's.
        before: the agreement without any answer.
        target: whose people they are.
    """
    data = target.data
    pids = data.query.pids
    agreement = measure.mean(
        "agreement",
        rank_agreement(copies, truth),
        pids,
        chance=before,
        note="rank correlation of a query's similarities to the gallery, at least 0",
    )
    who = Truth.of(data.query, data.gallery, cross_camera=data.cross_camera)
    found, real = (evaluate(query, gallery, who) for query, gallery in (copies, truth))
    rank1 = measure.rate(
        "student_rank1",
        found.hit(1),
        pids[found.query_index],
        note=f"the model's own is {real.cmc(1):.3f}",
    )
    return agreement, rank1


def mean_agreement(copies: Sequence[Tensor], truth: Sequence[Tensor]) -> float:
    """Return the mean of `rank_agreement` over queries."""
    return float(rank_agreement(copies, truth).mean())


def rank_agreement(copies: Sequence[Tensor], truth: Sequence[Tensor]) -> Tensor:
    """Compute Spearman's correlation ``(Q,)`` of similarities to the gallery; 0 if negative."""
    galleries = [F.normalize(gallery, dim=1) for _, gallery in (copies, truth)]
    blocks = torch.arange(len(truth[0])).split(fit_block(len(galleries[0]), BLOCK))

    def correlate(rows: Tensor) -> Tensor:
        queries = (copies[0][rows], truth[0][rows])
        ranks = [_rank(*pair) for pair in zip(queries, galleries, strict=True)]
        return (ranks[0] * ranks[1]).sum(1).clamp(0, 1)

    return torch.cat([correlate(rows) for rows in blocks])


def _rank(query: Tensor, gallery: Tensor) -> Tensor:
    """Return for each query the standardised ranks ``(Q, G)`` of its cosines with unit rows."""
    cosines = F.normalize(query, dim=1) @ gallery.T
    rows = torch.from_numpy(rankdata(cosines.numpy(), axis=1))
    return F.normalize(rows - rows.mean(1, keepdim=True), dim=1)


def _curve(results: list[tuple[int, tuple[Measurement, ...]]]) -> Curve:
    points = tuple(agreement.at(count) for count, (agreement, *_) in results)
    return Curve(name="queries", metric="agreement", x="queries", points=points, log_x=True)
