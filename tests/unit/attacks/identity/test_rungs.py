"""The closed-form rungs beside the trained attacks, on features whose answer is known."""

from dataclasses import replace

import pytest
import torch

from attacks.attribute import AttributeLogistic
from attacks.identity import (
    IdentityClassifier,
    IdentityLda,
    IdentityLinear,
    IdentityMlp,
    IdentityPlda,
    IdentityTransductive,
)
from attacks.protocol import sampling
from attacks.protocol.closed_set import score_names, split_by_camera, split_by_image
from auditor.errors import UnsupportedTargetError
from auditor.types import MemoryImages, ReIDDataset, RunContext, Split, Target


class Table(torch.nn.Module):
    """Gives row i of a table for the picture whose first pixel says i."""

    input_size = (1, 2)

    def __init__(self, rows):
        super().__init__()
        self.rows, self.feature_dim = rows, rows.shape[1]

    def forward(self, images):
        code = (images[:, :2, 0, 0] * 255).round().long()
        return self.rows[code[:, 0] * 256 + code[:, 1]]


def split(first, pids, **attributes):
    index = torch.arange(first, first + len(pids))
    pixels = torch.zeros(len(pids), 3, 1, 2, dtype=torch.uint8)
    pixels[:, 0] = (index // 256).byte()[:, None, None]
    pixels[:, 1] = (index % 256).byte()[:, None, None]
    return Split(MemoryImages(pixels), pids, torch.zeros_like(pids), attributes)


def world(features, gallery_pids, auxiliary_pids, gallery_tall=None, auxiliary_tall=None):
    tall = {} if gallery_tall is None else {"tall": gallery_tall}
    other = {} if auxiliary_tall is None else {"tall": auxiliary_tall}
    gallery = split(0, gallery_pids, **tall)
    auxiliary = split(len(gallery_pids), auxiliary_pids, **other)
    data = ReIDDataset(
        "table", auxiliary, gallery, gallery, auxiliary, attribute_values={"tall": ("no", "yes")}
    )
    return Target(Table(features), data)


@pytest.fixture
def ctx(tmp_path):
    return RunContext(workdir=tmp_path)


def clouds(people, images, dim, spread, seed=0):
    """Gaussian clouds of people around random centres, rows in the order of people."""
    generator = torch.Generator().manual_seed(seed)
    centres = torch.randn(people, dim, generator=generator).repeat_interleave(images, 0)
    return centres + spread * torch.randn(len(centres), dim, generator=generator)


IDENTITY = [
    IdentityLda(),
    IdentityPlda(),
    IdentityTransductive(),
    IdentityClassifier(epochs=60),
    IdentityLinear(),
    IdentityMlp(hidden=64),
]


@pytest.mark.parametrize("attack", IDENTITY, ids=repr)
@pytest.mark.parametrize("people", [2, 12])
def test_tight_clouds_are_named_and_loose_ones_are_not(attack, people, ctx):
    pids = torch.arange(1, people + 1).repeat_interleave(12)
    other = torch.arange(people + 1, people + 3)
    for spread, wanted in ((0.1, 1.0), (1e4, 1 / people)):
        features = torch.cat([clouds(people, 12, 24, spread), torch.zeros(2, 24)])
        found = attack.run(world(features, pids, other), ctx).measurements[0]
        assert found.chance == pytest.approx(1 / people)
        assert found.low <= wanted <= found.high, (spread, found)


def test_lda_beats_the_softmax_where_the_noise_has_a_direction(ctx):
    """The covariance is what LDA knows: noise along one axis costs it nothing."""
    people = 20
    pids = torch.arange(1, people + 1).repeat_interleave(10)
    features = clouds(people, 10, 16, 0.3)
    features[:, 0] += 50 * torch.randn(len(features), generator=torch.Generator().manual_seed(1))
    target = world(torch.cat([features, torch.zeros(2, 16)]), pids, torch.tensor([90, 91]))
    assert IdentityLda(shrinkage=0.01).run(target, ctx).measurements[0].value > 0.9


def test_top5_counts_what_top1_misses():
    logits = torch.tensor([[5.0, 4, 3, 2, 1, 0], [0, 1, 2, 3, 4, 5]])
    people = torch.tensor([10, 20, 30, 40, 50, 60])
    top1, top5 = score_names(logits, people, torch.tensor([20, 10])).measurements
    assert (top1.value, top5.value) == (0.0, 0.5)
    assert top5.chance == pytest.approx(5 / 6)


def test_the_split_shares_every_person_and_leaves_out_who_has_one_image():
    pids = torch.tensor([0, 0, 1, 1, 1, 2, 3, 3])
    known, asked = split_by_image(pids, 0.5, torch.Generator().manual_seed(0))
    assert set(pids[known].tolist()) == set(pids[asked].tolist()) == {1, 3}
    assert not set(known.tolist()) & set(asked.tolist())
    with pytest.raises(UnsupportedTargetError, match="two gallery images: 1;"):
        split_by_image(torch.tensor([1, 1, 2]), 0.5, torch.Generator())


def test_cameras_are_split_in_half_and_people_seen_by_both_halves_stay():
    pids = torch.tensor([1, 1, 1, 2, 2, 3, 3, 0, 0, 4, 4])
    camids = torch.tensor([0, 1, 2, 0, 3, 0, 1, 0, 3, 1, 2])
    known, asked = split_by_camera(pids, camids, 0.5)
    assert camids[known].max() < camids[asked].min()
    assert set(pids[known].tolist()) == set(pids[asked].tolist()) == {1, 2, 4}


@pytest.mark.parametrize("camids", [[0, 0, 0, 0], [-1, -1, -1, -1]], ids=["one", "unknown"])
def test_one_camera_cannot_be_crossed(camids):
    with pytest.raises(UnsupportedTargetError, match="camera"):
        split_by_camera(torch.tensor([1, 1, 2, 2]), torch.tensor(camids), 0.5)


def test_one_person_who_crosses_cameras_is_no_closed_set():
    with pytest.raises(UnsupportedTargetError, match="halves of the cameras: 1;"):
        split_by_camera(torch.tensor([1, 1, 2]), torch.tensor([0, 1, 0]), 0.5)


@pytest.mark.parametrize(
    "attack", [type(a)(split="camera") for a in IDENTITY], ids=lambda a: type(a).__name__
)
def test_people_are_named_across_cameras(attack, ctx):
    pids = torch.arange(1, 13).repeat_interleave(8)
    features = torch.cat([clouds(12, 8, 16, 0.1), torch.zeros(2, 16)])
    target = world(features, pids, torch.tensor([90, 91]))
    gallery = replace(target.data.gallery, camids=torch.arange(96) % 4)
    data = replace(target.data, gallery=gallery)
    result = attack.run(replace(target, data=data), ctx)
    assert result.measurements[0].value > 0.7
    assert "other cameras" in result.notes[0]


def test_logistic_regression_reads_a_linear_attribute_of_strangers(ctx):
    generator = torch.Generator().manual_seed(0)
    features = torch.randn(400, 8, generator=generator)
    tall = (features[:, 0] > 0).long()
    pids = torch.arange(1, 401)
    target = world(features, pids[:200], pids[200:], tall[:200], tall[200:])
    result = AttributeLogistic(inverse_penalty=1.0).run(target, ctx)
    figures = {m.metric: m for m in result.measurements}
    assert figures["tall.balanced_accuracy"].value > 0.95
    assert figures["mean_balanced_accuracy"].value == figures["tall.balanced_accuracy"].value
    shuffled = tall[torch.randperm(400, generator=generator)]
    blind = world(features, pids[:200], pids[200:], shuffled[:200], shuffled[200:])
    found = AttributeLogistic(inverse_penalty=1.0).run(blind, ctx).measurements[0]
    assert found.low <= 0.5 <= found.high


def test_logistic_regression_learns_through_the_release(ctx):
    """Features arrive inverted; a probe that never saw the release would guess the opposite."""
    features = torch.randn(400, 8, generator=torch.Generator().manual_seed(0))
    tall, pids = (features[:, 0] > 0).long(), torch.arange(1, 401)
    target = world(features, pids[:200], pids[200:], tall[:200], tall[200:])
    inverted = replace(target, release=lambda f, g: -f)
    assert AttributeLogistic(inverse_penalty=1.0).run(inverted, ctx).measurements[0].value > 0.9


def test_names_put_aside_hold_a_training_back_where_noise_is_learned_by_heart(ctx):
    pids = torch.arange(1, 41).repeat_interleave(8)
    features = torch.cat([clouds(40, 8, 64, 2.5), torch.zeros(2, 64)])
    target = world(features, pids, torch.tensor([90, 91]))
    assert "weight decay of 1," in IdentityClassifier(epochs=60).run(target, ctx).notes[-1]


def test_no_training_is_longer_than_it_was_asked_to_be(ctx):
    pids = torch.arange(1, 7).repeat_interleave(6)
    target = world(torch.cat([clouds(6, 6, 8, 0.5), torch.zeros(2, 8)]), pids, torch.tensor([8, 9]))
    note = IdentityClassifier(epochs=1).run(target, ctx).notes[-1]
    assert note.startswith("trained for 1 epochs")


@pytest.mark.parametrize("attack", IDENTITY, ids=repr)
def test_in_a_large_gallery_some_people_are_named(attack, ctx, monkeypatch):
    monkeypatch.setattr(sampling, "WHOLE", 71)
    monkeypatch.setattr(sampling, "PEOPLE", 5)
    pids = torch.arange(1, 13).repeat_interleave(12)
    features = torch.cat([clouds(12, 12, 24, 0.1), torch.zeros(2, 24)])
    result = attack.run(world(features, pids, torch.tensor([13, 14])), ctx)
    top1, notes = result.measurements[0], " ".join(result.notes)
    assert (top1.value, top1.n) == (1.0, 5)
    # what learns names one by one learns those; to the others everybody is there
    learned = 5 if "names of 5 people" in notes else 12
    assert top1.chance == pytest.approx(1 / learned)
    assert (learned == 5) is not isinstance(attack, IdentityLda | IdentityPlda)
    assert "drawn at random" in notes
