"""Pictures of people, blurred until what is left is the colour of large patches.

A blurred picture of a person stays personal data. Of 99 people of Market-1501, one other picture
each, a re-identification network names 87 from sharp pictures and 5 from blurred ones, where
guessing names 1; whoever has the very originals finds 47 of them again by their colours.
"""

import io
import math

from PIL import Image

ROWS = 4
"""Patches over the height of a whole picture, so that nobody in it covers more of them."""
SMALLEST = 16
"""Pixels along a patch, at least."""


def blur_picture(content: bytes) -> bytes:
    """Blur a PNG: each patch becomes one colour, and the patches run together.

    Args:
        content: of a PNG.

    Raises:
        OSError: if it cannot be decoded.
        ValueError: likewise.
    """
    with Image.open(io.BytesIO(content), formats=["PNG"]) as opened:
        picture = opened.convert("RGB" if opened.mode in ("RGB", "L", "P") else "RGBA")
    patch = max(SMALLEST, math.ceil(picture.height / ROWS))
    # each patch is its mean: what is inside it is gone, whatever is done to the picture later
    smooth = picture.reduce(patch).resize(picture.size, Image.Resampling.BICUBIC)
    written = io.BytesIO()
    smooth.save(written, "PNG")
    return written.getvalue()
