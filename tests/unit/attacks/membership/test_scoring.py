"""Scores to figures: what the split gives away is not called memory, and chance stays chance."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score

from attacks.membership.scoring import Level, Scores, blind_extractors, score_membership


def people(members, others, pictures=3):
    """As many candidates, with as many pictures each; a stand-in for `Candidates`."""
    inside = torch.arange(members + others) < members
    person = torch.arange(members + others).repeat_interleave(pictures)
    return SimpleNamespace(people_are_members=inside, member=inside[person], person=person)


def level(ours, blind, members):
    member = np.arange(len(ours)) < members
    first, second = (torch.as_tensor(np.asarray(s, dtype=float)) for s in (ours, blind))
    return Level("identity", first, {"one": second}, member, np.arange(len(ours)))


def figures(ours, *blind, **sides):
    given = people(**sides)

    def scores(identity):
        return Scores(identity, identity[given.person])

    names = ["one", "two"][: len(blind)]
    unseen = {name: scores(given) for name, given in zip(names, blind, strict=True)}
    result = score_membership(given, scores(ours), unseen, "known to nobody")
    return {m.metric: m for m in result.measurements}, result


def normal(n, seed):
    return torch.randn(n, generator=torch.Generator().manual_seed(seed)).double()


class TestFigures:
    def test_memory_is_found_where_the_blind_extractor_finds_nothing(self):
        ours = normal(80, 0) + 4 * (torch.arange(80) < 30)
        found, result = figures(ours, normal(80, 1), members=30, others=50)
        assert list(found)[:3] == ["identity_excess", "identity_auc", "blind_identity_auc.one"]
        assert found["identity_excess"].low > 0.5
        assert found["identity_auc"].value == pytest.approx(
            roc_auc_score(np.arange(80) < 30, ours.numpy())
        )
        assert found["identity_excess"].chance == 0
        assert {m.n for m in result.measurements} == {30}
        assert "30 members, 50 non-members" in result.notes[1]

    def test_the_same_scores_from_both_extractors_are_no_memory(self):
        ours = normal(80, 0) + 4 * (torch.arange(80) < 30)
        found, _ = figures(ours, ours, members=30, others=50)
        assert found["identity_auc"].low > 0.9
        assert found["identity_auc"].chance == found["identity_auc"].value
        excess = found["identity_excess"]
        assert (excess.value, excess.low) == (0, 0)
        assert found["image_tpr_at_fpr_1pct"].chance == found["image_tpr_at_fpr_1pct"].value

    def test_the_best_blind_extractor_counts(self):
        inside = torch.arange(80) < 30
        ours = normal(80, 0) + 4 * inside
        blind = normal(80, 1), normal(80, 2) + 2 * inside
        found, _ = figures(ours, *blind, members=30, others=50)
        best = found["blind_identity_auc.two"].value
        assert found["blind_identity_auc.one"].value < best
        assert found["identity_auc"].chance == best
        area = found["identity_auc"].value
        assert found["identity_excess"].value == pytest.approx(2 * (area - best))

    def test_a_blind_extractor_that_is_wrong_lends_nothing(self):
        """Below ½ the blind AUC is bad luck or a shift the other way, not a head start."""
        ours = normal(80, 0)
        found, _ = figures(ours, ours - 9 * (torch.arange(80) < 30), members=30, others=50)
        assert found["blind_identity_auc.one"].value < 0.1
        value = found["identity_auc"].value
        assert found["identity_excess"].value == pytest.approx(max(0, 2 * value - 1))
        assert found["identity_auc"].chance == 0.5

    def test_perfect_scores_of_few_people_keep_a_width(self):
        ours = torch.arange(20).flip(0).double()
        found, _ = figures(ours, torch.zeros(20).double(), members=8, others=12)
        assert found["identity_auc"].value == 1
        assert 0.7 < found["identity_auc"].low < 0.85
        assert found["identity_excess"].value == 1
        assert 0.4 < found["identity_excess"].low < 0.8

    def test_rates_need_non_members_enough_to_count_them(self):
        for others, identity, image in ((20, 0, 0), (99, 0, 1), (100, 1, 1), (400, 1, 2)):
            ours, blind = normal(10 + others, 2), normal(10 + others, 3)
            found, result = figures(ours, blind, members=10, others=others)
            rates = [name for name in found if "tpr" in name]
            assert sum(name.startswith("identity") for name in rates) == identity
            assert sum(name.startswith("image") for name in rates) == image
            left_out = [note for note in result.notes if note.startswith("no TPR at")]
            assert len(left_out) == (identity < 2) + (image < 2)

    def test_the_roc_starts_at_one_non_member_in_all(self):
        ours = normal(90, 0) + (torch.arange(90) < 40)
        found, result = figures(ours, normal(90, 1), members=40, others=50)
        (curve,) = result.curves
        assert (curve.name, curve.metric, curve.log_x) == ("roc", "identity_tpr", True)
        assert curve.points[0][0] == 1 / 50
        assert curve.points[-1][:2] == (1, 1)
        values = [point[1] for point in curve.points]
        assert values == sorted(values)
        assert all(low <= value <= high for _, value, low, high in curve.points)
        assert f"{found['identity_auc'].value:.3f}" in curve.statement

    def test_pictures_of_one_person_do_not_narrow_the_interval(self):
        ours, blind = normal(60, 0), normal(60, 1)
        widths = []
        for pictures in (1, 8):
            found, _ = figures(ours, blind, members=30, others=30, pictures=pictures)
            widths.append(found["image_auc"].high - found["image_auc"].low)
        assert widths[0] == pytest.approx(widths[1])

    def test_the_blind_extractor_is_one_for_the_whole_run(self):
        device = torch.device("cpu")
        assert blind_extractors(device) is blind_extractors(device)


class TestCalibration:
    """Over many worlds without memory, the excess is claimed no more often than it may be."""

    @pytest.mark.parametrize("shift", [0.0, 2.0])
    def test_an_equal_shift_under_both_extractors_is_rarely_called_memory(self, shift):
        rng, members, worlds = np.random.default_rng(int(shift)), 30, 200
        inside = np.arange(80) < members
        claims = 0
        for _ in range(worlds):
            ours, blind = rng.standard_normal((2, 80)) + shift * inside
            claims += level(ours, blind, members).excess().low > 0
        # one-sided 2.5%, and what 200 draws may add to it
        assert claims / worlds <= 0.055

    def test_a_real_excess_is_found_on_top_of_a_shift(self):
        rng, inside = np.random.default_rng(5), np.arange(200) < 80
        found = 0
        for _ in range(20):
            ours, blind = rng.standard_normal((2, 200)) + np.outer([2.0, 0.7], inside)
            found += level(ours, blind, 80).excess().low > 0
        assert found >= 19

    def test_intervals_of_the_area_cover_it(self):
        from scipy.stats import norm

        rng, inside, truth = np.random.default_rng(9), np.arange(60) < 25, norm.cdf(1 / 2**0.5)
        covered = 0
        for _ in range(150):
            area = level(rng.standard_normal(60) + inside, np.zeros(60), 25).figures()[0]
            covered += area.low <= truth <= area.high
        assert covered / 150 > 0.9
