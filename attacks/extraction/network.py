"""A copy that is a network itself, so that white-box attacks can go through it."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import ClassVar

import pytorch_lightning as pl
import torch.nn.functional as F
from pydantic import PositiveInt
from pytorch_lightning.utilities.types import OptimizerLRSchedulerConfig
from torch import Tensor

from attacks.extraction.agreement import mean_agreement
from attacks.extraction.queries import look_through
from attacks.extraction.student import Lesson, ModelExtraction, take_lesson
from attacks.extraction.views import Views
from attacks.protocol.publication import by_single_pictures
from auditor.data.images import load_pixels
from auditor.embedding import embed_rows, features_of
from auditor.feature_cache import FeatureCache
from auditor.plugins.declaring import Positive, checked_dataclass
from auditor.training import Batches, fit, one_cycle
from auditor.types import RunContext, Split, Target

HELD_OUT = 5
"""One in so many people chooses between what was trained and where it started."""
JUDGES = 1000
"""Answers about them that are compared, at most."""


@checked_dataclass
class ModelExtractionNetwork(ModelExtraction):
    """Copies the extractor by training a network on its answers to pictures of other people.

    Threat model: may send pictures to the extractor and sees the features it returns, without
    weights or gradients; has own pictures of other people, which are sent as they are and, where
    more queries are allowed than there are pictures, mirrored and cropped. Never sees the gallery.
    Where a service's query budget is smaller, that is what is spent.

    Source: knockoff nets (Orekondy et al., CVPR 2019), with features as answers. Differences: the
    student starts as that of `model_extraction`, the shipped re-ID network (trained on synthetic
    people) with a readout in closed form, and all of it is trained on: it learns the cosine to the
    answers about their mean. Where the closed form agrees more with answers about people whom the
    training did not see, the student stays as it was. Each budget has a student of its own.

    Attributes:
        epochs: passes over the answers.
        steps: of a training, at least: few answers are shown more often.
        batch_size: answers per step.
        lr: peak learning rate of AdamW.
    """

    epochs: PositiveInt = 4
    steps: PositiveInt = 100
    batch_size: PositiveInt = 64
    lr: Positive = 2e-3

    slow: ClassVar[bool] = True

    def copy(self, target: Target, ctx: RunContext) -> "Student":
        """Return a copy of the extractor, for attacks that need its gradients."""
        lesson = take_lesson(by_single_pictures(target, ctx), self.queries, ctx)
        return self._teach(lesson, load_pixels(lesson.queries.own.images, Student.input_size), ctx)

    def _learner(
        self,
        lesson: Lesson,
        views: Sequence[Tensor],
        judged: Sequence[Split],
        ctx: RunContext,
    ) -> Callable[[int], list[Tensor]]:
        """See `ModelExtraction`."""
        pixels = load_pixels(lesson.queries.own.images, Student.input_size)

        def copies_after(count: int) -> list[Tensor]:
            student = self._teach(lesson.first(count), pixels, ctx)
            # nobody asks for this student's features again
            once = replace(ctx, cache=FeatureCache())
            return [features_of(student, split, once) for split in judged]

        return copies_after

    def _teach(self, lesson: Lesson, pixels: Tensor, ctx: RunContext) -> "Student":
        """Return a student of the ``lesson``, of which ``pixels`` are the adversary's pictures."""
        student = self._train(lesson, pixels, ctx).to(ctx.device)
        return student.eval().requires_grad_(False)

    def _train(self, lesson: Lesson, pixels: Tensor, ctx: RunContext) -> "Student":
        """Train a student, and return it or the one it started as."""
        learned, kept = divide_people(lesson)
        if len(kept.queries) < 2:
            return Student(lesson, pixels, self.lr)
        student = Student(learned, pixels.to(ctx.device), self.lr)
        before = agree_on(student, kept, ctx)
        queries = learned.queries
        columns = [x.to(ctx.device) for x in (queries.rows, queries.windows, learned.answers)]
        batches = Batches(columns, self.batch_size, ctx.generator("attacks.extraction.batches"))
        epochs = max(self.epochs, -(-self.steps // len(batches)))
        with ctx.randomness("attacks.extraction.network"):
            fit(student, batches, epochs=epochs, ctx=ctx, detail="student")
        better = agree_on(student, kept, ctx) > before
        return student if better else Student(lesson, pixels, self.lr)


def divide_people(lesson: Lesson) -> tuple[Lesson, Lesson]:
    """Return what is learned from, and what is kept to choose by: one in `HELD_OUT` people."""
    pids = lesson.queries.own.pids[lesson.queries.rows]
    _, person = pids.unique(return_inverse=True)
    kept = person % HELD_OUT == HELD_OUT - 1
    return lesson.where(~kept), lesson.where(kept)


def agree_on(student: "Student", lesson: Lesson, ctx: RunContext) -> float:
    """Return how far a student agrees with the answers of a lesson among themselves."""
    judges = lesson.first(JUDGES)
    images = judges.queries.images

    def load(rows: slice) -> Tensor:
        return images.load(range(rows.start, rows.stop), student.input_size)

    copied = embed_rows(student.to(ctx.device).eval(), len(images), load, ctx)
    return mean_agreement((copied, copied), (judges.answers, judges.answers))


class Student(pl.LightningModule):
    """Pictures ``(B, 3, 128, 64)`` to what the extractor would answer ``(B, D)``; has a gradient.

    Args:
        lesson: what it starts from.
        pixels: uint8 ``(N, 3, 128, 64)``, the adversary's pictures, on the device of the training.
        lr: peak learning rate.
    """

    input_size = Views.input_size
    mean: Tensor

    def __init__(self, lesson: Lesson, pixels: Tensor, lr: float) -> None:
        super().__init__()
        self.lr, self.feature_dim = lr, lesson.answers.shape[1]
        self.views, self.readout = Views(), lesson.readout()
        self.register_buffer("mean", F.normalize(lesson.answers, dim=1).mean(0))
        # no part of the module
        self._pixels = [pixels]

    def forward(self, images: Tensor) -> Tensor:
        """See the class."""
        answers: Tensor = self.readout(self.views(images))
        return answers

    def training_step(self, batch: tuple[Tensor, Tensor, Tensor], index: int) -> Tensor:
        """One minus the cosine to the answers about their mean; every other batch is mirrored."""
        rows, windows, answers = batch
        images = look_through(self._pixels[0][rows].float().div(255), windows)
        copied = self(images.flip(3) if index % 2 else images)
        return 1 - F.cosine_similarity(self._about_mean(copied), self._about_mean(answers)).mean()

    def configure_optimizers(self) -> OptimizerLRSchedulerConfig:
        """AdamW under a one-cycle schedule."""
        return one_cycle(self, self.lr, 5e-4)

    def _about_mean(self, answers: Tensor) -> Tensor:
        return F.normalize(answers, dim=1) - self.mean
