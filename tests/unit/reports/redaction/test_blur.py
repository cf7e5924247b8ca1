"""What a blurred picture still tells: the mean colour of a few large patches, and nothing else."""

import io

import numpy as np
import pytest
from PIL import Image

from reports.redaction.blur import ROWS, blur_picture


def png(pixels):
    written = io.BytesIO()
    Image.fromarray(pixels).save(written, "PNG")
    return written.getvalue()


def pixels(content):
    return np.asarray(Image.open(io.BytesIO(content)))


def noise(height, width, channels=3, seed=0):
    shape = (height, width, channels)
    return np.random.default_rng(seed).integers(0, 256, shape).astype(np.uint8)


@pytest.mark.parametrize("size", [(144, 450), (128, 512), (512, 256), (64, 32), (8, 24), (1, 1)])
def test_it_keeps_its_size_and_no_more_rows_than_said(size):
    smooth = pixels(blur_picture(png(noise(*size)))).astype(float)
    assert smooth.shape[:2] == size
    # a picture made of so few patches has no more independent rows, up to rounding
    strength = np.linalg.svd(smooth[..., 0], compute_uv=False)
    # each direction is rounded to whole numbers once: white noise, far weaker than any real row
    rounding = 0.8 * (np.sqrt(size[0]) + np.sqrt(size[1]))
    assert (strength > rounding).sum() <= ROWS


def test_two_pictures_with_the_same_patches_are_told_apart_no_more():
    one = np.zeros((128, 128, 3), np.uint8)
    one[::2] = 200
    other = np.zeros((128, 128, 3), np.uint8)
    other[:, ::2] = 200
    assert blur_picture(png(one)) == blur_picture(png(other))


def test_large_patches_keep_their_colour():
    half = np.zeros((160, 80, 3), np.uint8)
    half[:80] = (250, 0, 0)
    smooth = pixels(blur_picture(png(half))).astype(float)
    assert np.allclose(smooth[:40].mean((0, 1)), (250, 0, 0), atol=8)
    assert np.allclose(smooth[120:].mean((0, 1)), 0, atol=8)


@pytest.mark.parametrize("mode", ["L", "P", "RGBA", "LA", "1"])
def test_every_mode_of_a_png_is_blurred(mode):
    written = io.BytesIO()
    Image.fromarray(noise(64, 64)).convert(mode).save(written, "PNG")
    assert pixels(blur_picture(written.getvalue())).shape[:2] == (64, 64)


def test_what_is_no_picture_is_refused():
    with pytest.raises(OSError, match="cannot identify"):
        blur_picture(b"\x89PNG\r\n\x1a\n" + bytes(40))
