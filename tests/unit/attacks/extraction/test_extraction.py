"""Model extraction: agreement against scipy's, budgets, copies of pictures, refusals."""

from dataclasses import replace

import pytest
import torch
from scipy.stats import spearmanr

from attacks.extraction import ModelExtraction, ModelExtractionNetwork
from attacks.extraction.agreement import mean_agreement, rank_agreement
from attacks.extraction.network import Student, divide_people
from attacks.extraction.queries import ask, draw_windows, look_through, plan_queries
from attacks.extraction.student import Lesson
from attacks.extraction.views import look
from attacks.learners.standardising import Standardise
from auditor.data.images import load_pixels
from auditor.embedding import features_of
from auditor.errors import BudgetSpentError, UnsupportedTargetError
from auditor.metrics.retrieval import evaluate
from auditor.metrics.similarity import Truth
from auditor.types import RunContext, Target
from tests import worlds


def test_agreement_is_spearman_s_of_each_query():
    generator = torch.Generator().manual_seed(0)
    rows = [[torch.randn(n, 5, generator=generator) for n in (4, 9)] for _ in range(2)]
    found = rank_agreement(*rows)
    cosines = [
        torch.nn.functional.cosine_similarity(q[:, None], g[None], dim=2).numpy() for q, g in rows
    ]
    wanted = [max(0.0, spearmanr(a, b).statistic) for a, b in zip(*cosines, strict=True)]
    assert found.tolist() == pytest.approx(wanted, abs=1e-6)
    assert rank_agreement(rows[0], rows[0]).tolist() == pytest.approx([1.0] * 4)


def lesson(count=400, views=6, dim=3):
    """Answers that are linear in what is seen."""
    generator = torch.Generator().manual_seed(0)
    seen = torch.randn(count, views, generator=generator)
    answers = 7 * torch.nn.functional.normalize(
        seen @ torch.randn(views, dim, generator=generator), dim=1
    )
    return Lesson(plan_queries(worlds.few().auxiliary, count, RunContext()), answers, seen)


def test_a_student_learns_a_linear_map():
    known = lesson()
    copied = known.readout()(known.seen)
    assert torch.nn.functional.cosine_similarity(copied, known.answers).mean() > 0.9


def test_more_queries_agree_more_and_begin_above_nothing():
    target = worlds.trainable()
    result = ModelExtraction(queries=600).run(target, RunContext())
    (agreement, rank1), (curve, other) = result.measurements, result.curves
    assert [point[0] for point in curve.points] == [100, 600]
    assert curve.points[-1][1:] == (agreement.value, agreement.low, agreement.high)
    assert curve.points[0][1] < agreement.value
    assert agreement.value > agreement.chance
    assert rank1.n == 24
    # what is seen without asking: the views on the scale of those that were sent
    own, ctx = target.data.auxiliary, RunContext()
    scale = Standardise(look(plan_queries(own, 600, ctx).images, ctx))
    data = target.data
    views = [scale(look(split.images, ctx)) for split in (data.query, data.gallery)]
    seen = evaluate(*views, Truth.of(data.query, data.gallery, cross_camera=data.cross_camera))
    assert rank1.chance == pytest.approx(seen.cmc(1))
    assert 0 < rank1.chance < 1
    assert other.points[-1][1:] == (rank1.value, rank1.low, rank1.high)


def test_every_picture_is_sent_once_before_any_is_changed():
    own = worlds.few().auxiliary
    queries = plan_queries(own, 2 * len(own) + 5, RunContext())
    assert sorted(queries.rows[: len(own)].tolist()) == list(range(len(own)))
    first, again = (queries.images.load([row], (32, 16)) for row in (3, 3 + len(own)))
    picture = own.images.load([int(queries.rows[3])], (32, 16))
    assert torch.allclose(first, picture, atol=1e-5)
    assert not torch.allclose(again, picture, atol=0.05)
    assert torch.equal(plan_queries(own, 9, RunContext()).rows, queries.rows[:9])


def test_a_window_shows_most_of_a_picture_and_half_of_them_mirror_it():
    across = torch.linspace(0, 1, 16).expand(40, 1, 32, 16)
    seen = look_through(across, draw_windows(40, torch.Generator().manual_seed(0)))
    assert seen.shape == across.shape
    width = (seen[:, 0, 0, -1] - seen[:, 0, 0, 0]) / (across[0, 0, 0, -1] - across[0, 0, 0, 0])
    assert width.abs().min() > 0.85
    assert width.abs().max() <= 1
    assert 10 < int((width < 0).sum()) < 30


class Metered(torch.nn.Module):
    """The leaky extractor, which answers no more than so many queries."""

    differentiable = False

    def __init__(self, budget):
        super().__init__()
        self.network, self.left = worlds.leaky().extractor, budget
        self.feature_dim, self.input_size = self.network.feature_dim, self.network.input_size

    def forward(self, images):
        if len(images) > self.left:
            raise BudgetSpentError("spent")
        self.left -= len(images)
        return self.network(images)


def test_what_a_service_answers_before_its_budget_ends_is_learned_from():
    data = worlds.leaky().data
    judged = len(data.query) + len(data.gallery)
    target = replace(worlds.leaky(), extractor=Metered(judged + 200))
    result = ModelExtraction(queries=600).run(target, RunContext())
    # 64 are sent at a time
    assert result.notes[0].startswith("192 queries were answered")
    with pytest.raises(UnsupportedTargetError, match="budget was spent after 64 answers"):
        ModelExtraction(queries=600).run(
            replace(target, extractor=Metered(judged + 64)), RunContext()
        )


def test_an_answer_is_bought_once_by_whoever_asks_first():
    target, ctx = replace(worlds.leaky(), extractor=Metered(128)), RunContext()
    own = target.data.auxiliary
    first = ask(target, plan_queries(own, 128, ctx), ctx)
    assert torch.equal(ask(target, plan_queries(own, 640, ctx), ctx), first)


def test_a_student_is_shown_what_was_sent_and_starts_from_the_closed_form():
    own = worlds.few().auxiliary
    ctx = RunContext()
    queries = plan_queries(own, len(own) + 40, ctx)
    seen = look(queries.images, ctx)
    known = Lesson(queries, seen[:, :3] - seen[:, :3].mean(0), seen)
    pixels = torch.stack([own.images.load([row], (128, 64))[0] for row in range(len(own))])
    student = Student(known, pixels.mul(255).round().byte(), 1e-3).eval()
    with torch.no_grad():
        assert torch.allclose(
            student(queries.images.load(range(4), (128, 64))), known.readout()(seen[:4]), atol=1e-3
        )
        shown = student(queries.images.load([len(own)], (128, 64)))
        columns = queries.rows[-40:][:1], queries.windows[-40:][:1]
        loss = float(student.training_step((*columns, shown), 0))
        other = float(student.training_step((columns[0], queries.windows[:1], shown), 0))
    assert loss == pytest.approx(0, abs=1e-4)
    assert other > loss + 1e-3


class Texture(torch.nn.Module):
    """How strongly each of 32 random patterns occurs anywhere: no linear map of pixels knows."""

    feature_dim = 32
    input_size = (64, 32)

    def __init__(self):
        super().__init__()
        patterns = torch.randn(32, 3, 5, 5, generator=torch.Generator().manual_seed(0))
        self.patterns = patterns - patterns.mean((2, 3), keepdim=True)

    def forward(self, images):
        return torch.nn.functional.conv2d(images, self.patterns, stride=2).abs().amax((2, 3)).log()


def taught(**fields):
    """How far the closed form and a trained student agree with `Texture`'s answers."""
    target, ctx = Target(Texture(), worlds.people()), RunContext()
    judged = [target.data.query, target.data.gallery]
    truth = [features_of(target.extractor, split, ctx) for split in judged]
    queries = plan_queries(target.data.auxiliary, 400, ctx)
    known = Lesson(queries, ask(target, queries, ctx), look(queries.images, ctx))
    pixels = load_pixels(queries.own.images, Student.input_size)
    trained = ModelExtractionNetwork(**fields)._teach(known, pixels, ctx)
    return [
        mean_agreement([features_of(copy.eval(), split, ctx) for split in judged], truth)
        for copy in (Student(known, pixels, 1.0), trained)
    ]


def test_a_trained_student_agrees_more_than_the_closed_form_it_starts_from():
    closed, trained = taught(epochs=1, steps=30)
    assert trained > closed + 0.03


def test_a_training_that_forgets_is_forgotten():
    closed, trained = taught(epochs=1, steps=2, lr=1.0)
    assert trained == pytest.approx(closed, abs=1e-6)


def test_nobody_is_learned_from_and_chosen_by():
    own = worlds.few().auxiliary
    queries = plan_queries(own, 2 * len(own), RunContext())
    everything = Lesson(queries, torch.randn(len(queries), 3), torch.randn(len(own), 5))
    parts = divide_people(everything)
    people = [set(own.pids[part.queries.rows].tolist()) for part in parts]
    assert not people[0] & people[1]
    assert people[0] | people[1] == set(own.pids.tolist())
    assert sum(len(part.seen) for part in parts) == len(own)
    assert all(len(part.answers) == len(part.queries) for part in parts)


def test_the_curve_goes_by_powers_of_ten():
    attack = ModelExtractionNetwork(queries=150, epochs=1, steps=1)
    result = attack.run(worlds.trainable(), RunContext())
    assert [point[0] for point in result.curves[0].points] == [100, 150]
    assert result.measurements[0].value > result.measurements[0].chance


def test_without_own_pictures_nothing_can_be_sent():
    data = worlds.leaky().data
    nobody = data.auxiliary.take(torch.zeros(0, dtype=torch.long))
    target = replace(worlds.leaky(), data=replace(data, auxiliary=nobody))
    with pytest.raises(UnsupportedTargetError, match="no auxiliary pictures"):
        ModelExtraction().run(target, RunContext())


def test_fewer_than_a_hundred_queries_are_no_budget():
    with pytest.raises(ValueError, match="queries"):
        ModelExtraction(queries=99)
