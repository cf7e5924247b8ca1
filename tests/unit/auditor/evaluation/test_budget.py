"""Budget curves without any attack in the core: less data, less training, and what it says."""

from dataclasses import dataclass, replace

import pytest
import torch

from auditor.embedding import features_of
from auditor.errors import UnsupportedTargetError
from auditor.evaluation.budget import budget_curves, cost_of, scale
from auditor.evaluation.saturation import complete_curve, statement
from auditor.feature_cache import FeatureCache
from auditor.report import Curve, Measurement
from tests import worlds
from tests.records import measured

FRACTIONS = [0.5, 0.1, 0.25]


@dataclass(frozen=True, kw_only=True)
class Learner:
    """An attack that trains for so many epochs."""

    epochs: int = 40
    steps: int = 7


def of_people(attack, target, progress) -> Measurement:
    """A headline that says how many auxiliary people and epochs there were."""
    progress(1.0, "done")
    people = len(target.data.auxiliary.pids.unique())
    return measured("top1", people / 1000 + attack.epochs / 100, half=0.0)


def curves(attack=None, trial=of_people, target=None, fractions=FRACTIONS, ctx=None):
    found = budget_curves(
        attack or Learner(),
        target or worlds.leaky(),
        fractions,
        ctx or worlds.plain_context(),
        trial,
    )
    return {part.curve.name: part for part in found.curves}, found.notes


class TestAxes:
    def test_people_and_training_are_taken_away_one_at_a_time(self):
        found, notes = curves()
        assert notes == ()
        people, training = found["auxiliary_people"], found["training"]
        assert (people.whole, people.curve.x, people.curve.metric) == (
            100,
            "auxiliary people",
            "top1",
        )
        assert [point[:2] for point in people.curve.points] == [
            (10, pytest.approx(0.41)), (25, pytest.approx(0.425)), (50, pytest.approx(0.45)),
        ]  # fmt: skip
        assert (training.whole, training.curve.x) == (40, "epochs")
        assert [point[0] for point in training.curve.points] == [4, 10, 20]
        assert training.curve.points[0][1] == pytest.approx(0.1 + 0.04)
        assert people.curve.log_x

    def test_smaller_worlds_lie_within_larger_ones_and_repeat(self):
        seen = []

        def remember(attack, target, progress):
            seen.append(set(target.data.auxiliary.pids.tolist()))
            return measured("top1", 0.5)

        curves(trial=remember)
        sizes = seen[:3]
        assert sizes[0] < sizes[1] < sizes[2] < set(worlds.people().auxiliary.pids.tolist())
        curves(trial=remember)
        assert seen[:3] == seen[6:9]

    def test_training_people_go_with_the_auxiliary_ones_only_if_they_are_the_same(self):
        seen = []

        def remember(attack, target, progress):
            seen.append(target.data)
            return measured("top1", 0.5)

        target = worlds.leaky()
        shared = replace(target, data=replace(target.data, train=target.data.auxiliary))
        other = replace(target, data=replace(target.data, train=target.data.query))
        for world in (shared, other):
            curves(trial=remember, target=world, fractions=[0.5])
        assert seen[0].train is seen[0].auxiliary
        assert seen[2].train is other.data.train

    def test_features_are_cut_not_embedded_again_and_forgotten(self):
        target, ctx = worlds.leaky(), replace(worlds.plain_context(), cache=FeatureCache())
        whole = features_of(target.extractor, target.data.auxiliary, ctx)

        def look(attack, smaller, progress):
            some = smaller.data.auxiliary
            assert ctx.cache.knows(target.extractor, some)
            found = features_of(target.extractor, some, ctx)
            rows = torch.isin(target.data.auxiliary.pids, some.pids)
            assert torch.equal(found, whole[rows])
            return measured("top1", 0.5)

        _, notes = curves(trial=look, target=target, fractions=[0.3], ctx=ctx)
        assert notes == ()
        assert len(ctx.cache) == 1
        assert ctx.cache.knows(target.extractor, target.data.auxiliary)

    def test_a_crash_leaves_its_point_out_and_a_note(self):
        def fall_over(attack, target, progress):
            people = len(target.data.auxiliary.pids.unique())
            if people == 25:
                raise RuntimeError("diverged")
            if people == 10:
                raise UnsupportedTargetError("too few people")
            return measured("top1", 0.5)

        found, notes = curves(trial=fall_over)
        assert [point[0] for point in found["auxiliary_people"].curve.points] == [50]
        assert len(found["training"].curve.points) == 3
        assert notes == (
            "its figure with 10 auxiliary people could not be measured: too few people",
            "its figure with 25 auxiliary people could not be measured: diverged",
        )

    def test_an_attack_without_training_has_one_curve(self):
        @dataclass(frozen=True)
        class Direct:
            epochs: float = 2.0
            strict: bool = True

        assert cost_of(Direct()) == ""
        found, _ = curves(Direct(), trial=lambda *_: measured("top1", 0.5))
        assert list(found) == ["auxiliary_people"]

    def test_the_first_known_cost_is_scaled(self):
        assert cost_of(Learner()) == "epochs"
        assert scale(40, FRACTIONS) == [4, 10, 20]
        assert scale(2, FRACTIONS) == [1]
        assert scale(0, FRACTIONS) == []


def curve(*values: float, x: str = "epochs") -> Curve:
    points = tuple((10.0 * 2**n, v, v - 0.02, v + 0.02) for n, v in enumerate(values))
    return Curve(name="training", metric="top1", x=x, points=points, log_x=True)


class TestStatement:
    @pytest.mark.parametrize(
        ("values", "words"),
        [
            ((0.1, 0.3, 0.5), "not saturated: from 40 to 80 epochs it gains 10.0 points, so more"),
            (
                (0.1, 0.3, 0.59),
                "saturated: from 40 to 80 epochs it moves by +1.0 points; the inter",
            ),
            ((0.6, 0.605, 0.595), "no measurable trend: from 10 to 80 epochs it moves by 1.0 poi"),
            ((0.3, 0.5, 0.7), "past its best: from 40 to 80 epochs it loses 10.0 points, so this"),
        ],
    )
    def test_it_follows_from_the_last_step_and_the_interval(self, values, words):
        headline = measured("top1", 0.6, half=0.02)
        found = complete_curve(curve(*values), 80.0, headline)
        assert found.statement.startswith(words)
        assert found.statement.endswith("the interval's half-width is 2.0 points")
        assert found.points[-1] == (80.0, 0.6, 0.58, 0.62)

    def test_one_point_is_enough_to_compare_with(self):
        assert complete_curve(curve(0.2), 80.0, measured("top1", 0.6)).statement.startswith("not")

    def test_where_lower_is_leakier_a_fall_is_a_gain_of_the_adversary(self):
        headline = measured("lpips", 0.2, half=0.02, worse="lower", unit="distance")
        points = ((40.0, 0.5, 0.4, 0.6), (80.0, 0.2, 0.18, 0.22))
        assert statement("epochs", points, headline).startswith(
            "not saturated: from 40 to 80 epochs it loses 0.3, so more would leak more"
        )

    def test_what_never_changes_does_not_depend_on_it(self):
        same = measured("top1", 0.5, half=0.02)
        assert complete_curve(curve(0.5, 0.5), 80.0, same) is None
        assert complete_curve(curve(0.5, 0.51), 80.0, same) is not None
