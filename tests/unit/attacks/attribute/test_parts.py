"""Palettes, pooling, whitening and calibration, each on a case whose answer is known."""

import numpy as np
import pytest
import torch

from attacks.attribute.colours import palettes, with_colours
from attacks.attribute.labels import MEASURABLE, attackable, recode
from attacks.attribute.learning import FOLDS, Known, calibrate, calibrate_learner
from attacks.attribute.pooling import (
    CANDIDATES,
    choose_neighbours,
    fit_whitening,
    folds,
    pool_neighbours,
)
from attacks.attribute.scoring import attribute_measurements, score_attributes
from auditor.errors import UnsupportedTargetError
from auditor.statistics.intervals import proportion
from auditor.types import MemoryImages, Split


def split(pids, **attributes):
    columns = {name: torch.tensor(values) for name, values in attributes.items()}
    images = MemoryImages(torch.zeros(len(pids), 3, 1, 1, dtype=torch.uint8))
    return Split(images, torch.tensor(pids), torch.zeros(len(pids), dtype=torch.long), columns)


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


class TestColours:
    def test_yes_or_no_columns_become_one_attribute_beside_them(self):
        known = split(
            [1, 2, 3, 4], upred=[0, 1, 0, 0], upblue=[1, 0, 0, 0], upblack=[0, 0, 1, 0], up=[0] * 4
        )
        (found,) = with_colours(known)
        assert found.attributes["up_colour"].tolist() == [1, 2, 0, -1]  # black, blue, red
        assert set(found.attributes) == {"upred", "upblue", "upblack", "up", "up_colour"}
        assert "up_colour" not in known.attributes

    @pytest.mark.parametrize(
        ("red", "blue", "black"),
        [([1, 0], [1, 0], [0, 1]), ([2, 0], [0, 1], [0, 0])],
        ids=["two at once", "three values"],
    )
    def test_columns_that_exclude_each_other_nowhere_stay_as_they_are(self, red, blue, black):
        (found,) = with_colours(split([1, 2], upred=red, upblue=blue, upblack=black))
        assert "up_colour" not in found.attributes

    def test_all_splits_must_keep_to_it(self):
        good = split([1, 2], upred=[1, 0], upblue=[0, 1], upblack=[0, 0])
        bad = split([3, 4], upred=[1, 0], upblue=[1, 1], upblack=[0, 0])
        assert "up_colour" not in with_colours(good, bad)[0].attributes

    def test_other_names_are_no_palette(self):
        assert palettes(["hat", "bag", "hair", "age", "upper_colour", "red", "blue", "green"]) == {}
        assert palettes(["up_red", "up_blue", "up_dark grey"]) == {}
        assert set(palettes([f"coat_{c}" for c in ("red", "blue", "grey")])) == {"coat"}


class TestLabels:
    def test_a_column_without_any_annotation_is_not_attacked(self):
        sides = [split([1, 2, 3, 4], hat=[0, 1, 0, 1], age=[-1] * 4)] * 2
        assert attackable(*sides, 2) == {"hat": [0, 1]}
        assert recode(sides[0], {"hat": [0, 1]})[:, 0].tolist() == [0, 1, 0, 1]

    def test_without_attributes_the_way_out_is_named(self):
        with pytest.raises(UnsupportedTargetError, match="add columns"):
            attackable(split([1]), split([2]), 1)
        with pytest.raises(UnsupportedTargetError, match="set min_people lower"):
            attackable(*[split([1, 2, 3, 4], hat=[0, 1, 0, 1])] * 2, 3)


class TestRareValues:
    """Twenty people carry either of two values, five a third one."""

    people = split(list(range(1, 46)), hat=[0] * 20 + [1] * 20 + [2] * 5)

    def test_what_too_few_people_carry_is_not_measured_and_said_to_be_so(self):
        codes = attackable(self.people, self.people, MEASURABLE)
        assert codes == {"hat": [0, 1]}
        found = score_attributes([torch.eye(2)[[0] * 20 + [1] * 25]], self.people, codes, {"hat"})
        assert found.measurements[0].n == 40
        assert found.notes[1] == "not measured, values that too few people carry: hat (5 people)"

    def test_all_right_among_few_carriers_is_less_sure_than_among_many(self):
        lows = [
            attribute_measurements("hat", np.repeat(np.eye(4)[[0, 3]], [200, few], axis=0), 2)[
                0
            ].low
            for few in (5, 20, 200)
        ]
        # half of the figure is the recall of the few: Clopper and Pearson
        assert lows == sorted(lows)
        assert lows[0] == pytest.approx((1 + proportion(5, 5)[0]) / 2, abs=0.02)


class TestRows:
    def test_pooling_is_the_mean_of_the_nearest(self):
        rows = torch.nn.functional.normalize(torch.randn(50, 6, generator=generator()), dim=1)
        for neighbours in (0, 3, 99):
            nearest = np.argsort(-(rows @ rows.T).numpy(), axis=1)[:, : neighbours + 1]
            wanted = torch.stack([rows[list(r)].mean(0) for r in nearest])
            pooled = pool_neighbours(rows, neighbours)
            assert torch.allclose(pooled, wanted, atol=1e-6)
            some = torch.tensor([3, 41])
            assert torch.equal(pool_neighbours(rows, neighbours, some), pooled[some])

    def test_whitening_evens_out_the_spread_within_people(self):
        pids = torch.arange(60).repeat_interleave(20)
        centres = torch.randn(60, 5, generator=generator()) + 4
        steps = 0.2 * torch.randn(1200, 5, generator=generator(1)) * torch.tensor([9.0, 1, 1, 1, 1])
        features = centres[pids] + steps
        rows = fit_whitening(features, pids)(features)
        assert torch.allclose(rows.norm(dim=1), torch.ones(1200), atol=1e-5)
        noisy, clean = ((x[pids == 0] - x[pids == 0].mean(0)).var(0) for x in (features, rows))
        assert clean.max() / clean.min() < (noisy.max() / noisy.min()) / 4

    @pytest.mark.parametrize("images", [1, 3])
    def test_constant_features_and_single_images_stay_finite(self, images):
        pids = torch.arange(8).repeat_interleave(images)
        for features in (torch.ones(len(pids), 4), torch.randn(len(pids), 4)):
            assert fit_whitening(features, pids)(features).isfinite().all()

    def test_a_person_lies_in_one_fold(self):
        pids = torch.arange(10).repeat(4)
        found = folds(pids, 3, generator())
        assert {len(found[pids == p].unique()) for p in range(10)} == {1}
        assert found.unique().tolist() == [0, 1, 2]

    def test_neighbours_are_pooled_where_people_are_clusters_and_nowhere_else(self):
        pids = torch.arange(80).repeat_interleave(9)
        centres = torch.randn(80, 12, generator=generator())
        labels = (centres[:, :1] > 0).long()[pids]
        rows = centres[pids] + 0.7 * torch.randn(720, 12, generator=generator(1))
        whiten = torch.nn.functional.normalize
        assert choose_neighbours(whiten(rows), labels, pids, [2], generator()) in CANDIDATES[1:]
        # one image each: whoever is near is somebody else, and only blurs
        alone = torch.randn(300, 4, generator=generator(2))
        alone = whiten(alone)
        sign = (alone[:, :1] * alone[:, 1:2] > 0).long()
        exact = torch.cat([alone, 0.3 * (2.0 * sign - 1)], dim=1)
        ids = torch.arange(300)
        assert choose_neighbours(whiten(exact), sign, ids, [2], generator()) == 0


class TestCalibration:
    def test_a_shifted_score_is_cut_between_the_classes(self):
        labels = torch.arange(200) % 2
        gap = 3.0 + labels + 0.1 * torch.randn(200, generator=generator())
        scores = torch.stack([torch.zeros(200), gap], dim=1).double()
        assert (scores.argmax(1) == 1).all()
        found = calibrate(scores, labels, torch.ones(200).double(), scores)
        assert torch.equal(found.argmax(1), labels)

    def test_many_classes_are_cut_one_against_the_rest(self):
        labels = torch.arange(300) % 3
        scores = torch.nn.functional.one_hot(labels, 3).double() + torch.tensor([0.0, 9, -9])
        scores += 0.05 * torch.randn(300, 3, generator=generator())
        found = calibrate(scores, labels, torch.ones(300).double(), scores)
        assert torch.equal(found.argmax(1), labels)

    def test_nothing_known_changes_nothing(self):
        scores = torch.randn(5, 2, generator=generator()).double()
        fresh = torch.full((4, 2), torch.nan).double()
        found = calibrate(fresh, torch.tensor([0, 1, 0, 1]), torch.ones(4).double(), scores)
        assert torch.equal(found.argmax(1), scores.argmax(1))

    def test_nobody_calibrates_on_people_learned_from(self):
        pids = torch.arange(12).repeat_interleave(2)
        known = Known(torch.randn(24, 3), (pids % 2)[:, None], pids, (2,))
        seen = []

        def learn(part):
            seen.append(set(part.pids.tolist()))
            return lambda rows: [torch.zeros(len(rows), 2)]

        calibrate_learner(learn, known, folds(pids, FOLDS, generator()), torch.randn(4, 3))
        *parts, everybody = seen
        assert everybody == set(range(12))
        assert set.intersection(*parts) == set()
        assert all(len(part) == 8 for part in parts)

    def test_classes_and_people_weigh_the_same(self):
        known = Known(
            torch.zeros(5, 1),
            torch.tensor([[0], [0], [0], [1], [-1]]),
            torch.tensor([1, 1, 2, 3, 4]),
            (2,),
        )
        weights = known.weights[:, 0]
        assert weights.sum() == pytest.approx(4)
        assert weights.tolist() == pytest.approx([0.5, 0.5, 1, 2, 0])
