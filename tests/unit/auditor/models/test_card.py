from dataclasses import replace

import pytest

from auditor.errors import UsageError
from auditor.models.card import PRESETS, Card, alternatives, card_from


@pytest.mark.parametrize("preset", PRESETS)
def test_a_preset_without_overrides_is_itself(preset):
    assert card_from(preset, {}) == PRESETS[preset]


def test_lists_from_yaml_become_a_card():
    card = card_from("torchreid", {"mean": [0, 0, 0], "std": [1, 1, 1], "height": 384})
    assert (card.mean, card.std, card.height) == ((0.0, 0.0, 0.0), (1.0, 1.0, 1.0), 384)


@pytest.mark.parametrize(
    ("preset", "overrides", "message"),
    [
        ("torchried", {}, "did you mean 'torchreid'"),
        ("zzz", {}, "there are: torchreid"),
        ("torchreid", {"colr": "rgb"}, "did you mean 'colour'"),
        ("torchreid", {"colour": "brg"}, "colour is 'brg'"),
        ("torchreid", {"mean": [0.5, 0.5]}, "mean"),
        ("torchreid", {"std": [0.2, 0.0, 0.2]}, "std.1 is 0.0"),
        ("torchreid", {"std": [0.2, float("inf"), 0.2]}, "std.1"),
        ("torchreid", {"mean": [float("nan"), 0, 0]}, "mean.0"),
        ("torchreid", {"height": "tall"}, "height is 'tall'"),
        ("torchreid", {"output": -1}, "output is -1"),
    ],
)
def test_a_mistake_is_named(preset, overrides, message):
    with pytest.raises(UsageError, match=message):
        card_from(preset, overrides)


@pytest.mark.parametrize("preset", PRESETS)
def test_the_given_card_is_no_alternative_to_itself(preset):
    others = alternatives(PRESETS[preset])
    assert len(others) == 4
    assert PRESETS[preset] not in others.values()
    assert {card.height for card in others.values()} == {PRESETS[preset].height}


def test_imagenet_on_the_other_scale_is_no_alternative():
    card = Card(value_range="0..255", mean=(123.675, 116.28, 103.53), std=(58.395, 57.12, 57.375))
    assert "ImageNet mean and std" not in alternatives(card)


def test_an_unusual_card_has_all_five():
    assert len(alternatives(Card(mean=(0.1, 0.2, 0.3), l2_norm=True))) == 5


def test_swapping_twice_comes_back():
    (swapped,) = [c for c in alternatives(Card()).values() if c.colour == "bgr"]
    assert swapped.mean == (0.406, 0.456, 0.485)
    assert replace(Card(), colour="bgr", mean=swapped.mean, std=swapped.std) == swapped
    assert Card() in alternatives(swapped).values()
