"""Linkage of two releases: who stands in which, what counts, and what noise does to it."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from attacks.linkage import Linkage
from attacks.linkage.cosine import (
    Entries,
    mated_pairs,
    non_mated_pairs,
    person_scores,
    split_by_camera,
)
from attacks.protocol import sampling
from auditor.errors import AuditError, UnsupportedTargetError
from auditor.types import MemoryImages, ReIDDataset, RunContext, Split, Target
from defenses.dp_gallery import GalleryNoise
from tests import worlds


class Pixels(torch.nn.Module):
    """Features ``(B, 12)`` are the twelve channel values of a 2 × 2 picture, about their middle."""

    feature_dim = 12
    input_size = (2, 2)

    def forward(self, images):
        return images.flatten(1) - 0.5


def target(pids, camids, pictures, **options):
    """A gallery of 2 × 2 ``pictures (N, 12)`` in [0, 255]."""

    def split(rows):
        images = MemoryImages(pictures[rows].byte().reshape(-1, 3, 2, 2))
        return Split(images, torch.tensor(pids)[rows], torch.tensor(camids)[rows])

    none, every = slice(0, 0), slice(None)
    parts = split(none), split(none), split(every), split(none)
    return Target(Pixels(), ReIDDataset("drawn", *parts, **options))


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def crowd(people=30, cameras=2, spread=8, seed=0):
    """One picture of each person per camera, ``spread`` grey levels apart."""
    faces = torch.randint(40, 216, (people, 12), generator=generator(seed))
    pids = torch.arange(1, people + 1).repeat_interleave(cameras)
    camids = torch.arange(cameras).repeat(people)
    pictures = faces[pids - 1] + spread * torch.randn(len(pids), 12, generator=generator(seed + 1))
    return target(pids.tolist(), camids.tolist(), pictures.round().clamp(0, 255))


def measured(target, seed=0, **params):
    result = Linkage(**params).run(target, RunContext(seed=seed))
    return {m.metric: m for m in result.measurements}


class TestSplit:
    def test_a_person_is_in_both_releases_with_other_cameras(self):
        pids = torch.tensor([5, 5, 5, 5, 8, 8, 8, 0, 3])
        camids = torch.tensor([0, 0, 1, 2, 1, 1, 2, 0, 1])
        for seed in range(20):
            first, second = split_by_camera(pids, camids, generator(seed))
            assert sorted(first.tolist() + second.tolist()) == list(range(9))
            assert set(pids[first].tolist()) == {5, 8}
            assert {7, 8} <= set(second.tolist()), "distractors and one-camera people"
            for pid in (5, 8):
                ours, theirs = (set(camids[r][pids[r] == pid].tolist()) for r in (first, second))
                assert ours
                assert theirs
                assert not ours & theirs

    def test_images_without_a_camera_are_split_one_by_one(self):
        pids = torch.tensor([1, 1, 1, 1, 2, 2])
        first, second = split_by_camera(pids, torch.full((6,), -1), generator())
        assert pids[first].bincount().tolist() == [0, 2, 1]
        assert pids[second].bincount().tolist() == [0, 2, 1]

    @pytest.mark.parametrize("camids", [[0, 0, 0, 0], [0, 1, 2, 2]])
    def test_two_people_need_two_cameras(self, camids):
        with pytest.raises(UnsupportedTargetError, match="two such people"):
            split_by_camera(torch.tensor([1, 1, 2, 2]), torch.tensor(camids), generator())


class TestPairs:
    a = Entries(torch.eye(3, 4), torch.tensor([1, 1, 2]), torch.tensor([0, 1, 0]))
    b = Entries(torch.eye(4), torch.tensor([2, 1, 0, 3]), torch.tensor([2, 2, 1, 0]))

    def test_mated_are_all_pairs_of_one_person(self):
        assert mated_pairs(self.a, self.b).tolist() == [[0, 1], [1, 1], [2, 0]]

    def test_non_mated_are_two_people_and_two_cameras(self):
        pairs = non_mated_pairs(self.a, self.b, 99, generator()).tolist()
        assert pairs == [[0, 0], [1, 0], [2, 1]]

    def test_no_more_pairs_are_taken_than_asked_for(self):
        assert len(non_mated_pairs(self.a, self.b, 1, generator())) <= 1

    def test_a_large_world_is_sampled(self):
        pids = torch.arange(1, 301)
        many = Entries(torch.zeros(300, 1), pids, torch.full((300,), -1))
        pairs = non_mated_pairs(many, many, 50, generator())
        assert len(pairs.unique(dim=0)) == 50
        assert (pids[pairs[:, 0]] != pids[pairs[:, 1]]).all()

    def test_person_scores_are_means_over_pairs_from_two_cameras(self):
        rows = [torch.randn(12, 5, generator=generator(seed)) for seed in (1, 2)]
        labels = [torch.randint(1, 4, (12,), generator=generator(seed)) for seed in (3, 4)]
        cameras = [torch.randint(-1, 3, (12,), generator=generator(seed)) for seed in (5, 6)]
        a, b = (Entries(*row) for row in zip(rows, labels, cameras, strict=True))
        people = torch.tensor([1, 2, 3])
        cosines = torch.nn.functional.cosine_similarity(rows[0][:, None], rows[1][None], dim=2)
        apart = (cameras[0][:, None] != cameras[1]) | (cameras[1] < 0)
        wanted = [
            [cosines[apart & (a.pids == i)[:, None] & (b.pids == j)].mean() for j in people]
            for i in people
        ]
        found = person_scores(a, b, people)
        assert found.float().numpy() == pytest.approx(np.array(wanted), abs=1e-5, nan_ok=True)


class TestLinkage:
    def test_links_that_are_known_are_found(self):
        # 1 and 2 look the same from both cameras, 3 has a double, whom only one camera saw
        looks = 255 * torch.eye(4, 12)[[0, 0, 1, 1, 2, 3, 2, 3]]
        pids, camids = [1, 1, 2, 2, 3, 3, 4, 5], [0, 1] * 3 + [0, 0]
        rank1 = measured(target(pids, camids, looks))["linkage_rank1"]
        assert rank1.persons == {"1": (1, 1), "2": (1, 1), "3": (0, 1)}
        assert (rank1.value, rank1.n, rank1.chance) == (pytest.approx(2 / 3), 3, pytest.approx(0.2))

    def test_same_looks_link_and_the_figures_say_how_surely(self):
        found = measured(crowd())
        assert list(found) == ["linkage_rank1", "linkage_map", "d_sys"]
        assert found["linkage_rank1"].value > 0.9
        assert found["linkage_map"].value > 0.9
        assert found["d_sys"].low > 0.7
        assert found["d_sys"].n == 30
        assert found["linkage_rank1"].chance == pytest.approx(1 / 30)
        assert "p = 0.001" in found["d_sys"].note

    def test_in_a_large_gallery_some_people_are_looked_for_among_all(self, monkeypatch):
        monkeypatch.setattr(sampling, "WHOLE", 29)
        monkeypatch.setattr(sampling, "PEOPLE", 10)
        result = Linkage().run(crowd(), RunContext())
        rank1 = result.measurements[0]
        assert rank1.n == 10
        assert rank1.chance == pytest.approx(1 / 30)
        assert "10 entries of 10 people were looked for among 30 entries" in result.notes[0]
        assert "of 30 entries of 30 people" in result.notes[1]

    def test_chance_is_what_a_random_order_reaches(self):
        blind = replace(crowd(cameras=4), release=lambda f, g: torch.randn(f.shape, generator=g))
        runs = [measured(blind, seed, pairs=100) for seed in range(20)]
        for metric in ("linkage_rank1", "linkage_map"):
            values = [run[metric].value for run in runs]
            error = np.std(values) / np.sqrt(len(values))
            assert np.mean(values) == pytest.approx(runs[0][metric].chance, abs=3.5 * error)
        assert np.mean([run["d_sys"].low == 0 for run in runs]) > 0.8

    def test_noise_breaks_links(self):
        clear = crowd(people=40, cameras=3)
        found = []
        for epsilon in (1e5, 60, 1):
            noisy = GalleryNoise(epsilon=epsilon, delta=1e-3).apply(clear, RunContext())
            found.append(measured(noisy))
        for metric in ("linkage_rank1", "d_sys"):
            values = [figures[metric].value for figures in found]
            assert values[0] > values[1] + 0.1 > values[2] + 0.2, metric
            assert found[2][metric].low <= found[2][metric].chance + 0.02

    def test_the_second_release_is_another_draw(self):
        seen = []

        def release(features, generator):
            seen.append(torch.randn(features.shape, generator=generator))
            return features + 1e-3 * seen[-1]

        result = Linkage().run(replace(crowd(), release=release), RunContext())
        assert len(seen) == 2
        assert not torch.equal(*seen)
        assert not any("draws nothing" in note for note in result.notes)

    def test_a_bare_release_says_that_it_has_no_randomness(self):
        notes = Linkage().run(crowd(), RunContext()).notes
        assert any("the release is not random" in note for note in notes)

    def test_people_on_one_side_and_distractors_are_only_confusing(self):
        pids, camids = [1, 1, 2, 2, 3, 0], [0, 1, 0, 1, 0, 1]
        pictures = torch.randint(0, 256, (6, 12), generator=generator())
        result = Linkage().run(target(pids, camids, pictures), RunContext())
        rank1 = result.measurements[0]
        assert set(rank1.persons) == {"1", "2"}
        assert rank1.chance == pytest.approx(1 / 4)
        assert "people in the second release only: 1" in result.notes[0]

    def test_one_camera_worlds_are_linked_where_cameras_do_not_matter(self):
        pictures = torch.randint(0, 256, (4, 12), generator=generator())
        world = [1, 1, 2, 2], [0] * 4, pictures
        with pytest.raises(UnsupportedTargetError, match="two cameras"):
            measured(target(*world))
        assert measured(target(*world, cross_camera=False))["linkage_rank1"].n == 2

    def test_what_cannot_be_compared_is_left_out(self):
        # of two people, whoever is not the same person may have been seen by the same camera
        pictures = torch.randint(0, 256, (5, 12), generator=generator())
        two = target([1, 1, 2, 2, 3], [0, 1, 0, 1, 2], pictures)
        assert {len(measured(two, seed)) for seed in range(20)} == {2, 3}

    def test_a_release_that_breaks_is_refused(self):
        broken = replace(crowd(), release=lambda features, generator: features * torch.nan)
        with pytest.raises(AuditError, match="NaN"):
            measured(broken)


class TestControls:
    """The contract tests' two sides, also before the attack is installed."""

    def test_it_wins_where_everything_leaks_and_not_where_nothing_does(self):
        wins, blind = measured(worlds.leaky()), measured(worlds.blind())
        assert wins["linkage_rank1"].low > wins["linkage_rank1"].chance + 0.3
        assert wins["d_sys"].low > 0.5
        for m in blind.values():
            assert m.value - 1.7 * (m.value - m.low) <= m.chance + 1e-9, m

    def test_it_repeats_under_its_seed(self):
        first, second = (measured(worlds.leaky(), seed=3) for _ in range(2))
        assert first == second

    def test_numbers_that_are_none_are_refused(self):
        with pytest.raises(AuditError, match="NaN"):
            measured(Target(worlds.NanExtractor(), worlds.people()))


class Half(torch.nn.Module):
    """Another version of the planted leak: half as many features, which mean something else."""

    input_size = worlds.leaky().extractor.input_size

    def __init__(self, dim=150):
        super().__init__()
        self.feature_dim = dim

    def forward(self, images):
        mixing = torch.randn(288, self.feature_dim, generator=generator(3))
        return worlds.leaky().extractor(images) @ mixing


class TestTwoModels:
    def measured(self, **judges):
        ctx = RunContext(judges=judges, cache=worlds.plain_context().cache)
        return Linkage(second_model="newer").run(worlds.leaky(), ctx)

    def test_features_of_two_models_are_linked_by_translation(self):
        result = self.measured(newer=Half())
        found = {m.metric: m for m in result.measurements}
        assert found["linkage_rank1"].low > 0.7
        assert found["d_sys"].low > 0.5
        assert any("features of the model newer" in note for note in result.notes)

    def test_a_model_that_sees_nothing_is_not_linked(self):
        for m in self.measured(newer=worlds.blind().extractor).measurements:
            assert m.value - 1.7 * (m.value - m.low) <= m.chance + 1e-9, m

    def test_a_label_that_is_no_judge_is_refused(self):
        with pytest.raises(UnsupportedTargetError, match=r"'newer' is not a judge.*known: older"):
            self.measured(older=Half())

    def test_without_own_pictures_there_is_no_way_between_models(self):
        pictures = torch.randint(0, 256, (4, 12), generator=generator())
        alone = target([1, 1, 2, 2], [0, 1, 0, 1], pictures)
        with pytest.raises(UnsupportedTargetError, match="how the two models relate"):
            Linkage(second_model="newer").run(alone, RunContext(judges={"newer": Pixels()}))
