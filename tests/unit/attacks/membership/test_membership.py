"""Membership attacks on candidates, statistics and worlds whose answer is known."""

from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from attacks.membership import (
    MembershipAugmentation,
    MembershipCompactness,
    MembershipLira,
    MembershipSimilarity,
)
from attacks.membership.candidates import candidates_of, divide_people, strangers_of
from attacks.membership.controls import make_null_memory, make_planted_memory
from attacks.membership.scoring import blind_extractors
from attacks.membership.shadows import train_shadow
from attacks.membership.similarity import LEVELS, quantiles
from attacks.membership.statistics import (
    CHANGES,
    compactness,
    consistency,
    nearness,
    per_person,
)
from auditor.data.synthetic import make_world
from auditor.errors import UnsupportedTargetError
from auditor.types import MemoryImages, ReIDDataset, RunContext, Split, Target
from tests import worlds

ATTACKS = [
    MembershipCompactness(),
    MembershipAugmentation(per_person=2),
    MembershipSimilarity(),
    MembershipLira(shadows=1, epochs=1, width=8, image_size=(32, 16), per_person=2),
]


class Pixels(torch.nn.Module):
    """Features are the pixels of a tiny copy: sensitive to all light, trained on nobody."""

    feature_dim = 96
    input_size = (8, 4)

    def forward(self, images):
        return images.flatten(1)


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def split(pids, seed=0):
    pids = torch.as_tensor(pids, dtype=torch.long)
    pixels = torch.randint(256, (len(pids), 3, 8, 4), generator=generator(seed)).byte()
    return Split(MemoryImages(pixels), pids, torch.zeros_like(pids))


def dataset(train, query, gallery, auxiliary):
    parts = [split(pids, seed) for seed, pids in enumerate((train, query, gallery, auxiliary))]
    return ReIDDataset("random", *parts)


def twice(*pids):
    return [pid for pid in pids for _ in range(2)]


@pytest.fixture
def ctx(tmp_path):
    return RunContext(workdir=tmp_path)


def figures(attack, target, ctx):
    return {m.metric: m for m in attack.run(target, ctx).measurements}


class TestCandidates:
    # 9 is trained on and the adversary's own; 24 is attacked and was trained on as well; 5 and 25
    # have one picture; 0 is nobody
    data = dataset(
        train=[*twice(1, 2, 3, 4, 24, 9), 5],
        query=[20, 21, 22, 23, 24],
        gallery=[20, 21, 22, 23, 24, 25, 0, 0],
        auxiliary=twice(9, 10, 11, 12, 13),
    )

    def test_members_are_train_people_and_non_members_attacked_ones(self, ctx):
        found = candidates_of(Target(Pixels(), self.data), ctx)
        assert found.pids.tolist() == [*twice(1, 2, 3, 4, 24), 20, 21, 22, 23, 20, 21, 22, 23]
        assert found.member.tolist() == [True] * 10 + [False] * 8
        assert found.people_are_members.tolist() == [True] * 4 + [False] * 4 + [True]
        assert found.person[0] == 0
        assert found.person[8] == 8

    def test_features_and_pictures_are_of_the_same_rows(self, ctx):
        found = candidates_of(Target(Pixels(), self.data), ctx)
        picked = found.take(torch.tensor([17, 3, 11, 0]))
        images = picked.load(range(4), Pixels.input_size)
        assert torch.equal(images.flatten(1), picked.features(Pixels(), ctx))
        assert torch.equal(picked.load([2], Pixels.input_size)[0], images[2])
        assert torch.equal(images[1], self.data.train.images.load([3], (8, 4))[0])
        assert torch.equal(images[0], self.data.gallery.images.load([3], (8, 4))[0])

    @pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
    def test_known_and_attacked_share_nobody_and_hold_both_sides(self, share, ctx):
        people = candidates_of(Target(Pixels(), self.data), ctx)
        for seed in range(5):
            known, attacked = divide_people(people, share, generator(seed))
            assert not set(known.pids.tolist()) & set(attacked.pids.tolist())
            assert len(known) + len(attacked) == len(people)
            for side in (known, attacked):
                labels = side.people_are_members.tolist()
                assert labels.count(True) >= 2
                assert labels.count(False) >= 2

    def test_no_more_pictures_than_asked_for(self, ctx):
        people = strangers_of(dataset([], [], [], [7] * 5 + [8] * 2 + twice(9, 10)))
        found = people.at_most(3, generator())
        assert found.pids.bincount()[7:].tolist() == [3, 2, 2, 2]
        drawn = {tuple(people.at_most(3, generator(s)).rows.tolist()) for s in range(9)}
        assert len(drawn) > 1, "which pictures is random"

    @pytest.mark.parametrize("attack", ATTACKS, ids=lambda a: type(a).__name__)
    def test_without_members_an_attack_says_how_to_declare_them(self, attack, ctx):
        same = worlds.people()
        for data in (same, replace(same, train=same.train.take(torch.arange(0)))):
            with pytest.raises(UnsupportedTargetError, match="'train' in the manifest"):
                attack.run(Target(Pixels(), data), ctx)

    @pytest.mark.parametrize(
        ("train", "gallery", "part"),
        [
            (twice(1, 2, 3), twice(20, 21, 22, 23), "3 members"),
            (twice(1, 2, 3, 4), twice(20, 21, 22), "3 non-members"),
            ([1, 2, 3, 4], twice(20, 21, 22, 23), "0 members"),
        ],
    )
    def test_too_few_people_are_named(self, train, gallery, part, ctx):
        data = dataset(train, [20], gallery, twice(10, 11, 12, 13))
        with pytest.raises(UnsupportedTargetError, match=part):
            candidates_of(Target(Pixels(), data), ctx)

    def test_strangers_are_needed_to_compare_with(self):
        with pytest.raises(UnsupportedTargetError, match="auxiliary people with two pictures: 1;"):
            strangers_of(dataset([], [], [], [1, 1, 2]))


class TestStatistics:
    features = torch.randn(12, 5, generator=generator())
    pids = torch.tensor([4, 4, 4, 7, 7, 2, 2, 2, 2, 9, 9, 9])

    def test_compactness_is_the_mean_cosine_to_the_persons_other_pictures(self):
        person = self.pids.unique(return_inverse=True)[1]
        found = compactness(self.features, person)
        for row in range(12):
            others = [i for i in range(12) if self.pids[i] == self.pids[row] and i != row]
            cosines = F.cosine_similarity(self.features[[row]], self.features[others])
            assert found[row].item() == pytest.approx(cosines.mean().item(), abs=1e-6)

    def test_compactness_does_not_grow_with_the_number_of_pictures(self):
        centres = torch.randn(400, 8, generator=generator(1)).repeat_interleave(30, 0)
        cloud = centres + torch.randn(12000, 8, generator=generator(2))
        person = torch.arange(400).repeat_interleave(30)
        many = float(per_person(compactness(cloud, person), person).mean())
        few = torch.arange(12000) % 30 < 3
        small = float(per_person(compactness(cloud[few], person[few]), person[few]).mean())
        assert many == pytest.approx(small, abs=0.02)

    @pytest.mark.parametrize("neighbours", [1, 3])
    def test_nearness_looks_at_other_people_alone(self, neighbours):
        anchors, owners = self.features[::2] + 0.1, self.pids[::2]
        found = nearness(self.features, self.pids, anchors, owners, neighbours)
        for row in range(12):
            others = anchors[owners != self.pids[row]]
            cosines = F.cosine_similarity(self.features[[row]], others).sort(descending=True)
            wanted = cosines.values[:neighbours].mean().item()
            assert found[row].item() == pytest.approx(wanted, abs=1e-6)

    def test_quantiles_agree_with_numpy(self):
        anchors = torch.randn(37, 5, generator=generator(3))
        cosines = F.normalize(self.features) @ F.normalize(anchors).T
        wanted = np.quantile(cosines.numpy(), LEVELS, axis=1).T
        np.testing.assert_allclose(quantiles(self.features, anchors), wanted, atol=1e-6)

    def test_consistency_is_one_for_what_no_change_reaches(self, ctx):
        class Constant(Pixels):
            feature_dim = 3

            def forward(self, images):
                return torch.ones(len(images), 3)

        people = strangers_of(worlds.people())
        picked = people.take(torch.arange(9))
        assert consistency(Constant(), picked, ctx).tolist() == pytest.approx([1] * 9)
        assert (consistency(Pixels(), picked, ctx) < 1 - 1e-4).all()

    @pytest.mark.parametrize("name", CHANGES)
    @pytest.mark.parametrize("size", [(32, 16), (128, 64)])
    def test_changes_keep_shape_and_range_and_do_something(self, name, size):
        images = torch.rand(2, 3, *size, generator=generator())
        changed = CHANGES[name](images)
        assert changed.shape == images.shape
        assert changed.min() >= 0
        assert changed.max() <= 1
        assert (changed - images).abs().mean() > 0.005


class TestControls:
    def test_the_planted_extractor_knows_members_and_nobody_else(self, ctx):
        target = make_planted_memory(worlds.leaky(), ctx)
        people = candidates_of(target, ctx)
        packed = per_person(
            compactness(people.features(target.extractor, ctx), people.person), people.person
        )
        assert packed[people.people_are_members] == pytest.approx(torch.ones(50), abs=1e-5)
        assert packed[~people.people_are_members].max() < 0.8

    def test_members_stay_recognised_under_most_changes(self, ctx):
        target = make_planted_memory(worlds.leaky(), ctx)
        people = candidates_of(target, ctx)
        stable = consistency(target.extractor, people, ctx)
        assert stable[people.member].mean() > 0.8
        assert stable[~people.member].mean() < 0.7

    def test_a_separate_train_split_is_kept(self, ctx):
        data = TestCandidates.data
        for make in (make_planted_memory, make_null_memory):
            found = make(Target(Pixels(), data), ctx)
            assert torch.equal(found.data.train.pids, data.train.pids)
            assert torch.equal(found.data.auxiliary.pids, data.auxiliary.pids)

    def test_members_made_of_auxiliary_people_leave_the_adversary_some(self, ctx):
        data = make_null_memory(worlds.blind(), ctx).data
        train, auxiliary = (set(s.pids.tolist()) for s in (data.train, data.auxiliary))
        assert (len(train), len(auxiliary), train & auxiliary) == (50, 50, set())

    def test_too_few_people_make_no_control(self, ctx):
        few = dataset([], [20, 21], [20, 21], twice(1, 2, 3))
        with pytest.raises(UnsupportedTargetError, match="too few"):
            make_planted_memory(Target(Pixels(), few), ctx)


class TestHyperParameters:
    @pytest.mark.parametrize(
        ("attack", "field", "value"),
        [
            (MembershipLira, "shadows", 0),
            (MembershipLira, "per_person", 1),
            (MembershipCompactness, "neighbours", 0),
            (MembershipAugmentation, "per_person", 0),
            (MembershipSimilarity, "anchors", 1),
        ],
    )
    def test_nothing_to_work_with_is_refused(self, attack, field, value):
        with pytest.raises(ValueError, match=rf"{field}\n.*input_value={value}"):
            attack(**{field: value})


@pytest.fixture(scope="module")
def crowd():
    """Forty attacked people, forty in train, thirty auxiliary, all drawn alike."""
    world = make_world(identities=40, auxiliary=70, cameras=2, images_per_camera=2, seed=11)
    inside = world.auxiliary.pids <= 80
    train, auxiliary = (
        world.auxiliary.take(rows.nonzero().flatten()) for rows in (inside, ~inside)
    )
    return replace(world, train=train, auxiliary=auxiliary)


class TestShift:
    def test_brighter_pictures_of_members_are_shift_and_not_memory(self, crowd, ctx):
        """The audited extractor has never been trained, yet the plain AUC looks like a leak."""
        images = crowd.train.images.load(range(len(crowd.train)), (128, 64))
        bright = MemoryImages((255 * (0.45 + 0.55 * images)).round().byte())
        data = replace(crowd, train=replace(crowd.train, images=bright))
        found = figures(MembershipSimilarity(), Target(Pixels(), data), ctx)
        assert found["identity_auc"].low > 0.7
        assert found["blind_identity_auc.thumbnails"].low > 0.7
        assert found["identity_excess"].low == 0

    def test_without_shift_or_memory_nothing_is_claimed(self, crowd, ctx):
        for attack in ATTACKS[:3]:
            found = figures(attack, Target(Pixels(), crowd), ctx)
            assert found["identity_excess"].low == 0, attack

    def test_the_blind_extractor_audited_itself_has_no_excess(self, crowd, ctx):
        for name, extractor in blind_extractors(ctx.device).items():
            found = figures(MembershipCompactness(), Target(extractor, crowd), ctx)
            assert found["identity_excess"].value == 0
            assert found["identity_auc"].value == found[f"blind_identity_auc.{name}"].value


@pytest.fixture(scope="module")
def overfitted(crowd, tmp_path_factory):
    """A small network trained on the members until it knows them by heart."""
    return train_shadow(
        crowd.train,
        size=(32, 16),
        width=8,
        epochs=60,
        batch_size=40,
        lr=5e-3,
        name="overfitted",
        ctx=RunContext(workdir=tmp_path_factory.mktemp("shadow")),
    )


class TestOverfitting:
    @pytest.mark.slow
    @pytest.mark.parametrize(
        "attack",
        [MembershipCompactness(), MembershipLira(shadows=2, width=8, image_size=(32, 16))],
        ids=lambda a: type(a).__name__,
    )
    def test_people_known_by_heart_are_told_from_others(self, attack, overfitted, crowd, ctx):
        found = figures(attack, Target(overfitted, crowd), ctx)
        assert found["identity_auc"].value > 0.9
        assert found["identity_excess"].low > 0.3
