"""Retraining against a reverser: whose turn it is, how lazy its copy is, and what it comes to."""

import pytest
import torch

from attacks.inversion.mse_decoder import MseDecoder
from auditor.card import Card
from auditor.metrics.perceptual import PerceptualDistance
from auditor.models.architectures.branches import Branches
from auditor.utility import search
from defenses.adversarial import AdversarialRetraining
from defenses.adversarial.game import ReversalGame
from defenses.retraining import Seen
from tests import worlds

SMALL = {"image_size": (32, 16), "width": 8}


def game(**changes):
    settings = AdversarialRetraining(**{**SMALL, "period": 3, **changes})
    with torch.random.fork_rng():
        torch.manual_seed(2)
        return ReversalGame(12, Card(), settings, PerceptualDistance(None)).train()


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
    assert losses[2] < 0
    assert all(loss == 0 for loss in play(game(period=1, strength=0), 2)[0])


def test_a_step_of_the_extractor_makes_the_copys_pictures_worse_and_moves_nothing_else():
    term = game(period=1, strength=2.0)
    pictures = torch.rand(4, 3, 32, 16, generator=torch.Generator().manual_seed(4))
    (*_, loss), features = play(term, 4, pictures)
    assert loss.item() == pytest.approx(-2 * term.error(term.slow(features), pictures).item())
    loss.backward()
    assert all(p.grad is None for p in term.parameters())
    moved = features.detach() - 0.1 * features.grad / features.grad.norm()
    before, after = (term.error(term.slow(f), pictures) for f in (features, moved))
    assert after > before


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


def test_a_strong_game_costs_a_fresh_attacker_more_than_training_alone(tmp_path):
    ctx, target = worlds.context(tmp_path), worlds.trainable()
    setting = {**SMALL, "epochs": 1, "steps": 60, "people": 8, "period": 10}
    attack = MseDecoder(**worlds.QUICK["mse_decoder"])
    rank1, utility = {}, {}
    for strength in (0.0, 10.0):
        defended = AdversarialRetraining(strength=strength, **setting).apply(target, ctx)
        assert [own.measurements[0].metric for own in defended.co_trained] == ["reid_rank1"]
        assert not list(tmp_path.glob("*.png"))  # what the reverser drew is kept nowhere
        rank1[strength] = attack.run(defended, ctx).measurements[0].value
        (tmp_path / "inversion.png").unlink()
        utility[strength] = search(defended, ctx, "cosine").mean_ap
    assert rank1[10.0] < 0.7 * rank1[0.0], (rank1, utility)
    assert utility[10.0] > 0.5 * utility[0.0], (rank1, utility)
