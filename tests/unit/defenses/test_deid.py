"""PEPR-Net's first stage: what is drawn, what is named, and what a fresh adversary still gets."""

import math
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from attacks.identity import IdentityClassifier
from auditor import plugins
from auditor.evaluation.utility import search
from auditor.models.architectures.branches import Branches
from auditor.models.card import Card
from defenses.deid import Deid
from defenses.deid.decoder import Decoding, deidentify
from defenses.deid.identity import Naming, cross_entropy_to_uniform
from defenses.retrain import seen
from tests import worlds

CARD = Card()


def view(features):
    return Branches((features,), (features,))


@pytest.fixture
def pictures():
    return torch.rand(4, 3, 64, 32, generator=torch.Generator().manual_seed(0))


def test_pixelation_replaces_blocks_by_their_mean(pictures):
    drawn = deidentify(pictures, "pixelated", 4)
    for row, column in ((0, 0), (8, 4), (60, 28)):
        block = drawn[1, 2, row : row + 4, column : column + 4]
        mean = pictures[1, 2, row : row + 4, column : column + 4].mean()
        assert torch.allclose(block, mean.expand_as(block))
    assert deidentify(pictures, "pixelated", 7).shape == pictures.shape


def test_blurring_keeps_the_mean_and_takes_detail_away(pictures):
    drawn = deidentify(pictures, "blurred", 6)
    assert drawn.mean().item() == pytest.approx(pictures.mean().item(), abs=0.01)
    assert drawn.std() < 0.2 * pictures.std()


def test_obfuscation_covers_the_person_and_nothing_else(pictures):
    kept = pictures.clone()
    drawn = deidentify(pictures, "obfuscated", 4)
    inner = drawn[:, :, 3:61, 6:26]
    assert torch.allclose(inner, pictures.mean((2, 3), keepdim=True).expand_as(inner))
    assert torch.equal(drawn[..., :6], pictures[..., :6])
    assert torch.equal(pictures, kept)


def test_the_clean_control_is_the_picture_itself(pictures):
    assert torch.equal(deidentify(pictures, "clean", 4), pictures)


@pytest.mark.parametrize(("dim", "size"), [(128, (64, 32)), (50, (32, 16))])
def test_the_decoder_has_the_papers_layers_and_its_error_is_the_papers(pictures, dim, size):
    term = Decoding(dim, CARD, "clean", 4, size, 8, "mean", 0.5)
    kinds = [type(layer) for layer in term.decode]
    assert [kinds.count(kind) for kind in (nn.Conv2d, nn.Upsample, nn.ReLU)] == [3, 3, 2]
    features = torch.randn(4, dim)
    assert term.draw(features).shape == (4, 3, *size)
    wanted = F.interpolate(pictures, size, mode="bilinear", antialias=True)
    expected = 0.5 * (term.draw(features) - wanted).square().mean()
    assert term(view(features), pictures, None).item() == pytest.approx(expected.item(), rel=1e-5)
    summed = Decoding(dim, CARD, "clean", 4, size, 8, "sum", 0.5)
    summed.load_state_dict(term.state_dict())
    norm = 0.5 * (term.draw(features) - wanted).square().sum((1, 2, 3)).mean()
    assert summed(view(features), pictures, None).item() == pytest.approx(norm.item(), rel=1e-5)


def test_uniform_predictions_are_the_least_of_the_adversarial_loss():
    uniform, sure = torch.zeros(3, 32), 14 * torch.eye(32)[:3]
    assert cross_entropy_to_uniform(uniform).item() == pytest.approx(math.log(32))
    assert cross_entropy_to_uniform(sure) > cross_entropy_to_uniform(sure / 2) > math.log(32)
    logits = torch.randn(3, 32, requires_grad=True)
    (step,) = torch.autograd.grad(cross_entropy_to_uniform(logits), logits)
    assert cross_entropy_to_uniform(logits - step) < cross_entropy_to_uniform(logits)


def test_only_an_alternating_head_learns_names_and_only_features_learn_to_hide_them():
    features = torch.randn(8, 16, requires_grad=True)
    classes = torch.arange(8) % 4
    terms = {r: Naming(16, CARD, 4, r, 0.5) for r in ("joint", "alternating")}
    terms["alternating"].load_state_dict(terms["joint"].state_dict())
    head = terms["joint"].head
    fooled = 0.5 * cross_entropy_to_uniform(head(features))
    (wanted,) = torch.autograd.grad(fooled, features, retain_graph=True)
    named = F.cross_entropy(head(features.detach()), classes)
    learned = {"joint": fooled, "alternating": named}
    for rivalry, term in terms.items():
        loss = term(view(features), None, classes)
        moved, taught = torch.autograd.grad(loss, (features, term.head.weight))
        (expected,) = torch.autograd.grad(learned[rivalry], head.weight, retain_graph=True)
        assert torch.allclose(moved, wanted, atol=1e-6)
        assert torch.allclose(taught, expected, atol=1e-6)


def test_privacy_losses_read_all_necks_on_one_scale():
    parts = Branches((), (torch.randn(4, 6), torch.randn(4, 2)))
    assert torch.equal(seen(parts, CARD), torch.cat(parts.identity, 1))
    scaled = seen(parts, replace(CARD, l2_norm=True))
    assert torch.allclose(scaled.square().mean(1), torch.ones(4))


def test_every_row_of_table_1_can_be_built_and_no_two_are_the_same():
    built = [plugins.build("defenses", "deid", params) for params in Deid.rows.values()]
    assert len(set(built)) == len(built) == 7
    assert {(row.triplet, row.de_id, row.adv_id) for row in built} == {(1.0, 0.1, 0.001)}
    assert Deid.rows["baseline"] == {"decoder": "none", "adversary": "none"}


@pytest.mark.parametrize(
    "params",
    [{"de_id": -1}, {"adv_id": -1}, {"detail": 0}, {"width": 1}, {"lr": 0}, {"views": 1},
     {"image_size": (60, 30)}, {"triplet": 0}],
)  # fmt: skip
def test_impossible_parameters_are_named(params):
    with pytest.raises(ValueError, match=next(iter(params))):
        Deid(**params)


def test_a_fresh_adversary_gets_less_than_from_the_same_training_without_it(tmp_path):
    ctx, target = worlds.context(tmp_path), worlds.trainable()
    setting = {"epochs": 1, "steps": 40, "people": 8, "decoder": "none", "adv_id": 10.0}
    attack = IdentityClassifier(epochs=15)
    top1, utility = {}, {}
    for adversary in ("none", "alternating"):
        defended = Deid(adversary=adversary, **setting).apply(target, ctx)
        top1[adversary] = attack.run(defended, ctx).measurements[0].value
        utility[adversary] = search(defended, ctx, "cosine").mean_ap
        own = {m.metric: m for finding in defended.co_trained for m in finding.measurements}
        assert set(own) == ({"top1", "top1_fresh"} if adversary == "alternating" else set())
    assert own["top1"].value < own["top1_fresh"].value  # the head has lost, and a new one has not
    assert own["top1"].n == own["top1_fresh"].n > 1
    assert own["top1"].chance == pytest.approx(1 / own["top1"].n)
    bare = attack.run(target, ctx).measurements[0].value
    assert top1["none"] >= bare
    assert top1["alternating"] < top1["none"] - 0.15
    assert utility["alternating"] > 0.85 * utility["none"]
