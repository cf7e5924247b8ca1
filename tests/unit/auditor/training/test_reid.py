"""Training of re-ID networks: who is in a batch, what the losses are, and that it helps."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from auditor.data.synthetic import make_world
from auditor.errors import DataError, UsageError
from auditor.models.architectures.branches import Branches, branches
from auditor.models.architectures.osnet import OSNet
from auditor.models.card import Card
from auditor.models.extractor import CardedExtractor
from auditor.models.reference import ReferenceNet
from auditor.training import Recipe, train_reid
from auditor.training.augment import GREY, augment
from auditor.training.job import utility
from auditor.training.learner import Learner, folded, identity_dims
from auditor.training.losses import batch_hard
from auditor.training.sampler import PeopleSampler, pictures
from auditor.types import RunContext

CARD = Card(height=64, width=32, l2_norm=True)
STILL = Recipe(flip=0, zoom=0, shift=0, recolour=0, erase=0)


class Stripes(nn.Module):
    """Two views, one of them a wider one, and a loss of its own."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 3, stride=4)
        self.norm = nn.BatchNorm2d(8)
        self.wide = nn.Linear(8, 12)

    def branches(self, images):
        pooled = F.relu(self.norm(self.conv(images))).mean((2, 3))
        return Branches((pooled,), (pooled, self.wide(pooled)), own=pooled.square().mean())

    def forward(self, images):
        return self.branches(images).identity[1]


def extractor(network=None, card=CARD):
    with torch.random.fork_rng():
        torch.manual_seed(3)
        return CardedExtractor(Stripes() if network is None else network(), card)


@pytest.fixture(scope="module")
def world():
    return make_world(identities=12, auxiliary=24, cameras=3, images_per_camera=3, seed=5)


def sampler(views=4, people=3, steps=8, **changes):
    classes = torch.tensor([0] * 6 + [1] * 6 + [2] * 2 + [3] * 6 + [4] * 6)
    camids = torch.arange(len(classes)) % 3
    return PeopleSampler(classes, camids, people, views, steps, seed=1, **changes)


def test_a_batch_is_so_many_people_with_so_many_pictures():
    chosen = sampler()
    rows = torch.tensor(list(chosen)).view(8, 3, 4)
    assert len(chosen) == rows.numel()
    classes = chosen.classes[rows]
    assert (classes == classes[..., :1]).all()
    for batch in classes[..., 0]:
        assert len(batch.unique()) == 3


def test_everybody_comes_equally_often():
    chosen = sampler(steps=25)
    met = chosen.classes[torch.tensor(list(chosen))].bincount()
    assert (met == 25 * 3 * 4 / 5).all()


def test_a_person_is_shown_by_different_cameras_and_again_when_pictures_run_out():
    chosen = sampler(views=3)
    draw = torch.Generator().manual_seed(0)
    for person in (0, 1, 3):
        assert len(chosen.camids[chosen.choose(person, draw)].unique()) == 3
    assert sorted(sampler().choose(2, draw).tolist()) == [12, 12, 13, 13]


def test_epochs_differ_and_repeat():
    first, again, second = sampler(), sampler(), sampler()
    second.set_epoch(1)
    assert list(first) == list(again)
    assert list(first) != list(second)


def test_more_people_than_there_are_become_all_of_them():
    assert sampler(people=99).batch == 5 * 4


def test_pictures_leave_distractors_out_and_number_people(world):
    split = world.train.take(torch.arange(20))
    split.pids[:4] = 0
    shown = pictures(split, (32, 16))
    assert len(shown) == 16
    images, classes = zip(*shown.__getitems__([0, 5]), strict=True)
    assert images[0].shape == (3, 32, 16)
    assert torch.equal(shown[5][0], images[1])
    assert shown.classes.unique().tolist() == list(range(len(split.pids[4:].unique())))
    assert classes == (int(shown.classes[0]), int(shown.classes[5]))


def test_one_person_is_nothing_to_learn_from(world):
    split = world.train.take((world.train.pids == world.train.pids[0]).nonzero().flatten())
    with pytest.raises(DataError, match=r"1 person;.*audit data split"):
        pictures(split, (32, 16))


def test_augmented_pictures_stay_pictures():
    images = torch.rand(6, 3, 32, 16)
    twice = [augment(images, Recipe(), torch.Generator().manual_seed(3)) for _ in range(2)]
    assert torch.equal(*twice)
    assert twice[0].shape == images.shape
    assert twice[0].min() >= 0
    assert twice[0].max() <= 1


def test_each_augmentation_does_its_own_thing():
    images, draw = torch.rand(4, 3, 32, 16), torch.Generator()
    assert torch.allclose(augment(images, STILL, draw), images, atol=1e-5)
    only = {"flip": 0.0, "zoom": 0.0, "shift": 0.0, "recolour": 0.0, "erase": 0.0}
    mirrored = augment(images, Recipe(**{**only, "flip": 1.0}), draw)
    assert torch.allclose(mirrored, images.flip(3), atol=1e-5)
    erased = augment(images, Recipe(**{**only, "erase": 1.0}), draw)
    changed = ~torch.isclose(erased, images, atol=1e-5).all(1)
    assert (changed.flatten(1).sum(1) > 0).all()
    assert (erased.movedim(1, -1)[changed] == GREY).all()
    recoloured = augment(images, Recipe(**{**only, "recolour": 0.1}), draw) / images
    inner = recoloured[(images < 0.5) & (images > 0.1)]
    assert inner.std() > 0.05


def test_batch_hard_takes_the_hardest():
    features = torch.tensor([[0.0], [1.0], [1.5], [4.0]])
    loss = batch_hard(features, torch.tensor([0, 0, 1, 1]), margin=0.5)
    # positives at most 1, 1, 2.5, 2.5 away; negatives at least 1.5, 0.5, 0.5, 3
    expected = (0.0 + 1.0 + 2.5 + 0.0) / 4
    assert loss.item() == pytest.approx(expected)


def test_a_network_without_branches_is_trained_on_its_feature():
    network, images = nn.Sequential(nn.Flatten(), nn.Linear(12, 5)), torch.rand(2, 3, 2, 2)
    views = branches(network, images)
    assert torch.equal(views.metric[0], network(images))
    assert torch.equal(views.identity[0], network(images))
    assert views.own is None


def test_the_learner_sums_every_loss_it_is_given(world):
    class Constant(nn.Module):
        def forward(self, views, images, classes):
            assert images.shape[1:] == (3, 64, 32)
            return views.identity[0].new_tensor(7.0)

    model = extractor()
    learner = Learner(
        model, pictures(world.train, (64, 32)), STILL, {"seven": Constant()}, lambda name: 0
    )
    assert identity_dims(model) == [8, 12]
    images = torch.rand(8, 3, 64, 32)
    classes = torch.arange(8) // 2
    learner.eval()
    loss = learner.training_step((images, classes), 0)
    views = model.network.branches(model.prepare(images))
    softmax = [
        F.cross_entropy(head(view), classes, label_smoothing=0.1)
        for head, view in zip(learner.classifiers, views.identity, strict=True)
    ]
    triplet = batch_hard(F.normalize(views.metric[0]), classes, 0.3)
    expected = sum(softmax) / 2 + triplet + views.own + 7
    assert loss.item() == pytest.approx(expected.item(), rel=1e-5)


def test_a_network_that_labels_parts_looks_at_everybody_before_each_epoch(world):
    class Labelling(Stripes):
        looks = []  # noqa: RUF012

        def learn_parts(self, people, generator):
            seen = [len(images) for images in people]
            self.looks.append((len(seen), set(seen), generator.initial_seed()))

    recipe = Recipe(epochs=2, steps=1, people=4, precision="32")
    train_reid(extractor(Labelling), world.train, recipe, RunContext())
    (people, pictures_each, first), (_, _, second) = Labelling.looks
    assert people == 24
    assert pictures_each == {9}
    assert first != second


def test_folded_norms_are_told_from_fresh_and_from_trained_ones():
    network = OSNet("osnet_x0_25")
    assert not folded(network)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d | nn.BatchNorm1d):
            module.bias.data.fill_(0.3)
    assert folded(network)
    network.fc[1].running_var.fill_(2e-4)
    assert folded(network)  # an export that left the last one as it was
    network.train()(torch.rand(4, 3, 64, 32))
    assert not folded(network)


@pytest.mark.parametrize(("norm", "learns"), [("train", True), ("freeze", False)])
def test_statistics_learn_only_where_they_should(world, norm, learns):
    model = extractor()
    recipe = Recipe(epochs=1, steps=2, people=4, norm=norm, precision="32")
    trained = train_reid(model, world.train, recipe, RunContext())
    moved = trained.extractor.network.norm.running_mean.abs().sum() > 0
    assert bool(moved) == learns


def test_training_teaches_and_leaves_the_given_network_alone(world):
    model = extractor(ReferenceNet)
    kept = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    recipe = Recipe(epochs=4, steps=12, people=8, lr=2e-3, precision="32")
    trained = train_reid(model, world.train, recipe, RunContext())
    before, after = (utility(e, world, RunContext())[1] for e in (model, trained.extractor))
    assert after.metric == "map"
    assert after.value > before.value + 0.1
    assert not trained.extractor.training
    assert trained.classes == 24
    assert [epoch["epoch"] for epoch in trained.history] == [1, 2, 3, 4]
    assert trained.history[-1]["softmax"] < trained.history[0]["softmax"]
    assert trained.history[-1]["top1"] > trained.history[0]["top1"]
    assert all(torch.equal(kept[name], tensor) for name, tensor in model.state_dict().items())


def test_a_resumed_training_ends_where_an_uninterrupted_one_ends(world, tmp_path):
    recipe = Recipe(epochs=3, steps=2, people=4, precision="32")
    whole = train_reid(extractor(), world.train, recipe, RunContext())
    checkpoint = tmp_path / "train.ckpt"

    def stop(fraction, detail=""):
        if fraction > 0.7:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train_reid(
            extractor(), world.train, recipe, RunContext(progress=stop), checkpoint=checkpoint
        )
    assert checkpoint.is_file()
    resumed = train_reid(extractor(), world.train, recipe, RunContext(), checkpoint=checkpoint)
    assert resumed.history == whole.history
    again = resumed.extractor.state_dict()
    assert all(torch.equal(again[n], t) for n, t in whole.extractor.state_dict().items())


def test_a_checkpoint_of_another_training_is_refused(world, tmp_path):
    recipe = Recipe(epochs=1, steps=1, people=4, precision="32")
    checkpoint = tmp_path / "train.ckpt"
    train_reid(extractor(), world.train, recipe, RunContext(), checkpoint=checkpoint)
    other = Recipe(epochs=1, steps=1, people=4, lr=0.1, precision="32")
    with pytest.raises(UsageError, match="another recipe"):
        train_reid(extractor(), world.train, other, RunContext(), checkpoint=checkpoint)


def test_a_recipe_without_a_loss_is_refused():
    with pytest.raises(ValueError, match="nothing to learn from"):
        Recipe(softmax=0, triplet=0)
