"""Features in bfloat16 are asked for, recorded, and never in the way of gradients."""

import pytest
import torch
from torch import nn

import auditor
from attacks.identity import IdentityLda
from auditor.certification.sanity_checks import probe
from auditor.embedding import embed, pullback
from auditor.models import hastening
from auditor.models.hastening import hasten
from auditor.models.own import own_model
from auditor.models.reference import WEIGHTS
from auditor.pipeline.kept_features import keep_features
from auditor.types import RunContext
from tests import worlds


@pytest.fixture(scope="module")
def model():
    return auditor.open_model(WEIGHTS, arch="reference", device="cpu")


def embedding_key(model):
    ((_, depends),) = keep_features(None, model).models.values()
    return depends


@pytest.fixture(autouse=True)
def able(monkeypatch):
    monkeypatch.setattr(hastening, "multiplies_bf16", lambda device: True)


@pytest.fixture
def images():
    return torch.rand((3, 3, 128, 64), generator=torch.Generator().manual_seed(0))


def test_features_are_nearly_the_same_and_gradients_exactly(model, images):
    fast = hasten(model)
    exact, near = embed(model.extractor, images), embed(fast.extractor, images)
    error = (exact - near).norm(dim=1) / exact.norm(dim=1)
    assert 0 < error.max() < 0.02
    assert near.dtype == torch.float32
    features, pull = pullback(fast.extractor, images)
    wanted, same = pullback(model.extractor, images)
    assert torch.equal(features, wanted)
    assert torch.equal(pull(features), same(wanted))


def test_it_is_recorded_and_the_given_model_stays_as_it_is(model, images):
    before = embed(model.extractor, images)
    fast = hasten(model)
    assert fast.facts["features_in"] == "bfloat16"
    assert "features_in" not in model.facts
    assert torch.equal(embed(model.extractor, images), before)
    assert fast.with_card(fast.extractor.card).fast
    assert embedding_key(fast) != embedding_key(model)


def test_its_rounding_is_no_fault(model):
    checks = probe(hasten(model), worlds.few(), RunContext())
    assert {check.outcome for check in checks if check.name == "batch-invariant"} == {"pass"}


class Exported(nn.Module):
    def forward(self, images):
        return images.mean((2, 3))


def test_what_cannot_be_hastened_says_so_and_stays(model, caplog, monkeypatch):
    without = own_model(Exported(), None)
    assert hasten(without) is without
    assert "computes as before: it brings its own network" in caplog.text
    half = own_model(nn.Sequential(nn.Conv2d(3, 4, 1), nn.Flatten()).bfloat16(), None)
    assert hasten(half) is half
    assert "not in single precision" in caplog.text
    monkeypatch.setattr(hastening, "multiplies_bf16", lambda device: False)
    assert hasten(model) is model
    assert "this cpu has no arithmetic in bfloat16" in caplog.text


def test_an_audit_is_asked_for_it(tmp_path, model):
    report = auditor.audit(
        model,
        worlds.few(),
        attacks=[IdentityLda()],
        controls=False,
        settings={"fast": True, "force": True},
        progress=False,
    )
    assert report.record.config["fast"] is True
    assert report.record.model["features_in"] == "bfloat16"
