"""Translation of defended features: budgets, what it undoes, and what it says where it need not."""

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F

from attacks.adaptive import Translation
from attacks.adaptive.mixing import Mixing
from attacks.adaptive.translation import Turn, auxiliary_pairs, saturation, spread
from auditor.embedding import features_of
from auditor.errors import UnsupportedTargetError
from auditor.metrics.retrieval import evaluate
from auditor.metrics.similarity import Truth
from auditor.report import Measurement
from auditor.types import RunContext
from tests import worlds

QUICK = {"epochs": 0, "image_size": (32, 16), "per_person": 1}


def attacked(target, tmp_path, judge=None, **fields):
    judges = {"target": judge or worlds.leaky().extractor}
    ctx = RunContext(workdir=tmp_path, judges=judges, cache=worlds.plain_context().cache)
    result = Translation(**(QUICK | fields)).run(target, ctx)
    return {m.metric: m for m in result.measurements}, result


def rate(value, half=0.1):
    low, high = max(0.0, value - half), min(1.0, value + half)
    return Measurement(metric="translated_rank1", value=value, n=9, low=low, high=high)


class Turned(torch.nn.Module):
    """A defended extractor: the planted leak, rotated and bent."""

    feature_dim = worlds.leaky().extractor.feature_dim
    input_size = worlds.leaky().extractor.input_size

    def __init__(self):
        super().__init__()
        self.turn = Turn.of(self.feature_dim)

    def forward(self, images):
        plain = worlds.leaky().extractor(images)
        return torch.tanh(2 * self.turn(plain, torch.Generator()))


class TestBudget:
    def test_budgets_grow_fourfold_to_the_last(self):
        assert spread(100) == [100]
        assert spread(101) == [100, 101]
        assert spread(6400) == [100, 400, 1600, 6400]

    def test_a_curve_is_saturated_when_it_gains_less_than_half_its_interval(self):
        flat = [(100, rate(0.4)), (400, rate(0.70)), (1600, rate(0.75))]
        assert saturation(flat).startswith("saturated: the last fourfold step changes rank-1 by +0")
        assert saturation(flat[:2]).startswith("not saturated")
        assert saturation([(100, rate(0.5)), (400, rate(0.4))]).startswith("saturated")

    def test_the_step_is_fourfold_at_least(self):
        points = [(100, rate(0.3)), (400, rate(0.6)), (500, rate(0.61))]
        assert saturation(points).startswith("not saturated")
        assert "no fourfold step" in saturation([(100, rate(0.3)), (300, rate(0.6))])

    def test_pairs_bound_what_is_learned_from(self, tmp_path):
        target = replace(worlds.leaky(), release=Turn.of(288))
        few, result = attacked(target, tmp_path, pairs=60)
        (curve,) = result.curves
        assert [point[0] for point in curve.points] == [60]
        assert curve.points[-1][1] == few["translated_rank1"].value
        assert (curve.name, curve.metric, curve.log_x) == (
            "auxiliary_pictures",
            "translated_rank1",
            True,
        )
        assert "learned from 60 pairs" in result.notes[0]

    @pytest.mark.parametrize("fields", [{"pairs": 1}, {"hidden": 0}, {"epochs": -1}])
    def test_fields_that_make_no_sense_are_refused(self, fields):
        with pytest.raises(ValueError, match=next(iter(fields))):
            Translation(**fields)


class TestTranslation:
    def test_a_defended_extractor_is_translated_back(self, tmp_path):
        target = replace(worlds.leaky(), extractor=Turned())
        found, result = attacked(target, tmp_path)
        ctx = worlds.plain_context()
        clean = features_of(worlds.leaky().extractor, target.data.query, ctx)
        asked, stored = target.data.query, target.data.gallery
        defended = features_of(target.extractor, stored, ctx)
        labels = asked.pids, stored.pids, asked.camids, stored.camids
        assert evaluate(clean, defended, Truth(*labels)).cmc(1) < 0.15
        assert next(iter(found)) == "translated_rank1"
        assert found["translated_rank1"].low > 0.7
        assert found["translated_map"].value > 0.7
        assert found["translated_cosine"].value > 0.8
        assert abs(found["translated_cosine"].chance) < 0.6
        assert found["reid_rank1"].low > found["reid_rank1"].chance
        assert len(result.curves[0].points) == 3
        assert not any("bare" in note for note in result.notes)

    def test_the_cosine_and_its_chance_are_what_they_say(self, tmp_path):
        target = replace(worlds.leaky(), release=Turn.of(288))
        found, _ = attacked(target, tmp_path)
        truth = features_of(target.extractor, target.data.gallery, worlds.plain_context())
        shuffled = F.normalize(truth, dim=1) @ F.normalize(truth, dim=1).T
        assert found["translated_cosine"].value > 0.98
        assert found["translated_cosine"].chance == pytest.approx(shuffled.mean().item(), abs=0.01)

    def test_on_a_bare_target_there_is_nothing_to_translate(self, tmp_path):
        found, result = attacked(worlds.leaky(), tmp_path)
        assert any("translation is the identity" in note for note in result.notes)
        assert found["translated_cosine"].value > 0.999

    def test_the_target_judges_where_there_is_no_public_extractor(self, tmp_path):
        ctx = RunContext(workdir=tmp_path)
        result = Translation(**QUICK).run(worlds.leaky(), ctx)
        assert any("bare" in note for note in result.notes)

    def test_own_pictures_are_protected_like_the_gallery(self):
        target = worlds.told(worlds.leaky(), Mixing(own=0.5))
        ctx = worlds.plain_context()
        pairs = auxiliary_pairs(target, target.extractor, ctx)
        clean = features_of(target.extractor, target.data.auxiliary, ctx)
        assert torch.equal(pairs.wanted, clean)
        assert F.cosine_similarity(pairs.seen, clean).mean() < 0.95

    def test_nothing_is_learned_from_nobody(self, tmp_path):
        data = worlds.people()
        none = data.auxiliary.take(torch.arange(0))
        with pytest.raises(UnsupportedTargetError, match="no auxiliary pictures"):
            attacked(replace(worlds.blind(), data=replace(data, auxiliary=none)), tmp_path)
