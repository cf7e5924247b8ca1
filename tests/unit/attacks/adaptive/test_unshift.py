"""Mixing, pairs that explain an entry, and un-shifting a gallery of synthetic people."""

from dataclasses import replace
from functools import cache
from itertools import product

import pytest
import torch

from attacks.adaptive import Unshift
from attacks.adaptive.mixing import Mixing, partner_rows
from attacks.adaptive.partners import Mixture, Pool
from attacks.adaptive.unshift import halves, own_publications
from attacks.identity import IdentityRetrieval
from attacks.learners.mapping import Map
from attacks.linkage import Linkage
from attacks.protocol.publication import publish_own
from auditor.errors import DataError, UnsupportedTargetError
from auditor.types import MemoryImages, Protection, RunContext, Split, Target
from tests import worlds


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def protected(target: Target, own: float) -> Target:
    gallery = Mixing(own=own)(target.data.gallery, generator(4))
    data = replace(target.data, gallery=gallery)
    return replace(
        target,
        data=data,
        protection=Protection(originals=target.data.gallery, publish=Mixing(own=own)),
    )


@cache
def undone(own: float, *, blind: bool = False):
    """Figures and notes of un-shifting synthetic people, by name."""
    target = protected(worlds.blind() if blind else worlds.leaky(), own)
    result = Unshift(keys=2, epochs=0).run(target, worlds.plain_context())
    return {m.metric: m for m in result.measurements}, result.notes


class TestMixing:
    pids = torch.tensor([4, 4, 0, 7, 7, 7, 9])

    def test_everyone_has_one_partner_and_is_one(self):
        for seed in range(20):
            rows, partners = partner_rows(self.pids, generator(seed))
            assert partners[2] == rows[2] == -1
            shown = {int(p): set(partners[self.pids == p].tolist()) for p in (4, 7, 9)}
            assert all(len(other) == 1 for other in shown.values())
            assert set.union(*shown.values()) == {4, 7, 9}
            for pid in (4, 7, 9):
                (row,) = rows[self.pids == pid].unique().tolist()
                assert self.pids[row] == partners[self.pids == pid][0] != pid

    def test_someone_alone_stays_alone(self):
        rows, partners = partner_rows(torch.tensor([5, 5, 0]), generator())
        assert (rows == -1).all()
        assert (partners == -1).all()

    def test_pictures_are_blended_and_another_key_gives_other_partners(self):
        pixels = torch.randint(0, 256, (7, 3, 2, 2), generator=generator()).byte()
        split = Split(MemoryImages(pixels), self.pids, torch.zeros(7).long())
        mixed = Mixing(own=0.6)(split, generator(1))
        rows, _ = partner_rows(self.pids, generator(1))
        shown = mixed.images.load([3, 2], (2, 2)) * 255
        wanted = 0.6 * pixels[3].float() + 0.4 * pixels[rows[3]].float()
        assert torch.allclose(shown[0], wanted, atol=1e-3)
        assert torch.allclose(shown[1], pixels[2].float(), atol=1e-3)
        keys = {tuple(Mixing()(split, generator(k)).partners.tolist()) for k in range(10)}
        assert len(keys) > 1


class TestPartners:
    def test_the_best_pair_is_the_brute_forced_one(self, monkeypatch):
        people, dim = 6, 5
        draw = generator(2)
        matrix = torch.randn(2 * dim, 4, generator=draw)
        forward = torch.nn.Linear(2 * dim, 4)
        with torch.no_grad():
            forward.weight.copy_(matrix.T)
        whiten = torch.randn(4, 4, generator=draw)
        means, stored = torch.randn(people, dim, generator=draw), torch.randn(9, 4, generator=draw)
        monkeypatch.setattr("attacks.adaptive.partners.CELLS", 2 * people**2)
        pool = Pool(torch.arange(1, people + 1), means)
        found = Mixture(Map("ridge", forward), whiten).partners(stored, pool)
        wanted = torch.full((9, people), torch.inf)
        for p, q in product(range(people), repeat=2):
            if p != q:
                made = forward(torch.cat([means[p], means[q]])).detach()
                distance = ((stored - made) @ whiten).square().sum(1)
                wanted[:, q] = torch.minimum(wanted[:, q], distance)
        assert torch.allclose(found, wanted, atol=1e-3, rtol=1e-4)

    def test_a_pool_holds_everybodys_mean_and_nobody_else(self):
        features = torch.tensor([[2.0], [4.0], [9.0], [7.0]])
        pool = Pool.of(features, torch.tensor([3, 3, 0, 1]))
        assert pool.people.tolist() == [1, 3]
        assert pool.mean_of(torch.tensor([3, 1, 3])).flatten().tolist() == [3, 7, 3]

    def test_pictures_of_a_person_are_halved(self):
        assert halves(torch.tensor([5, 2, 5, 5, 2, 8])).tolist() == [0, 0, 1, 0, 1, 0]


class TestUnshift:
    def test_what_mixing_hides_comes_back(self):
        bare = IdentityRetrieval().run(worlds.leaky(), worlds.plain_context()).measurements[0]
        found, notes = undone(0.4)
        assert found["shifted_rank1"].high < bare.low - 0.3
        assert found["unshifted_rank1"].low > found["shifted_rank1"].high + 0.3
        assert found["unshifted_rank1"].value > bare.value - 0.2
        assert found["partner_rank1"].low > 0.7
        assert found["partner_rank1"].chance == pytest.approx(1 / 24)
        assert "partner's help" in notes[0]

    def test_equal_shares_leave_open_who_is_whose_partner(self):
        found, _ = undone(0.5)
        assert 0.2 < found["partner_rank1"].value < 0.8
        assert 0.2 < found["unshifted_rank1"].value < 0.8

    def test_nothing_comes_out_of_features_that_hold_nothing(self):
        found, _ = undone(0.7, blind=True)
        assert next(iter(found)) == "unshifted_rank1"
        for m in found.values():
            assert m.value - 1.7 * (m.value - m.low) <= m.chance, m

    def test_a_protection_without_partners_is_undone_too(self):
        def negative(split, generator):
            return replace(split, images=Negative(split.images))

        leak = worlds.leaky()
        data = replace(leak.data, gallery=negative(leak.data.gallery, generator()))
        target = replace(
            leak, data=data, protection=Protection(originals=leak.data.gallery, publish=negative)
        )
        result = Unshift(keys=1, epochs=0).run(target, RunContext())
        found = {m.metric: m for m in result.measurements}
        assert found["shifted_rank1"].value == 1, (
            "a negative of the own picture finds the stored one"
        )
        assert "clean 0.000" in found["shifted_rank1"].note
        assert found["unshifted_rank1"].low > 0.7
        assert "partner_rank1" not in found
        assert "nobody is mixed" in result.notes[0]

    def test_keys_are_fresh(self):
        own = own_publications(protected(worlds.leaky(), 0.7), 2, worlds.plain_context())
        first, second = own.partners.chunk(2)
        assert not torch.equal(first, second)
        assert torch.equal(*own.clean.chunk(2))

    def test_pictures_that_are_not_protected_are_refused(self):
        with pytest.raises(UnsupportedTargetError, match="no protection of pictures"):
            Unshift().run(worlds.leaky(), worlds.plain_context())

    def test_nothing_is_learned_from_nobody(self):
        target = protected(worlds.leaky(), 0.7)
        none = target.data.auxiliary.take(torch.arange(0))
        with pytest.raises(UnsupportedTargetError, match="no auxiliary pictures"):
            Unshift().run(
                replace(target, data=replace(target.data, auxiliary=none)), worlds.plain_context()
            )

    def test_a_protection_must_keep_the_rows(self):
        target = worlds.told(worlds.leaky(), lambda split, generator: split.take(torch.arange(3)))
        with pytest.raises(DataError, match="must keep the rows"):
            publish_own(target, target.data.auxiliary, RunContext(), "test")

    @pytest.mark.parametrize("fields", [{"keys": 0}, {"hidden": 0}, {"epochs": -1}])
    def test_fields_that_make_no_sense_are_refused(self, fields):
        with pytest.raises(ValueError, match=next(iter(fields))):
            Unshift(**fields)


class TestLinkage:
    def test_another_key_breaks_links_that_the_same_key_keeps(self):
        target = protected(worlds.leaky(), 0.4)
        result = Linkage().run(target, RunContext())
        same = Linkage().run(replace(target, protection=None), RunContext())
        assert result.measurements[0].high < same.measurements[0].low
        assert any("under another key" in note for note in result.notes)


class Negative:
    """Another source's pictures with every channel inverted."""

    def __init__(self, source):
        self.source = source

    def __len__(self):
        return len(self.source)

    def load(self, indices, size):
        return 1 - self.source.load(indices, size)
