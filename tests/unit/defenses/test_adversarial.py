"""Retraining against a reverser: whose turn it is, how lazy its copy is, and what it comes to."""

import numpy as np
import pytest
import torch
from sklearn.linear_model import RidgeCV

from auditor.embedding import features_of
from auditor.errors import UsageError
from auditor.evaluation.utility import search
from auditor.metrics.perceptual import PerceptualDistance
from auditor.models.architectures.branches import Branches
from auditor.models.card import Card
from defenses.adversarial import AdversarialRetraining
from defenses.adversarial.game import ReversalGame
from defenses.retrain import Seen
from tests import worlds

SMALL = {"image_size": (32, 16), "width": 8}


def game(**changes):
    settings = AdversarialRetraining(**{**SMALL, "period": 3, **changes})
    with torch.random.fork_rng():
        torch.manual_seed(2)
        return ReversalGame(12, Card(), settings.rules, PerceptualDistance(None)).train()


def play(term, batches, pictures=None):
    """One loss per batch of four, and the last batch's gradient on its features."""
    draw, losses = torch.Generator().manual_seed(1), []
    for _ in range(batches):
        features = torch.randn(4, 12, generator=draw).requires_grad_()
        shown = torch.rand(4, 3, 32, 16, generator=draw) if pictures is None else pictures
        losses.append(term(Branches((), (features,)), shown, None))
    return losses, features


def weights(network):
    return {name: tensor.clone() for name, tensor in network.state_dict().items()}


def same(left, right):
    return all(torch.equal(left[name], right[name]) for name in left)


def test_the_copy_is_refreshed_every_so_many_batches_and_stands_still_between():
    term = game(period=3)
    start, seen = weights(term.slow), []
    for _ in range(7):
        play(term, 1)
        seen.append((weights(term.slow), weights(term.reverser)))
    copies = [copy for copy, _ in seen]
    assert same(copies[1], start)
    assert same(copies[2], seen[2][1])
    assert not same(copies[2], start)
    assert same(copies[4], copies[2])
    assert same(copies[5], seen[5][1])
    assert term.refreshes == 2


def test_nothing_is_asked_of_the_extractor_before_there_is_a_copy():
    losses, _ = play(game(period=3), 4)
    assert [loss.item() == 0 for loss in losses] == [True, True, False, False]
    assert losses[2] > 0
    assert all(loss == 0 for loss in play(game(period=1, strength=0), 2)[0])


def test_a_step_towards_wrong_makes_the_copys_pictures_worse_and_moves_nothing_else():
    term = game(period=1, strength=2.0, goal="wrong")
    pictures = torch.rand(4, 3, 32, 16, generator=torch.Generator().manual_seed(4))
    (*_, loss), features = play(term, 4, pictures)
    assert loss.item() == pytest.approx(-2 * term.error(term.slow(features), pictures).item())
    before, after = moved(term, loss, features, pictures)
    assert after > before


def test_a_step_towards_the_mean_brings_the_copys_pictures_nearer_to_what_tells_nothing():
    term = game(period=1, strength=2.0, goal="mean")
    (*_, loss), features = play(term, 4)
    assert term.mean.shape == (3, 32, 16)
    assert (term.mean - 0.5).abs().mean() < 0.1  # sixteen pictures of noise
    mean = term.mean.expand(4, -1, -1, -1)
    assert loss.item() == pytest.approx(2 * term.error(term.slow(features), mean).item())
    before, after = moved(term, loss, features, mean)
    assert after < before


def test_the_mean_is_that_of_all_pictures():
    term, draw = game(period=100), torch.Generator().manual_seed(6)
    shown = [torch.rand(4, 3, 32, 16, generator=draw) for _ in range(3)]
    for pictures in shown:
        play(term, 1, pictures)
    assert torch.allclose(term.mean, torch.cat(shown).mean(0), atol=1e-6)


def moved(term, loss, features, pictures):
    """The error against ``pictures`` before and after a step of the extractor."""
    loss.backward()
    assert all(p.grad is None for p in term.parameters())
    stepped = features.detach() - 0.1 * features.grad / features.grad.norm()
    return [term.error(term.slow(f), pictures) for f in (features, stepped)]


def test_the_reverser_learns_from_features_it_cannot_change():
    term, draw = game(period=100, reverser_lr=3e-3), torch.Generator().manual_seed(5)
    pictures = (
        torch.rand(4, 3, 4, 2, generator=draw).repeat_interleave(8, 2).repeat_interleave(8, 3)
    )
    features = torch.randn(4, 12, generator=draw).requires_grad_()
    before = term.error(term.reverser(features), pictures).item()
    for _ in range(40):
        term(Branches((), (features,)), pictures, None)
    assert term.error(term.reverser(features), pictures).item() < 0.7 * before
    assert features.grad is None


def test_training_mode_leaves_the_copy_in_evaluation():
    term = game()
    assert term.reverser.training
    assert not term.slow.training
    assert not term.distance.training


def test_what_is_seen_is_the_feature_up_to_its_length():
    extractor, images = worlds.trainable().extractor, torch.rand(3, 3, 64, 32)
    with torch.no_grad():
        seen = Seen(extractor).eval()(images)
        assert torch.allclose(seen, extractor(images) * 128**0.5, atol=1e-4)
    assert Seen(extractor).feature_dim == 128


@pytest.mark.parametrize(
    "params",
    [{"strength": -1}, {"period": 0}, {"turns": 0}, {"width": 0}, {"reverser_lr": 0},
     {"pixel": -1}, {"image_size": (33, 16)}, {"epochs": 0}],
)  # fmt: skip
def test_impossible_parameters_are_named(params):
    with pytest.raises(ValueError, match=next(iter(params))):
        AdversarialRetraining(**params)


def test_a_training_too_short_to_meet_the_adversary_is_refused(tmp_path):
    brief = {**SMALL, "epochs": 1, "steps": 2, "people": 4, "views": 2}
    ctx, target = worlds.context(tmp_path), worlds.trainable()
    with pytest.raises(UsageError, match="2 batches and the extractor meets its adversary after 3"):
        AdversarialRetraining(**brief, period=3).apply(target, ctx)
    undefended = AdversarialRetraining(**brief, period=3, strength=0).apply(target, ctx)
    assert undefended.notes[-1].endswith("fine-tuned and not protected")


def told(target, ctx):
    """R² of pixels by a ridge on features, learned from other people: what a feature tells."""
    known, unknown = target.data.auxiliary, target.data.gallery
    features = [features_of(target.extractor, s, ctx).numpy() for s in (known, unknown)]
    pixels = [s.images.load(range(len(s)), (16, 8)).flatten(1).numpy() for s in (known, unknown)]
    ridge = RidgeCV(np.logspace(-3, 3, 13)).fit(features[0], pixels[0])
    error = np.square(pixels[1] - ridge.predict(features[1])).sum()
    return 1 - error / np.square(pixels[1] - pixels[0].mean(0)).sum()


def test_rewarded_for_wrong_pictures_a_feature_tells_more_and_towards_the_mean_less(tmp_path):
    """Measured: .509 trained on alone, .580 towards wrong pictures, .473 towards the mean."""
    ctx, target = worlds.context(tmp_path), worlds.trainable()
    setting = {**SMALL, "epochs": 1, "steps": 60, "people": 8, "period": 10}
    r2, utility = {}, {}
    for goal, strength in (("alone", 0.0), ("wrong", 10.0), ("mean", 10.0)):
        given = {} if goal == "alone" else {"goal": goal}
        defended = AdversarialRetraining(strength=strength, **given, **setting).apply(target, ctx)
        assert [own.measurements[0].metric for own in defended.co_trained] == ["reid_rank1"]
        assert not list(tmp_path.glob("*.png"))  # what the reverser drew is kept nowhere
        assert ("goal: " + goal in defended.notes[-1]) == (strength > 0)
        r2[goal] = told(defended, ctx)
        utility[goal] = search(defended, ctx, "cosine").mean_ap
    assert r2["mean"] + 0.02 < r2["alone"] < r2["wrong"] - 0.02, (r2, utility)
    assert utility["mean"] > 0.8 * utility["alone"], (r2, utility)
