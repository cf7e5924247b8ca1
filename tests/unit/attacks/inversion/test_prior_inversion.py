"""Inversion through a prior: the map to codes, what samples borrow, and who ranks them."""

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F

from attacks.inversion import LatentDescent, PriorInversion
from attacks.inversion.code_map import CodeMap, Refinement, learn_codes
from attacks.inversion.prior_inversion import compose
from attacks.inversion.ranking import Votes, trust_in
from attacks.inversion.samples import Sample
from attacks.protocol.own_network import shipped_network
from auditor.data.features import StoredFeatures
from auditor.embedding import embed, stored_gallery
from auditor.errors import UnsupportedTargetError, UsageError
from auditor.models.extractor import CardedExtractor
from auditor.models.prior import PicturePrior
from auditor.types import RunContext, as_is
from tests import worlds


def learned(seen, codes, epochs):
    pids = torch.arange(len(seen)) // 4
    refinement = Refinement(hidden=64, epochs=epochs, lr=3e-3)
    ctx = RunContext()
    with ctx.randomness("test"):
        weights, generator = torch.ones(codes.shape[1]), ctx.generator("test")
        start = CodeMap(seen, codes, weights, pids, as_is, refinement, generator)
        return learn_codes(start, ctx)


def rows(count, dim, seed):
    return torch.randn(count, dim, generator=torch.Generator().manual_seed(seed))


def gap(found, seen, codes):
    with torch.no_grad():
        return float((found(seen) - codes).square().mean())


class TestCodeMap:
    def test_the_network_learns_what_the_ridge_cannot(self):
        seen = rows(1200, 6, 0)
        codes = torch.stack([seen[:, 0] * seen[:, 1], seen[:, 2].abs(), seen[:, 3]], dim=1)
        fresh = rows(400, 6, 1)
        wanted = torch.stack([fresh[:, 0] * fresh[:, 1], fresh[:, 2].abs(), fresh[:, 3]], dim=1)
        ridge, refined = (learned(seen, codes, epochs) for epochs in (0, 40))
        assert gap(refined, fresh, wanted) < gap(ridge, fresh, wanted) / 2

    def test_where_there_is_nothing_more_to_learn_it_stays_with_the_ridge(self):
        seen = rows(200, 20, 0)
        codes = seen @ rows(20, 5, 1) + 3 * rows(200, 5, 2)
        ridge, refined = (learned(seen, codes, epochs) for epochs in (0, 10))
        held = refined._held_out
        assert gap(refined, *held) <= gap(ridge, *held) + 1e-6

    def test_a_few_people_get_the_closed_form(self):
        seen = rows(8, 5, 0)
        found = learned(seen, seen[:, :2], 5)
        assert torch.equal(found.network[-1].weight, torch.zeros_like(found.network[-1].weight))


class TestVotes:
    def test_every_ranker_counts_as_it_is_trusted_whatever_its_scale(self):
        near, far = torch.tensor([0.0, 1.0, 2.0]), torch.tensor([30.0, 100.0, 0.0])
        scores = torch.stack([near, far], dim=1)[:, :, None]
        best = [
            int(Votes(scores, torch.tensor(trusts))(scores).argmax(0))
            for trusts in ((1.0, 1.0), (3.0, 1.0), (1.0, 0.0))
        ]
        assert best == [1, 2, 2]
        trusts, scaled = torch.ones(2), scores * torch.tensor([1.0, 50.0])[:, None]
        assert torch.allclose(Votes(scores, trusts)(scores), Votes(scaled, trusts)(scaled))

    def test_a_ranker_that_cannot_tell_says_nothing(self):
        scores = torch.stack([torch.zeros(3), torch.tensor([1.0, 3.0, 2.0])], dim=1)[:, :, None]
        assert int(Votes(scores, torch.ones(2))(scores).argmax(0)) == 1

    def test_trust_is_in_a_ranker_that_tells_people_apart(self):
        pids = torch.arange(60).repeat_interleave(4)
        people, noise = rows(60, 16, 0)[pids], rows(240, 16, 1)
        clear, faint, none = (
            trust_in(people + noise, share * people + noise.flip(0), pids) for share in (3, 0.7, 0)
        )
        assert clear > faint + 1 > 1
        assert none < 0.3
        assert trust_in(noise[:1], noise[:1], pids[:1]) == 1.0


class TestSamples:
    def test_what_is_borrowed_and_not_corrected_is_an_own_picture(self, painter):
        lent = torch.arange(6, device=worlds.DEVICE)
        own = painter.own
        borrowed = painter.borrow(lent, own.seen[lent.flip(0)], 0.0).painted(painter.prior)
        assert torch.allclose(borrowed, own.pixels[:6].cpu().float() / 255, atol=1e-4)

    def test_a_picture_that_is_handed_over_is_shown_as_it_is(self, painter):
        pictures = painter.own.pixels[:5].float() / 255
        shown = painter.encode(pictures).painted(painter.prior)
        assert torch.allclose(shown, pictures.cpu(), atol=1e-4)

    def test_correction_moves_it_towards_what_the_entry_should_show(self, painter):
        lent = torch.arange(40, device=worlds.DEVICE)
        entries = painter.own.seen[lent + 60]
        wanted = painter.expect(entries).painted(painter.prior)
        drawn = (painter.borrow(lent, entries, c).painted(painter.prior) for c in (0.0, 0.5, 1.0))
        gaps = [float((picture - wanted).square().mean()) for picture in drawn]
        assert gaps[0] > gaps[1] > gaps[2]

    def test_a_part_replaces_those_rows_alone(self):
        ours, theirs = (
            Sample(rows(2, 64, seed).view(2, 1, 8, 8), torch.full((2, 3, 64, 32), float(seed)))
            for seed in (0, 1)
        )
        mixed = ours.with_part(theirs, 0.25, 0.5)
        assert torch.equal(mixed.grids[:, :, 2:4], theirs.grids[:, :, 2:4])
        assert torch.equal(mixed.grids[:, :, 4:], ours.grids[:, :, 4:])
        assert mixed.details.mean((0, 1, 3)).tolist() == [0] * 16 + [1] * 16 + [0] * 32

    def test_each_entry_has_its_own_pick(self):
        samples = [Sample(torch.full((3, 1, 2, 2), float(s)), torch.zeros(3)) for s in range(4)]
        picked = Sample.picked(samples, torch.tensor([3, 0, 2]))
        assert picked.grids.mean((1, 2, 3)).tolist() == [3, 0, 2]


def test_the_note_says_what_was_tried(few, tmp_path):
    attack = PriorInversion(samples=2, rounds=2, epochs=0)
    result = attack.run(few, worlds.context(tmp_path))
    assert "15 pictures per entry were ranked by the extractor (" in result.notes[-1]


@pytest.mark.parametrize("attack", [PriorInversion, LatentDescent])
def test_a_composite_is_one_of_the_samples(few, tmp_path, attack):
    settings = {"samples": 2, "rounds": 1, "epochs": 0, "start": "composite"}
    brief = {"steps": 2} if attack is LatentDescent else {}
    result = attack(**settings, **brief).run(few, worlds.context(tmp_path))
    assert result.measurements[0].metric == "reid_rank1"
    notes = " ".join(result.notes)
    assert "10 pictures per entry were ranked by the extractor (" in notes
    assert "a composite among them" in notes


def test_a_composite_embeds_more_like_the_entry_than_any_lookalike(few, painter):
    entries = F.normalize(stored_gallery(few, worlds.plain_context())[:6], dim=1)
    own = painter.own
    made = compose(own.pixels, entries, few, worlds.plain_context())
    cosines = F.cosine_similarity(embed(few.extractor, made).to(entries), entries)
    nearest = (entries @ F.normalize(own.seen, dim=1).T.to(entries)).max(1).values
    assert bool((cosines > nearest - 1e-3).all())
    assert float(cosines.mean()) > float(nearest.mean()) + 0.01


def test_there_is_no_composite_without_a_model_to_ask(few, painter):
    alone = replace(few, extractor=StoredFeatures(few.extractor.feature_dim))
    with pytest.raises(UnsupportedTargetError, match="set start: lookalikes"):
        compose(painter.own.pixels, painter.own.seen[:2], alone, worlds.plain_context())


def test_a_judge_that_is_the_adversarys_own_ranks_and_judges_nothing(few, tmp_path):
    judges = {"target": few.extractor, "kin": worlds.leaky().extractor}
    ctx = replace(worlds.context(tmp_path), judges=judges)
    attack = PriorInversion(samples=1, rounds=0, epochs=0, networks=("kin",))
    result = attack.run(few, ctx)
    metrics = {m.metric for m in result.measurements}
    assert "reid_rank1" in metrics
    assert "reid_rank1.kin" not in metrics
    assert ", kin (" in result.notes[-1]


@pytest.mark.parametrize(
    ("networks", "message"),
    [(("stranger",), "judges are target"), (("target",), "none is left to judge")],
)
def test_networks_are_judges_and_leave_one(tmp_path, networks, message):
    ctx = replace(worlds.context(tmp_path), judges={"target": worlds.trainable().extractor})
    with pytest.raises(UsageError, match=message):
        PriorInversion(samples=0, rounds=0, epochs=0, networks=networks).run(
            worlds.trainable(), ctx
        )


def test_codes_and_what_the_shipped_network_sees_are_computed_once_for_all_scenarios(
    few, tmp_path, monkeypatch
):
    asked = {"encode": 0, "shipped": 0}
    encode, forward = PicturePrior.encode, CardedExtractor.forward
    shipped = shipped_network(worlds.DEVICE)  # made here, because making it runs it

    def counted_encode(prior, images):
        asked["encode"] += len(images)
        return encode(prior, images)

    def counted_forward(extractor, images):
        asked["shipped"] += len(images) * (extractor is shipped)
        return forward(extractor, images)

    monkeypatch.setattr(PicturePrior, "encode", counted_encode)
    monkeypatch.setattr(CardedExtractor, "forward", counted_forward)
    attack, ctx = PriorInversion(samples=0, rounds=0, epochs=0), worlds.context(tmp_path)
    attack.run(few, ctx)
    first = dict(asked)
    noisy = replace(few, release=lambda rows, generator: rows + 1e-3)
    attack.run(noisy, ctx)
    own = len(few.data.auxiliary)
    assert first["encode"] == asked["encode"] == own
    # the second time it looks at the one sample of each entry alone
    assert asked["shipped"] - first["shipped"] == first["shipped"] - own - len(few.data.query)


def test_the_shipped_network_does_not_rank_where_it_is_the_one_attacked(few, tmp_path):
    target = replace(few, extractor=shipped_network(worlds.DEVICE))
    result = PriorInversion(samples=1, rounds=0, epochs=0).run(target, worlds.context(tmp_path))
    assert "ranked by the extractor (" in result.notes[-1]
    assert "the shipped network" not in result.notes[-1]
