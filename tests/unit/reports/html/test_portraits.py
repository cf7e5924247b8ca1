"""The people of the first screen: cut from the right strips, and blurred before they are cut."""

import base64
import io
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from reports.html.exhibits import BLURRED
from reports.html.portraits import portraits
from tests.records import certificate, example_record, inversion

PEOPLE, TALL, WIDE = 5, 64, 32


def strip(seed: int, *, likeness: float = 0.0) -> np.ndarray:
    """Noise for originals; the reconstruction of person 3 is its original if ``likeness`` is 1."""
    originals = np.random.default_rng(1).integers(0, 256, (TALL, PEOPLE * WIDE, 3), np.uint8)
    drawn = np.random.default_rng(seed).integers(0, 256, originals.shape, np.uint8)
    own = slice(3 * WIDE, 4 * WIDE)
    drawn[:, own] = (likeness * originals + (1 - likeness) * drawn).astype(np.uint8)[:, own]
    return np.concatenate([originals, drawn])


def pixels(portrait) -> np.ndarray:
    content = base64.b64decode(portrait.uri.partition("base64,")[2])
    return np.asarray(Image.open(io.BytesIO(content)).convert("RGB")).astype(int)


@pytest.fixture
def report(tmp_path):
    """Two scenarios, whose attack exhibits strips of the same five people."""
    scenarios = []
    for number, scenario in enumerate(example_record().scenarios):
        place = f"{scenario.defense}.png"
        Image.fromarray(strip(number + 2, likeness=float(number == 0))).save(tmp_path / place)
        shown = replace(inversion(0.4, 0.03), exhibits={"reconstructions": place})
        scenarios.append(replace(scenario, findings=(shown,)))
    return replace(example_record(), scenarios=tuple(scenarios))


def test_each_person_stands_beside_what_was_made_of_both_galleries(report, tmp_path):
    found = portraits(report, tmp_path, reveal=False)
    assert len(found.pictures) == 3
    assert found.panels == ("original", "reconstructed", "under noise at ε = 300")
    for portrait in found.pictures:
        assert (portrait.width, portrait.height) == (3 * WIDE, TALL)
    shown = [pixels(portrait) for portrait in found.pictures]
    # one of the three is the person whose reconstruction is the original itself
    alike = [abs(each[:, :WIDE] - each[:, WIDE : 2 * WIDE]).mean() for each in shown]
    assert min(alike) < 12 < sorted(alike)[1]


def test_others_people_are_not_set_beside_them(report, tmp_path):
    other = strip(7)
    other[:TALL] = 255 - other[:TALL]
    Image.fromarray(other).save(tmp_path / "dp_gallery.png")
    found = portraits(report, tmp_path, reveal=False)
    assert found.panels == ("original", "reconstructed")


def test_real_people_are_blurred_before_they_are_cut(report, tmp_path):
    real = replace(report, real_people=True)
    hidden = portraits(real, tmp_path, reveal=False)
    assert BLURRED in hidden.caption
    # patches as large as in the blurred strip: no finer than those of a picture cut first
    assert max(np.abs(np.diff(pixels(p), axis=0)).max() for p in hidden.pictures) < 30
    revealed = portraits(real, tmp_path, reveal=True)
    assert BLURRED not in revealed.caption
    assert max(np.abs(np.diff(pixels(p), axis=0)).max() for p in revealed.pictures) > 100


def test_a_certified_attack_is_shown_before_a_stronger_one_without(report, tmp_path):
    bold = replace(
        inversion(0.9, 0.03), attack="bold", family="inversion",
        powers=(certificate("reid_rank1", 0.03, shown=False),),
        exhibits={"reconstructions": "none.png"},
    )  # fmt: skip
    bare, noisy = report.scenarios
    more = replace(report, scenarios=(replace(bare, findings=(bold, *bare.findings)), noisy))
    assert "attack inversion;" in portraits(more, tmp_path, reveal=False).caption
    alone = replace(report, scenarios=(replace(bare, findings=(bold,)), noisy))
    assert "attack bold;" in portraits(alone, tmp_path, reveal=False).caption


@pytest.mark.parametrize("size", [(129, 160), (128, 155), (2, 2)])
def test_a_strip_that_does_not_divide_into_people_is_not_cut(report, tmp_path, size):
    Image.new("RGB", size[::-1]).save(tmp_path / "none.png")
    assert portraits(report, tmp_path, reveal=False) is None


def test_without_files_there_are_no_pictures(report, tmp_path):
    assert portraits(report, tmp_path / "elsewhere", reveal=False) is None
    assert portraits(replace(report, scenarios=()), tmp_path, reveal=False) is None
