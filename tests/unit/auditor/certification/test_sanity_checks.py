from dataclasses import replace
from functools import cache

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from auditor.certification.sanity_checks import clearly_more, probe, take_sample
from auditor.models import LoadedModel, open_model
from auditor.models.card import PRESETS, Card
from auditor.models.extractor import CardedExtractor
from auditor.types import MemoryImages, ReIDDataset, RunContext, Split
from tests.real import real_weights

__all__ = ["real_weights"]

IMAGENET = Card(height=64, width=32)
RAW_255 = Card(height=64, width=32, value_range="0..255", mean=(0, 0, 0), std=(1, 1, 1))


@cache
def people(identities=40):
    """Everybody is a pattern of coloured fields, seen a little differently each time."""
    generator = torch.Generator().manual_seed(0)
    fields = 0.2 + 0.6 * torch.rand(identities, 3, 6, 2, generator=generator)

    def split(pids, camids):
        rows = torch.tensor([max(pid - 1, 0) for pid in pids])
        seen = fields[rows] + 0.03 * torch.randn(len(pids), 3, 6, 2, generator=generator)
        pixels = (seen.clamp(0, 1) * 255).byte()
        return Split(
            MemoryImages(F.interpolate(pixels, (64, 32))), torch.tensor(pids), torch.tensor(camids)
        )

    everybody = list(range(1, identities + 1))
    stranger = split([0], [0])
    return ReIDDataset(
        name="fields",
        train=stranger,
        query=split(everybody, [0] * identities),
        gallery=split(everybody * 4, [c for c in (0, 1, 1, 2) for _ in everybody]),
        auxiliary=stranger,
    )


class Colours(nn.Module):
    """Where which colour is, through an activation that saturates on wrongly scaled input."""

    def forward(self, images):
        return F.adaptive_avg_pool2d(torch.tanh(images / 2), (6, 2)).flatten(1)


class Nan(Colours):
    def forward(self, images):
        return super().forward(images) * torch.nan


class Dropping(Colours):
    def forward(self, images):
        return F.dropout(super().forward(images), 0.5, training=True)


class Jittering(Colours):
    def forward(self, images):
        features = super().forward(images)
        return features + 1e-5 * torch.randn_like(features)


class Learning(Colours):
    """Normalises by its batch."""

    def forward(self, images):
        features = super().forward(images)
        return features - features.mean(0) / 2


def loaded(network, card=IMAGENET):
    device = torch.device("cpu")
    return LoadedModel(extractor=CardedExtractor(network, card), device=device, facts={})


def outcomes(network, card=IMAGENET, data=None):
    checks = probe(loaded(network, card), data or people(), RunContext())
    assert all(check.detail and "\n" not in check.detail for check in checks)
    return {check.name: check for check in checks}


def test_a_sound_model_passes():
    checks = outcomes(Colours())
    assert [check.outcome for check in checks.values()] == ["pass"] * 5
    assert next(iter(checks)) == "finite"


def test_nan_ends_the_questions():
    checks = outcomes(Nan())
    assert [(check.name, check.outcome) for check in checks.values()] == [("finite", "fail")]
    assert "NaN" in checks["finite"].detail


class Rounding(Colours):
    """Rounds in another way where it is asked about one picture, as a GPU's products do."""

    def __init__(self, error):
        super().__init__()
        self.error, self.weight = error, nn.Parameter(torch.zeros(1))

    def forward(self, images):
        features = super().forward(images)
        return features * (1 + self.error) if len(images) == 1 else features


@pytest.mark.parametrize(
    ("precision", "error", "outcome"),
    [
        ("float32", 5e-3, "fail"),
        ("float16", 5e-3, "pass"),
        ("float16", 5e-2, "fail"),
        ("bfloat16", 4e-2, "pass"),
        ("bfloat16", 2e-1, "fail"),
    ],
)
def test_what_a_reduced_precision_rounds_is_no_failure(precision, error, outcome):
    card = replace(IMAGENET, precision=precision)
    check = outcomes(Rounding(error), card)["batch-invariant"]
    assert check.outcome == outcome
    assert ("reduced precision" in check.detail) == (outcome == "pass")


@pytest.mark.parametrize(
    ("network", "name", "outcome", "said"),
    [
        (Dropping(), "deterministic", "fail", "dropout"),
        (Jittering(), "deterministic", "warn", "last digit"),
        (Learning(), "batch-invariant", "fail", "batch normalisation"),
    ],
)
def test_faults_are_named(network, name, outcome, said):
    check = outcomes(network)[name]
    assert (check.outcome, said in check.detail) == (outcome, True)


def test_wrong_normalisation_is_seen_and_the_right_one_named():
    checks = outcomes(Colours(), RAW_255)
    assert checks["not-collapsed"].outcome == "fail"
    assert "double or missing normalisation" in checks["not-collapsed"].detail
    assert checks["normalisation"].outcome == "warn"
    assert "value_range 0..1" in checks["normalisation"].detail


def test_a_model_that_normalises_itself_is_left_alone():
    class Own(Colours):
        def forward(self, images):
            return super().forward(F.instance_norm(images))

    assert outcomes(Own(), RAW_255)["normalisation"].outcome == "pass"


def test_too_few_people_are_not_compared():
    check = outcomes(Colours(), data=people(5))["normalisation"]
    assert (check.outcome, "too few" in check.detail) == ("warn", True)


def test_the_sample_is_one_query_and_its_findable_matches():
    data = people()
    sample = take_sample(data, (64, 32), RunContext())
    assert sample.people == 40
    queries, gallery = sample.pids[:40], sample.pids[40:]
    assert len(queries.unique()) == 40
    assert torch.equal(gallery.unique(), queries.sort().values)
    for pid, camera in zip(queries, sample.camids[:40], strict=True):
        assert (sample.camids[40:][gallery == pid] != camera).all()


def test_probing_repeats_and_leaves_randomness_alone():
    before = torch.get_rng_state()
    first = probe(loaded(Dropping()), people(), RunContext(seed=5))
    assert torch.equal(before, torch.get_rng_state())
    assert first == probe(loaded(Dropping()), people(), RunContext(seed=5))


@pytest.mark.parametrize(
    ("gained", "lost", "clear"), [(0, 0, False), (5, 0, False), (10, 0, True), (20, 15, False)]
)
def test_clearly_more_needs_discordant_people(gained, lost, clear):
    found, given = torch.zeros(2, 50, dtype=torch.bool)
    found[:gained] = True
    given[50 - lost :] = True
    assert clearly_more(found, given, comparisons=4) is clear
    assert clearly_more(given, found, comparisons=4) is False


def test_real_models(real_weights):
    card = PRESETS["torchreid"]
    broken = open_model(real_weights / "intel_reid_0267_nan.onnx", arch=None, card=card)
    (check,) = probe(broken, people(), RunContext())
    assert (check.name, check.outcome) == ("finite", "fail")
    sound = open_model(real_weights / "intel_reid_0267.onnx", arch=None, card=card)
    checks = probe(sound, people(12), RunContext())
    assert [check.outcome for check in checks] == ["pass", "pass", "pass", "pass", "warn"]
