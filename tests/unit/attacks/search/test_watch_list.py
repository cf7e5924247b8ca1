"""Watch-list search: who is divided how, what is refused, and which scores one threshold fits."""

from dataclasses import replace

import pytest
import torch

from attacks.search import WatchList, WatchListNormalised, WatchListPlda
from auditor.errors import UnsupportedTargetError
from auditor.types import RunContext
from defenses.dp_gallery import GalleryNoise
from tests import worlds

RUNGS = (WatchList, WatchListNormalised, WatchListPlda)


def measured(attack, target):
    result = attack.run(target, RunContext())
    return {m.metric: m for m in result.measurements}, result


def test_everybody_is_enrolled_once_and_absent_once():
    found, result = measured(WatchList(fpir=0.05), worlds.leaky())
    assert result.notes[0].startswith("72 searches for people who are in the gallery, 72 for")
    assert found["tpir"].n == 24


def test_too_few_absent_people_are_refused_with_the_number_needed():
    with pytest.raises(UnsupportedTargetError, match=r"72 searches.*needs 100"):
        WatchList().run(worlds.leaky(), RunContext())


def test_rates_that_cannot_be_counted_are_left_out_and_said():
    found, result = measured(WatchList(fpir=0.05), worlds.leaky())
    assert "fnir_at_fpir_1pct" not in found
    assert sum("too few searches for absent people" in note for note in result.notes) == 2


def test_misses_and_hits_add_up_and_point_the_other_way():
    target = worlds.Target(worlds.leaky().extractor, worlds.make_world(
        identities=60, auxiliary=20, cameras=3, images_per_camera=2, seed=3
    ))  # fmt: skip
    found, result = measured(WatchList(), target)
    assert found["tpir"].value + found["fnir_at_fpir_1pct"].value == pytest.approx(1)
    assert found["fnir_at_fpir_1pct"].worse == "lower"
    assert found["rank1_listed"].value >= found["tpir"].value
    assert result.curves[0].name == "det"


@pytest.mark.parametrize("rung", RUNGS)
def test_noise_takes_from_what_is_found(rung):
    noisy = GalleryNoise(epsilon=40.0, trials=200).apply(worlds.leaky(), RunContext())
    clear, blurred = (measured(rung(fpir=0.05), t)[0]["tpir"] for t in (worlds.leaky(), noisy))
    assert blurred.value < clear.value


@pytest.mark.parametrize("rung", [WatchListNormalised, WatchListPlda])
def test_who_learns_from_others_needs_some(rung):
    data = worlds.leaky().data
    nobody = data.auxiliary.take(torch.zeros(0, dtype=torch.long))
    target = replace(worlds.leaky(), data=replace(data, auxiliary=nobody))
    with pytest.raises(UnsupportedTargetError):
        rung(fpir=0.05).run(target, RunContext())


@pytest.mark.parametrize("fpir", [0.0, 1.0, -0.1])
def test_a_rate_of_false_alarms_is_a_share(fpir):
    with pytest.raises(ValueError, match="fpir"):
        WatchList(fpir=fpir)
