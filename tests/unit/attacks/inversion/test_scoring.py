"""How reconstructions are judged, against counts made pair by pair."""

from dataclasses import replace

import pytest
import torch

from attacks.inversion import agreement, scoring
from attacks.inversion.reconstruction import judge_pictures
from attacks.inversion.scoring import FALSE_MATCH_RATES, Trial, score_identity
from auditor.metrics import retrieval
from auditor.metrics.perceptual import PerceptualDistance
from auditor.metrics.similarity import Similarities
from tests import worlds


class FirstPixels(torch.nn.Module):
    """The means of four bands of a picture: a judge whose mind can be read."""

    feature_dim = 12
    input_size = (32, 16)

    def forward(self, images):
        return torch.nn.functional.adaptive_avg_pool2d(images - 0.5, (4, 1)).flatten(1)


@pytest.fixture
def trial():
    target = replace(worlds.leaky(), extractor=FirstPixels())
    gallery = target.data.gallery
    chosen = torch.arange(0, len(gallery), 5)
    chosen = chosen[gallery.pids[chosen] > 0]
    originals = gallery.images.load(chosen.tolist(), (32, 16))
    noise = torch.rand(originals.shape, generator=torch.Generator().manual_seed(0))
    return Trial(target, chosen, (originals + 0.3 * noise).clamp(0, 1), originals)


def pairs(trial):
    """Cosines ``(M, N)`` of reconstructions, and of originals, with all real pictures."""
    data, judge = trial.target.data, FirstPixels()
    real = torch.cat(
        [split.images.load(range(len(split)), (32, 16)) for split in (data.gallery, data.query)]
    )
    known = torch.nn.functional.normalize(judge(real), dim=1)
    pids = torch.cat([data.gallery.pids, data.query.pids])
    camids = torch.cat([data.gallery.camids, data.query.camids])
    sides = (
        torch.nn.functional.normalize(judge(x), dim=1) @ known.T
        for x in (trial.drawn, trial.originals)
    )
    return *sides, pids, camids


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch):
    monkeypatch.setattr(scoring, "CHUNK", 7)


def figures(trial, tmp_path, name="target"):
    found, note = score_identity(name, trial.target.extractor, trial, worlds.context(tmp_path))
    return {m.metric: m for m in found}, note


def test_type_one_asks_for_the_very_picture(trial, tmp_path):
    drawn, _, pids, _ = pairs(trial)
    hits = []
    for row, source in enumerate(trial.chosen.tolist()):
        rivals = [c for c in range(len(pids)) if pids[c] != pids[source]]
        hits.append(all(drawn[row, source] > drawn[row, rival] for rival in rivals))
    assert figures(trial, tmp_path)[0]["type1_rank1"].value == pytest.approx(sum(hits) / len(hits))


def test_strength_is_the_cosine_to_the_own_picture_beside_somebody_elses(trial, tmp_path):
    drawn, _, _, _ = pairs(trial)
    sources, found = trial.chosen, figures(trial, tmp_path)[0]["source_cosine"]
    own = drawn[torch.arange(len(sources)), sources]
    other = drawn[torch.arange(len(sources)), sources.roll(len(sources) // 2)]
    assert found.value == pytest.approx(float(own.mean()))
    assert found.chance == pytest.approx(float(other.mean()))
    assert found.value > found.chance
    assert len(found.persons) == found.n == len(trial.pids.unique())


@pytest.mark.parametrize("label", FALSE_MATCH_RATES)
def test_success_attack_rates_count_pairs_above_the_false_match_threshold(label, trial, tmp_path):
    drawn, real, pids, camids = pairs(trial)
    sources = trial.chosen.tolist()
    impostors = sorted(
        (
            float(real[row, c])
            for row, s in enumerate(sources)
            for c in range(len(pids))
            if pids[c] != pids[s]
        ),
        reverse=True,
    )
    threshold = impostors[int(FALSE_MATCH_RATES[label] * len(impostors))]
    found, _ = figures(trial, tmp_path)
    own = [float(drawn[row, s]) > threshold for row, s in enumerate(sources)]
    assert found[f"sar_type1_{label}"].value == pytest.approx(sum(own) / len(own))
    shares = []
    for row, s in enumerate(sources):
        others = [c for c in range(len(pids)) if pids[c] == pids[s] and camids[c] != camids[s]]
        if others:
            shares.append(sum(float(drawn[row, c]) > threshold for c in others) / len(others))
    assert found[f"sar_type2_{label}"].value == pytest.approx(sum(shares) / len(shares))


def test_real_pictures_pass_as_often_as_reconstructions_that_are_perfect(trial, tmp_path):
    perfect, _ = figures(replace(trial, drawn=trial.originals), tmp_path)
    assert perfect["type1_rank1"].value > 0.9
    assert perfect["sar_type1_fmr01"].value == 1.0
    worse, _ = figures(replace(trial, drawn=torch.rand_like(trial.drawn)), tmp_path)
    assert worse["type1_rank1"].value < 0.3
    assert worse["sar_type2_fmr01"].value < 0.2


def test_ties_share_the_first_place(trial, tmp_path):
    grey = replace(trial, drawn=torch.full_like(trial.drawn, 0.75))
    found, _ = figures(grey, tmp_path)
    # equal reconstructions name the same picture, which is right for one of them at most
    assert found["type1_rank1"].value <= 1 / len(trial.chosen) + 1e-9


def test_independent_judges_have_their_name_in_every_figure(trial, tmp_path):
    found, note = figures(trial, tmp_path, "other")
    assert all(metric.endswith(".other") for metric in found)
    assert "independent judge other" in note


def test_attributes_are_read_off_perfect_reconstructions(trial, tmp_path, monkeypatch):
    # of twenty-four people, fewer than twenty share any value
    monkeypatch.setattr(agreement, "MEASURABLE", 5)
    leaky = worlds.leaky()
    shown = leaky.data.gallery.images.load(trial.chosen.tolist(), (64, 32))
    distance = PerceptualDistance(None)
    result = judge_pictures(shown, trial.chosen, leaky, worlds.context(tmp_path), distance)
    found = {m.metric: m for m in result.measurements}["attribute_agreement"]
    assert found.value > 0.9
    assert found.chance < 0.7
    grey = judge_pictures(
        torch.full_like(shown, 0.5), trial.chosen, leaky, worlds.context(tmp_path), distance
    )
    assert {m.metric: m for m in grey.measurements}["attribute_agreement"].value < 0.6


def test_no_table_of_reconstructions_and_pictures_is_ever_whole(trial, tmp_path, monkeypatch):
    seen = []
    score = Similarities.__call__

    def watched(self, block):
        seen.append(len(self.query[block]))
        return score(self, block)

    monkeypatch.setattr(Similarities, "__call__", watched)
    monkeypatch.setattr(retrieval, "FEWEST", 7)
    monkeypatch.setattr(retrieval, "MOST", 7)
    figures(trial, tmp_path)
    assert sum(seen) > 3 * len(trial.chosen)
    assert max(seen) <= 7 < len(trial.chosen)
