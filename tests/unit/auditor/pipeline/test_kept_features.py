"""A second audit of the same model embeds nothing, and one of anything else does."""

from dataclasses import replace

import pytest
import torch

import auditor
from attacks.identity import IdentityLda
from auditor import embedding
from auditor.artifacts.feature_store import FeatureStore
from auditor.data.images import FileImages
from auditor.embedding import features_of
from auditor.errors import DataError, UsageError
from auditor.feature_cache import FeatureCache
from auditor.models.reference import WEIGHTS
from auditor.pipeline import environment
from auditor.pipeline.kept_features import keep_features
from auditor.types import MemoryImages, RunContext, Selection, Split
from tests import worlds


@pytest.fixture(scope="module")
def model():
    return auditor.open_model(WEIGHTS, arch="reference", device="cpu")


@pytest.fixture
def store(tmp_path):
    return FeatureStore(tmp_path / "cache")


def split_of(images):
    count = torch.arange(len(images))
    return Split(images, count, count)


def pictures(seed=0):
    generator = torch.Generator().manual_seed(seed)
    return MemoryImages(torch.randint(256, (3, 3, 16, 8), generator=generator, dtype=torch.uint8))


def computed(kept, extractor, split):
    """Whether the features had to be computed."""
    calls = []

    def compute():
        calls.append(split)
        return torch.rand(len(split), extractor.feature_dim)

    kept.features(extractor, split, compute)
    return bool(calls)


def test_what_is_equal_is_taken_from_the_store(store, model):
    assert computed(keep_features(store, model), model.extractor, split_of(pictures()))
    again = keep_features(FeatureStore(store.folder), model)
    assert not computed(again, model.extractor, split_of(pictures()))
    assert not computed(again, model.extractor, split_of(Selection(pictures(), [0, 1, 2])))


def test_other_pictures_or_another_order_are_computed(store, model):
    kept = keep_features(store, model)
    assert computed(kept, model.extractor, split_of(pictures()))
    assert computed(kept, model.extractor, split_of(pictures(seed=1)))
    assert computed(kept, model.extractor, split_of(Selection(pictures(), [2, 1, 0])))


def test_a_file_that_changed_is_computed_again(store, model, tmp_path):
    path = tmp_path / "a.png"
    path.write_bytes(b"one")
    kept = keep_features(store, model)
    assert computed(kept, model.extractor, split_of(FileImages([path])))
    assert not computed(kept, model.extractor, split_of(FileImages([path])))
    path.write_bytes(b"two")
    assert computed(kept, model.extractor, split_of(FileImages([path])))


def test_another_card_and_another_place_are_other_features(store, model):
    split = split_of(pictures())
    assert computed(keep_features(store, model), model.extractor, split)
    for facts in ({"card": "another"}, {"sha256": "another"}):
        other = replace(model, facts={**model.facts, **facts})
        assert computed(keep_features(store, other), other.extractor, split)


def test_another_version_of_a_library_is_another_place(store, model, monkeypatch):
    split = split_of(pictures())
    assert computed(keep_features(store, model), model.extractor, split)
    monkeypatch.setattr(environment, "version", lambda name: "0.0.1")
    assert computed(keep_features(store, model), model.extractor, split)


def test_a_picture_that_is_gone_is_missed_by_who_reads_it(store, model, tmp_path):
    kept = keep_features(store, model)
    with pytest.raises(DataError, match=r"gone\.png"):
        features_of(
            model.extractor,
            split_of(FileImages([tmp_path / "gone.png"])),
            RunContext(cache=FeatureCache(kept)),
        )


def test_a_network_that_was_trained_on_is_another(store):
    model = auditor.open_model(WEIGHTS, arch="reference", device="cpu")
    kept, split = keep_features(store, model), split_of(pictures())
    assert computed(kept, model.extractor, split)
    with torch.no_grad():
        next(model.extractor.parameters()).add_(1)
    assert computed(kept, model.extractor, split)


@pytest.mark.parametrize("what", ["own code", "no file", "protected pictures"])
def test_what_cannot_be_named_is_always_computed(store, model, what):
    facts = dict(model.facts)
    if what == "own code":
        facts["arch"] = "package:factory"
    if what == "no file":
        del facts["sha256"]
    images = pictures()
    if what == "protected pictures":
        images = worlds.AlteredImages(images, lambda x: 1 - x)
    kept = keep_features(store, replace(model, facts=facts))
    for _ in range(2):
        assert computed(kept, model.extractor, split_of(images))


@pytest.mark.parametrize("place", ["", "cache"])
def test_a_run_does_not_contain_its_cache(tmp_path, model, place):
    """Or the run would never be whole again, and a purge of it would miss people."""
    out = tmp_path / "out"
    with pytest.raises(UsageError, match="name a folder beside it"):
        auditor.audit(
            model,
            worlds.few(),
            attacks=[IdentityLda()],
            out=out,
            settings={"cache": out / place},
            progress=False,
        )
    assert not list(out.glob("**/*.safetensors"))


def test_a_second_audit_embeds_no_picture_of_the_data_and_finds_the_same(
    tmp_path, monkeypatch, model
):
    settings = {
        "attacks": [IdentityLda()],
        "settings": {"cache": tmp_path / "cache", "force": True},
        "controls": False,
        "progress": False,
    }
    first = auditor.audit(model, worlds.few(), out=tmp_path / "one", **settings)
    monkeypatch.setattr(embedding, "_embed_split", lambda *_: pytest.fail("embedded again"))
    second = auditor.audit(model, worlds.few(), out=tmp_path / "two", **settings)
    assert first.record == second.record
    one, two = ((tmp_path / name / "report.json").read_bytes() for name in ("one", "two"))
    assert one == two
