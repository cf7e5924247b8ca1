"""Gradient inversion: what clients share, and what comes back of which pictures."""

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from attacks.gradient import Dlg, GradientInversion, Idlg
from attacks.gradient.inverting import cosine_distance, trainable
from attacks.gradient.sharing import Gradient, labels_by_sign, lenet, sharing
from attacks.gradient.worlds import (
    DenseExtractor,
    NoiseImages,
    make_clear_target,
    make_noise_target,
)
from auditor.certification.controls import NullExtractor, PlantedLeak
from auditor.errors import UnsupportedTargetError
from auditor.models.card import Card
from auditor.models.extractor import CardedExtractor
from auditor.models.programs import ScriptNetwork
from auditor.types import RunContext, Target
from tests import worlds


def draw(*shape, seed=0, dtype=torch.float32):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def small_network(seed=0, classes=5):
    return lenet((8, 6), classes, torch.Generator().manual_seed(seed))


def random_gradients(count, seed):
    """Gradients of two parameters below a head of five classes and seven inputs."""
    parts = (draw(count, 3, 2, seed=seed), draw(count, 4, seed=seed + 1))
    return Gradient(parts, draw(count, 5, seed=seed + 2), draw(count, 7, seed=seed + 3))


def written_out(gradient):
    """Every parameter's gradient as one row ``(B, P)`` per picture, the head's matrix formed."""
    matrix = gradient.residuals[:, :, None] * gradient.inputs[:, None]
    return torch.cat([x.flatten(1) for x in (*gradient.parts, matrix, gradient.residuals)], dim=1)


def test_every_client_shares_what_it_would_share_alone():
    network, images = small_network(), torch.rand(4, 3, 8, 6)
    labels = draw(4, 5, seed=1).softmax(1)
    shared = written_out(sharing(network)(images, labels))
    for row in range(4):
        loss = F.cross_entropy(network(images[row : row + 1]), labels[row : row + 1])
        alone = torch.autograd.grad(loss, list(network.parameters()))
        assert torch.allclose(shared[row], torch.cat([g.flatten() for g in alone]), atol=1e-5)


def test_frozen_parameters_are_not_shared():
    network = small_network()
    network[0].requires_grad_(False)
    shared = sharing(network)(torch.rand(2, 3, 8, 6), F.one_hot(torch.arange(2), 5).float())
    assert len(shared.parts) == len(list(network[:-1].parameters())) - 2


def test_products_and_distances_are_those_of_gradients_written_out():
    ours, theirs = random_gradients(6, seed=0), random_gradients(6, seed=9)
    plain, other = written_out(ours), written_out(theirs)
    assert torch.allclose(ours.dot(theirs), (plain * other).sum(1), rtol=1e-5, atol=1e-5)
    assert torch.allclose(ours.squared_norm(), plain.square().sum(1), rtol=1e-5)
    assert torch.allclose(ours.squared_distance(theirs), (plain - other).square().sum(1), rtol=1e-5)
    cosines = F.cosine_similarity(plain, other, dim=1)
    assert torch.allclose(cosine_distance(ours, theirs), 1 - cosines, atol=1e-6)
    rows = torch.tensor([4, 1])
    assert torch.equal(written_out(ours.take(rows)), plain[rows])


def test_a_distance_far_below_the_norms_keeps_its_digits():
    theirs = random_gradients(6, seed=0)
    off = random_gradients(6, seed=9)
    near = Gradient(
        tuple(a + 1e-5 * b for a, b in zip(theirs.parts, off.parts, strict=True)),
        theirs.residuals + 1e-5 * off.residuals,
        theirs.inputs + 1e-5 * off.inputs,
    )
    exact = [
        written_out(
            Gradient(tuple(p.double() for p in g.parts), g.residuals.double(), g.inputs.double())
        )
        for g in (near, theirs)
    ]
    wanted = (exact[0] - exact[1]).square().sum(1)
    assert (wanted < 1e-8 * theirs.squared_norm()).all()
    assert torch.allclose(near.squared_distance(theirs).double(), wanted, rtol=1e-3)


def test_slopes_are_those_of_the_distance_written_out():
    """The plain reference: everything at once, every matrix formed, one picture at a time."""
    network, images = small_network(), torch.rand(3, 3, 8, 6)
    labels = F.one_hot(torch.arange(3), 5).float()
    shared = sharing(network)(torch.rand(3, 3, 8, 6), labels)
    objective = Idlg()._distance(sharing(network), shared, images.shape[1:])
    values, slopes = objective(images.flatten(1), torch.arange(3))
    for row in range(3):
        leaf = images[row : row + 1].clone().requires_grad_(True)
        loss = F.cross_entropy(network(leaf), shared.residuals[row].argmin()[None])
        gradient = torch.autograd.grad(loss, list(network.parameters()), create_graph=True)
        alone = torch.cat([part.flatten() for part in gradient])
        distance = (alone - written_out(shared)[row]).square().sum()
        (slope,) = torch.autograd.grad(distance, leaf)
        assert values[row] == pytest.approx(distance.item(), rel=1e-4)
        assert torch.allclose(
            slopes[row], slope.flatten(), rtol=1e-3, atol=1e-5 * slope.abs().max()
        )


def test_gradients_that_have_vanished_are_as_far_as_can_be():
    none = Gradient((torch.zeros(2, 3),), torch.zeros(2, 4), torch.ones(2, 5))
    some = Gradient((torch.ones(2, 3),), torch.ones(2, 4), torch.ones(2, 5))
    assert cosine_distance(none, some).tolist() == [1.0, 1.0]


def test_the_network_is_drawn_from_its_generator_and_keeps_the_resolution():
    before = torch.random.get_rng_state()
    one, two, other = small_network(), small_network(), small_network(seed=1)
    assert torch.equal(before, torch.random.get_rng_state())
    weights = [nn.utils.parameters_to_vector(n.parameters()) for n in (one, two, other)]
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])
    assert weights[0].abs().max() <= 0.5
    assert one[:-2](torch.rand(1, 3, 8, 6)).shape == (1, 12, 8, 6)


@pytest.mark.parametrize("seed", range(3))
def test_the_sign_of_the_gradient_is_the_label(seed):
    labels = torch.arange(40) % 5
    images = torch.rand(40, 3, 8, 6, generator=torch.Generator().manual_seed(seed))
    # weights far from saturation: a softmax of exactly one would leave no gradient at all
    network = small_network(seed)
    for parameter in network.parameters():
        parameter.data *= 0.2
    shared = sharing(network)(images, F.one_hot(labels, 5).float())
    assert ((shared.residuals < 0).sum(1) == 1).all()
    assert torch.equal(labels_by_sign(shared), labels)


@pytest.fixture
def ctx(tmp_path):
    return worlds.context(tmp_path)


def figures(attack, target, ctx):
    return {m.metric: m for m in attack.run(target, ctx).measurements}


def test_protected_pictures_come_back_as_they_were_published(ctx):
    hidden = make_noise_target(worlds.leaky(), ctx)
    result = Idlg(**worlds.QUICK["idlg"]).run(hidden, ctx)
    found = {m.metric: m for m in result.measurements}
    assert found["recovered"].value == 0.0
    assert found["recovered_published"].low > 0.5
    assert found["psnr_published"].value > 30 > found["psnr"].value
    assert any("protected" in note for note in result.notes)


def test_figures_of_unprotected_pictures_agree_with_each_other(ctx):
    found = figures(Idlg(**worlds.QUICK["idlg"]), worlds.leaky(), ctx)
    assert "recovered_published" not in found
    assert found["psnr"].low > 30 > found["psnr"].chance
    assert found["mse"].value < 1e-3 < found["mse"].chance
    assert found["ssim"].value > 0.9
    assert found["feature_cosine"].value > 0.99 > found["feature_cosine"].chance
    assert found["label_recovered"].chance == pytest.approx(1 / 24)


def test_batches_change_the_starts_but_not_the_outcome(ctx):
    params = {**worlds.QUICK["idlg"], "images": 8}
    whole = figures(Idlg(**params), worlds.leaky(), ctx)
    parts = figures(Idlg(**params, batch_size=3), worlds.leaky(), ctx)
    assert parts["recovered"].value == pytest.approx(whole["recovered"].value, abs=0.2)


def test_more_starts_are_never_a_worse_match(ctx):
    generator = torch.Generator().manual_seed(0)
    network = small_network(classes=4)
    share = sharing(network)
    images = torch.rand(4, 3, 8, 6, generator=generator)
    shared = share(images, F.one_hot(torch.arange(4), 4).float())

    def gap(restarts):
        attack = Idlg(iterations=1, restarts=restarts)
        seed = torch.Generator().manual_seed(1)
        found = attack._recover(share, shared, images.shape, seed)
        again = share(found.pictures, F.one_hot(found.labels, 4).float())
        return again.squared_distance(shared)

    once, thrice = gap(1), gap(3)
    assert (thrice <= once * 1.0001).all()
    assert (thrice < once).any()


def test_a_noisy_gallery_is_said_not_to_matter(ctx):
    noisy = replace(worlds.leaky(), release=lambda features, generator: features + 1)
    notes = Idlg(images=2, image_size=(8, 8), iterations=1).run(noisy, ctx).notes
    assert any("does not touch" in note for note in notes)


def test_one_person_makes_no_softmax(ctx):
    data = worlds.people()
    first = data.gallery.take((data.gallery.pids == data.gallery.pids.max()).nonzero()[:, 0])
    target = Target(PlantedLeak(), replace(data, gallery=first))
    with pytest.raises(UnsupportedTargetError, match="two people"):
        Dlg().run(target, ctx)


@pytest.mark.parametrize("params", [{"images": 1}, {"restarts": 0}, {"batch_size": 0}])
@pytest.mark.parametrize("attack", [Dlg, Idlg, GradientInversion])
def test_senseless_counts_are_refused(attack, params):
    with pytest.raises(ValueError, match=next(iter(params))):
        attack(**params)


class Scripted(nn.Module):
    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return images.mean((2, 3))


@pytest.mark.parametrize(
    ("extractor", "words"),
    [
        (NullExtractor(), "black box"),
        (PlantedLeak(), "no trainable parameters"),
        (lambda images: images, "black box"),
    ],
)
def test_extractors_without_a_gradient_to_share_are_not_applicable(extractor, words, ctx):
    with pytest.raises(UnsupportedTargetError, match=f"{words}.*--arch"):
        GradientInversion().run(Target(extractor, worlds.people()), ctx)


@pytest.mark.filterwarnings("ignore:.*torch.jit:FutureWarning")
def test_a_torchscript_program_is_not_applicable():
    program = torch.jit.trace(nn.Sequential(Scripted(), nn.Linear(3, 4)), torch.rand(1, 3, 8, 4))
    extractor = CardedExtractor(ScriptNetwork(program), Card(height=8, width=4))
    with pytest.raises(UnsupportedTargetError, match=r"finished program.*--arch"):
        trainable(extractor)


def test_the_audited_extractor_itself_is_attacked(ctx):
    planted = make_clear_target(worlds.leaky(), DenseExtractor())
    found = figures(GradientInversion(images=6, iterations=60), planted, ctx)
    assert found["recovered"].low > 0.5
    assert found["label_recovered"].value == 1.0
    one_step = figures(GradientInversion(images=6, iterations=1), planted, ctx)
    assert one_step["psnr"].value < found["psnr"].value - 10


def test_noise_pictures_depend_on_their_seed_alone():
    noise = NoiseImages(range(5, 9))
    assert len(noise) == 4
    both, one = noise.load([0, 3], (4, 2)), noise.load([3], (4, 2))
    assert torch.equal(both[1], one[0])
    assert not torch.equal(both[0], both[1])
    assert 0 <= both.min() < both.max() <= 1


def test_the_choice_of_people_is_the_runs_own(ctx):
    attack = Idlg(images=4, image_size=(8, 8), iterations=1)
    people = [
        set(attack.run(worlds.leaky(), replace(ctx, seed=seed)).measurements[0].persons)
        for seed in (1, 1, 2)
    ]
    assert people[0] == people[1] != people[2]
    assert all(len(chosen) == 4 for chosen in people)


def test_run_context_is_enough_for_the_controls():
    target = Idlg().make_null(worlds.leaky(), RunContext())
    assert target.protection.originals is worlds.leaky().data.gallery
    assert Idlg().make_planted(target, RunContext()).data.gallery is target.protection.originals
