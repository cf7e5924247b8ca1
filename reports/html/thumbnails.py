"""Pictures small enough to travel inside a page; full-size ones stay where they are."""

import base64
import io
import struct

SMALL = 16 * 2**10
"""Bytes up to which a PNG is embedded as it is."""
MOST_PIXELS = 16 * 2**20
"""A picture may claim any size; beyond this one, nobody unpacks it."""
QUALITY = 85


def data_uri(png: bytes) -> str:
    """Return the picture as a ``data:`` address: WebP where that is smaller, else the PNG itself.

    Args:
        png: a file that begins as a PNG does; the rest may be anything.
    """
    smaller = _webp(png) if len(png) > SMALL else None
    kind, content = ("webp", smaller) if smaller else ("png", png)
    return f"data:image/{kind};base64,{base64.b64encode(content).decode()}"


def _webp(png: bytes) -> bytes | None:
    """None where it gains nothing, cannot be read, or this Pillow writes no WebP."""
    # imported here: most commands show no picture
    from PIL import Image, features

    width, height = struct.unpack(">II", png[16:24])
    if width * height > MOST_PIXELS or not features.check("webp"):
        return None
    buffer = io.BytesIO()
    try:
        with Image.open(io.BytesIO(png), formats=["PNG"]) as picture:
            picture.convert("RGBA" if picture.mode in ("RGBA", "LA", "P") else "RGB").save(
                buffer, "WEBP", quality=QUALITY, method=4, exact=False
            )
    except (OSError, ValueError, SyntaxError):  # a broken file: the browser shows what there is
        return None
    return buffer.getvalue() if buffer.tell() < len(png) else None
