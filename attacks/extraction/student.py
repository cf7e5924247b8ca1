"""Can the model be copied by asking it? A student learns from a black box's answers."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated, ClassVar

import torch
import torch.nn.functional as F
from pydantic import Field
from sklearn.linear_model import RidgeCV
from torch import Tensor, nn

from attacks import threat_models
from attacks.extraction.agreement import Before, compare_views, measure_student
from attacks.extraction.queries import LEAST, Queries, ask, plan_queries
from attacks.extraction.views import look
from attacks.learners.standardising import Standardise
from attacks.protocol.publication import by_single_pictures
from auditor.certification.planting import Planted
from auditor.embedding import features_of
from auditor.plugins.declaring import checked_dataclass
from auditor.report import Adversary, Curve, Measurement
from auditor.types import AttackResult, RunContext, Split, Target

PENALTIES = (1e-1, 1.0, 1e1, 1e2, 1e3, 1e4)
"""Tried ridge penalties on standardised inputs."""
MOST = 10_000
"""Answers that the closed form learns from, at most: it takes 2 GB for so many."""
SCALE = 0.1
"""Views are multiplied by this, so that a learning rate for a network suits their weights too."""


@checked_dataclass
class ModelExtraction:
    """Copies the extractor by learning from its answers to pictures of other people.

    Threat model: may send pictures to the extractor and sees the features it returns, without
    weights or gradients; has own pictures of other people, which are sent as they are and, where
    more queries are allowed than there are pictures, mirrored and cropped. Never sees the gallery.
    Where a service's query budget is smaller, that is what is spent.

    Source: knockoff nets (Orekondy et al., CVPR 2019), with features as answers. Differences: the
    student is a linear map of what any adversary has, thumbnails and the activations of the shipped
    re-ID network (trained on synthetic people), fitted in closed form. `model_extraction_network`
    trains the network on.

    Attributes:
        queries: pictures that may be sent.
    """

    queries: Annotated[int, Field(ge=LEAST)] = 10_000

    family: ClassVar[str] = "extraction"
    adversary: ClassVar[Adversary] = threat_models.COPYIST
    headline: ClassVar[str] = "agreement"

    def run(self, target: Target, ctx: RunContext) -> AttackResult:
        """See `auditor.types.Attack`."""
        target = by_single_pictures(target, ctx)
        judged = [target.data.query, target.originals_of_gallery]
        truth = [features_of(target.extractor, split, ctx) for split in judged]
        lesson = take_lesson(target, self.queries, ctx)
        views = [look(split.images, ctx) for split in judged]
        scaled = [Standardise(lesson.seen)(view) for view in views]
        before = compare_views(scaled, truth, target)
        copies_after = self._learner(lesson, views, judged, ctx)
        results = [
            (count, measure_student(copies_after(count), truth, before, target))
            for count in budgets(len(lesson.answers))
        ]
        note = (
            f"{len(lesson.answers)} queries were answered; without any, what the student sees "
            f"agrees with the model by {before.agreement:.3f} and finds {before.rank1:.3f} of the "
            f"people at rank 1, which count as chance"
        )
        return AttackResult(results[-1][1], notes=(note,), curves=_curves(results))

    def _learner(
        self,
        lesson: "Lesson",
        views: Sequence[Tensor],
        judged: Sequence[Split],
        ctx: RunContext,
    ) -> Callable[[int], list[Tensor]]:
        """Return how the student of so many answers sees each of ``judged``.

        Args:
            lesson: all answers.
            views: what is seen of the pictures of each split, ``(N, E)``.
            judged: the splits.
            ctx: the run.
        """

        def copies_after(count: int) -> list[Tensor]:
            readout = lesson.first(count).readout()
            with torch.no_grad():
                return [readout(view) for view in views]

        return copies_after

    def reference(self, planted: Planted, ctx: RunContext) -> AttackResult:
        """Have the model itself."""
        target = planted.target
        judged = [target.data.query, target.originals_of_gallery]
        truth = [features_of(target.extractor, split, ctx) for split in judged]
        return AttackResult(measure_student(truth, truth, Before(0.0, 0.0), target))


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


@dataclass(frozen=True, eq=False)
class Lesson:
    """What a student learns from.

    Attributes:
        queries: what was sent.
        answers: ``(N, D)``.
        seen: views ``(M, E)`` of the first M ≤ `MOST` queries.
    """

    queries: Queries
    answers: Tensor
    seen: Tensor

    def first(self, count: int) -> "Lesson":
        """Return its beginning."""
        return Lesson(self.queries.part(0, count), self.answers[:count], self.seen[:count])

    def where(self, chosen: Tensor) -> "Lesson":
        """Return those answers for which ``chosen (N,)`` is true."""
        seen = self.seen[chosen[: len(self.seen)]]
        return Lesson(self.queries.where(chosen), self.answers[chosen], seen)

    def readout(self) -> "Readout":
        """Fit unit answers by a linear map of what is seen, penalty held out."""
        scale = Standardise(self.seen)
        unit = F.normalize(self.answers[: len(self.seen)], dim=1)
        ridge = RidgeCV(alphas=PENALTIES).fit(scale(self.seen).numpy(), unit.numpy())
        return Readout(scale, torch.from_numpy(ridge.coef_), torch.from_numpy(ridge.intercept_))


def take_lesson(target: Target, count: int, ctx: RunContext) -> Lesson:
    """Ask the extractor about up to ``count`` pictures.

    Raises:
        UnsupportedTargetError: if there are no pictures, or too few answers.
    """
    queries = plan_queries(target.data.auxiliary, count, ctx)
    answers = ask(target, queries, ctx)
    asked = queries.part(0, len(answers))
    return Lesson(asked, answers, look(asked.part(0, MOST).images, ctx))


class Readout(nn.Module):
    """A linear map of views ``(B, E)`` to what the model would answer ``(B, D)``.

    Args:
        scale: of the views.
        weight: ``(D, E)`` of what is on that scale.
        bias: ``(D,)``.
    """

    def __init__(self, scale: Standardise, weight: Tensor, bias: Tensor) -> None:
        super().__init__()
        self.scale = scale
        self.map = nn.utils.skip_init(nn.Linear, weight.shape[1], len(weight))
        self.map.weight.data, self.map.bias.data = weight.float() / SCALE, bias.float()

    def forward(self, views: Tensor) -> Tensor:
        """See the class."""
        answers: Tensor = self.map(SCALE * self.scale(views))
        return answers


def _curves(results: Sequence[tuple[int, tuple[Measurement, ...]]]) -> tuple[Curve, ...]:
    """Draw each figure against the queries it took."""

    def draw(name: str, place: int) -> Curve:
        points = tuple(figures[place].at(count) for count, figures in results)
        metric = results[0][1][place].metric
        return Curve(name=name, metric=metric, x="queries", points=points, log_x=True)

    return draw("queries", 0), draw("queries_rank1", 1)
