"""Model extraction: agreement against scipy's, budgets, copies of pictures, refusals."""

from dataclasses import replace

import pytest
import torch
from scipy.stats import spearmanr

from attacks.extraction import ModelExtraction
from attacks.extraction.student import draw_change, learn_student, rank_agreement
from auditor.errors import UnsupportedTargetError
from auditor.types import RunContext
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


def test_a_student_learns_a_linear_map_and_its_copies_are_judged_alike():
    generator = torch.Generator().manual_seed(0)
    seen, matrix = torch.randn(400, 6, generator=generator), torch.randn(6, 3, generator=generator)
    unit = torch.nn.functional.normalize(seen @ matrix, dim=1)
    student = learn_student(seen, 7 * unit)
    assert torch.nn.functional.cosine_similarity(student(seen), unit).mean() > 0.9


def test_more_queries_agree_more_and_begin_above_nothing():
    target = worlds.trainable()
    result = ModelExtraction(queries=600).run(target, RunContext())
    (agreement, rank1), (curve,) = result.measurements, result.curves
    assert [point[0] for point in curve.points] == [100, 600]
    assert curve.points[-1][1:] == (agreement.value, agreement.low, agreement.high)
    assert curve.points[0][1] < agreement.value
    assert agreement.value > agreement.chance
    assert rank1.n == 24


def test_what_is_missing_in_pictures_is_made_of_changed_ones():
    change = draw_change(torch.Generator().manual_seed(0))
    images = torch.rand(2, 3, 32, 16)
    changed = change(images)
    assert changed.shape == images.shape
    assert not torch.allclose(changed, images, atol=0.05)
    data = worlds.leaky().data
    few = replace(
        worlds.leaky(), data=replace(data, auxiliary=data.auxiliary.take(torch.arange(80)))
    )
    result = ModelExtraction(queries=200).run(few, RunContext())
    assert result.notes[0].startswith("200 queries were answered")


def test_without_own_pictures_nothing_can_be_sent():
    data = worlds.leaky().data
    nobody = data.auxiliary.take(torch.zeros(0, dtype=torch.long))
    target = replace(worlds.leaky(), data=replace(data, auxiliary=nobody))
    with pytest.raises(UnsupportedTargetError, match="no auxiliary pictures"):
        ModelExtraction().run(target, RunContext())


def test_fewer_than_a_hundred_queries_are_no_budget():
    with pytest.raises(ValueError, match="queries"):
        ModelExtraction(queries=99)
