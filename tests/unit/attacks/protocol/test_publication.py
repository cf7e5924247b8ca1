"""Own pictures and held ones under a protection that the adversary knows."""

import pytest
import torch

from attacks.adaptive.mixing import Mixing
from attacks.adaptive.restoring import learn_restoring
from attacks.identity import IdentityLda, IdentityPlda, IdentityRetrieval
from attacks.protocol.asking import ask_every_way, ways_of_asking
from attacks.protocol.matching import worse
from attacks.protocol.publication import held_pictures, own_pictures
from auditor import embedding
from auditor.embedding import features_of
from auditor.errors import DataError
from auditor.report import Measurement
from auditor.types import AttackResult, RunContext
from tests import worlds

PERMUTED = worlds.INVERTIBLE["permuted channels"]


def measured(value, worse_side="higher", name="top1"):
    return Measurement(
        metric=name, value=value, n=10, low=value - 0.1, high=value + 0.1, worse=worse_side
    )


class TestOwnPictures:
    def test_without_a_protection_they_are_the_clean_ones(self):
        target, ctx = worlds.leaky(), RunContext()
        own = own_pictures(target, ctx)
        assert own.clean is own.shown is target.data.auxiliary
        assert torch.equal(own.features, features_of(target.extractor, own.clean, ctx))
        assert list(held_pictures(target, ctx)) == ["clean"]

    def test_they_are_published_and_embedded_once_and_forgotten_with_their_target(self):
        calls = []

        def counted(split, generator):
            calls.append(len(split))
            return PERMUTED(split, generator)

        target, ctx = (
            worlds.told(worlds.altered(worlds.leaky(), PERMUTED), counted),
            RunContext(),
        )
        first, second = own_pictures(target, ctx), own_pictures(target, ctx)
        assert calls == [len(target.data.auxiliary)]
        assert torch.equal(first.features, second.features)
        assert first.shown is second.shown
        assert first.clean is target.data.auxiliary
        ctx.cache.forget(target)
        assert len(ctx.cache) == 0

    def test_all_attacks_of_a_scenario_share_what_is_published_and_embedded(
        self, tmp_path, monkeypatch
    ):
        published, embedded = [], []

        def counted(split, generator):
            published.append(len(split))
            return PERMUTED(split, generator)

        def embedding_it(extractor, split, ctx):
            embedded.append(len(split))
            return embed_split(extractor, split, ctx)

        embed_split = embedding._embed_split
        monkeypatch.setattr(embedding, "_embed_split", embedding_it)
        target = worlds.told(worlds.altered(worlds.leaky(), PERMUTED), counted)
        ctx, data = RunContext(workdir=tmp_path), target.data
        for attack in (IdentityLda(), IdentityRetrieval(), IdentityPlda()):
            attack.run(target, ctx)
        own, held = len(data.auxiliary), len(data.query)
        assert sorted(published) == sorted([own, held])
        assert sorted(embedded) == sorted([own, held, held, len(data.gallery)])

    def test_labels_stay_those_of_the_clean_pictures_and_features_are_the_gallery_s_kind(self):
        target, ctx = worlds.altered(worlds.leaky(), PERMUTED), RunContext()
        own = own_pictures(target, ctx)
        wanted = features_of(target.extractor, PERMUTED(own.clean, torch.Generator()), ctx)
        assert torch.equal(own.features, wanted)
        assert not torch.equal(own.features, features_of(target.extractor, own.clean, ctx))

    def test_all_pictures_of_a_person_are_under_one_key(self):
        target = worlds.told(worlds.leaky(), Mixing())
        shown = own_pictures(target, RunContext()).shown
        for pid in shown.pids.unique():
            assert len(shown.partners[shown.pids == pid].unique()) == 1

    def test_a_protection_that_loses_rows_is_refused(self):
        target = worlds.told(worlds.leaky(), lambda split, generator: split.take(torch.arange(3)))
        with pytest.raises(DataError, match="keep the rows"):
            own_pictures(target, RunContext())


class TestWorse:
    def test_one_try_stays_as_it_is(self):
        only = measured(0.4)
        assert worse({"clean": only}) is only

    def test_the_worse_of_two_is_widened_for_having_been_picked(self):
        found = worse({"clean": measured(0.4), "protected": measured(0.5)})
        assert found.value == 0.5
        assert 0.4 > found.low > 0.37
        assert found.high == pytest.approx(0.6)
        assert "clean 0.400, protected 0.500" in found.note

    def test_lower_can_be_worse(self):
        found = worse({"clean": measured(0.4, "lower"), "protected": measured(0.5, "lower")})
        assert found.value == 0.4
        assert found.low == pytest.approx(0.3)
        assert found.high > 0.5


class TestAsking:
    def test_made_pictures_are_embedded_as_they_would_lie_in_the_gallery(self):
        target, ctx = worlds.altered(worlds.leaky(), PERMUTED), RunContext()
        gallery = target.protection.originals.images.load([0, 5], target.extractor.input_size)
        clean, protected = ways_of_asking(target, ctx)
        wanted = features_of(target.extractor, target.data.gallery, ctx)[[0, 5]]
        assert torch.allclose(protected.embed(gallery), wanted, atol=1e-2)
        assert not torch.allclose(clean.embed(gallery), wanted, atol=0.1)

    def test_every_figure_is_where_it_is_worse(self, tmp_path):
        figures = {
            "clean": (measured(0.2), measured(0.9, name="map")),
            "protected": (measured(0.6), measured(0.7, name="map")),
        }
        target = worlds.altered(worlds.leaky(), PERMUTED)
        found = ask_every_way(
            target,
            RunContext(workdir=tmp_path),
            lambda asking, ctx: AttackResult(figures[asking.kind], curves=(), notes=(asking.kind,)),
        )
        assert [m.value for m in found.measurements] == [0.6, 0.9]
        assert found.notes[0] == "protected"


class TestRestoring:
    @pytest.mark.parametrize("mechanism", worlds.INVERTIBLE.values(), ids=worlds.INVERTIBLE)
    def test_what_can_be_undone_pixel_by_pixel_is_undone(self, mechanism):
        target = worlds.altered(worlds.leaky(), mechanism)
        restore = learn_restoring(target, (32, 16), RunContext())
        shown, clean = (
            split.images.load(range(20), (32, 16))
            for split in (target.data.gallery, target.protection.originals)
        )
        assert torch.allclose(restore(shown), clean, atol=1e-2)
        assert not torch.allclose(shown, clean, atol=0.1)

    def test_what_is_erased_comes_back_as_one_mean_colour(self):
        target = worlds.altered(worlds.leaky(), worlds.Altered(lambda images: images * 0))
        restored = learn_restoring(target, (32, 16), RunContext())(torch.zeros(1, 3, 32, 16))
        assert float(restored.flatten(2).std(2).max()) < 1e-4
        assert 0.1 < float(restored.mean()) < 0.9
